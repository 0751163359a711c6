//! Q4_0: 32 weights of 4 bits with one scale.
//!
//! ```text
//! byte   0   1   2        17
//!      ┌───────┬────────────┐
//!      │ d f16 │ qs [16]    │   byte i: weight i in the low nibble,
//!      └───────┴────────────┘           weight i + 16 in the high nibble
//!
//! weight = d · (nibble − 8)
//! ```

use super::{Block, GROUP, Group, Minimum};
use half::f16;

/// A block of 32 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ4_0 {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Nibbles.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ4_0>() == 18);

impl Block for BlockQ4_0 {
    const LEN: usize = 32;
    const OFFSET: u8 = 8;
    const MAX: u8 = 15;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, _: usize) -> Group {
        let mut q = [0; GROUP];
        for (i, byte) in self.qs.iter().enumerate() {
            q[i] = (byte & 15) as i8 - 8;
            q[i + 16] = (byte >> 4) as i8 - 8;
        }
        Group::scaled(q, f16::from_le_bytes(self.d).to_f32())
    }
}
