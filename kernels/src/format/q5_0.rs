//! Q5_0: 32 weights of 5 bits with one scale.
//!
//! ```text
//! byte   0   1   2       5   6        21
//!      ┌───────┬───────────┬────────────┐
//!      │ d f16 │ qh u32    │ qs [16]    │   qs byte i: low four bits of weight i in the low
//!      └───────┴───────────┴────────────┘              nibble, of weight i + 16 in the high one
//!                                            qh bit i: fifth bit of weight i
//!
//! weight = d · (five bits − 16)
//! ```

use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 32 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ5_0 {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Fifth bits, a little-endian `u32`.
    pub qh: [u8; 4],
    /// Low four bits, nibbles.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ5_0>() == 22);

impl Block for BlockQ5_0 {
    const LEN: usize = 32;
    const OFFSET: u8 = 16;
    const MAX: u8 = 31;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, _: usize) -> Group {
        Group::scaled(
            inlined::map(five_bits(&self.qs, self.qh), |q| q - 16),
            f16::from_le_bytes(self.d).to_f32(),
        )
    }
}

/// Joins nibbles and fifth bits, 0..=31; Q5_1 stores them alike.
#[inline(always)]
pub(super) fn five_bits(qs: &[u8; 16], qh: [u8; 4]) -> [i8; GROUP] {
    let qh = u32::from_le_bytes(qh);
    let fifth = |i: usize| ((qh >> i & 1) << 4) as u8;
    let mut q = [0; GROUP];
    for (i, byte) in qs.iter().enumerate() {
        q[i] = (byte & 15 | fifth(i)) as i8;
        q[i + 16] = (byte >> 4 | fifth(i + 16)) as i8;
    }
    q
}
