//! IQ4_NL: 32 weights of 4 bits with one scale, through a table of values that
//! lie closer together near zero.
//!
//! ```text
//! byte   0   1   2        17
//!      ┌───────┬────────────┐
//!      │ d f16 │ qs [16]    │   byte i: weight i in the low nibble,
//!      └───────┴────────────┘           weight i + 16 in the high nibble
//!
//! weight = d · IQ4_VALUES[nibble]
//! ```

use super::{Block, GROUP, Group, Minimum};
use half::f16;

/// What a nibble stands for, in IQ4_NL and IQ4_XS.
pub const IQ4_VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// A block of 32 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockIQ4_NL {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Nibbles.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockIQ4_NL>() == 18);

impl Block for BlockIQ4_NL {
    const LEN: usize = 32;
    const OFFSET: u8 = 127;
    const MAX: u8 = 240;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, _: usize) -> Group {
        Group::scaled(
            look_up(&IQ4_VALUES, &self.qs),
            f16::from_le_bytes(self.d).to_f32(),
        )
    }
}

/// The values of 32 nibbles: the low ones, then the high ones.
#[inline(always)]
pub(super) fn look_up(values: &[i8; 16], nibbles: &[u8; 16]) -> [i8; GROUP] {
    let mut q = [0; GROUP];
    for (i, byte) in nibbles.iter().enumerate() {
        q[i] = values[usize::from(byte & 15)];
        q[i + 16] = values[usize::from(byte >> 4)];
    }
    q
}
