//! Q5_1: 32 weights of 5 bits with one scale and one minimum.
//!
//! ```text
//! byte   0   1   2   3   4       7   8        23
//!      ┌───────┬───────┬───────────┬────────────┐
//!      │ d f16 │ m f16 │ qh u32    │ qs [16]    │   qh and qs as in Q5_0
//!      └───────┴───────┴───────────┴────────────┘
//!
//! weight = d · (five bits) + m
//! ```

use super::q5_0::five_bits;
use super::{Block, Group, Minimum};
use half::f16;

/// A block of 32 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ5_1 {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Minimum, binary16.
    pub m: [u8; 2],
    /// Fifth bits, a little-endian `u32`.
    pub qh: [u8; 4],
    /// Low four bits, nibbles.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ5_1>() == 24);

impl Block for BlockQ5_1 {
    const LEN: usize = 32;
    const OFFSET: u8 = 0;
    const MAX: u8 = 31;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::Per32;

    #[inline(always)]
    fn group(&self, _: usize) -> Group {
        Group {
            q: five_bits(&self.qs, self.qh),
            s: [1, 1],
            d: f16::from_le_bytes(self.d).to_f32(),
            m: [f16::from_le_bytes(self.m).to_f32(); 2],
        }
    }
}
