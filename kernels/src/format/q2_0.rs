//! Q2_0: 64 weights of 2 bits with one scale.
//!
//! ```text
//! byte   0   1   2        17
//!      ┌───────┬────────────┐
//!      │ d f16 │ qs [16]    │   byte i: weights 4i .. 4i + 4, the lowest two bits first
//!      └───────┴────────────┘
//!
//! weight = d · (two bits − 1)
//! ```

use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 64 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ2_0 {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Pairs of bits, eight bytes for each group.
    pub qs: [[u8; 8]; 2],
}

const _: () = assert!(size_of::<BlockQ2_0>() == 18);

impl Block for BlockQ2_0 {
    const LEN: usize = 64;
    const OFFSET: u8 = 1;
    const MAX: u8 = 3;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let bits = u64::from_le_bytes(self.qs[index]);
        let q: [i8; GROUP] = inlined::from_fn(|i| (bits >> (2 * i) & 3) as i8 - 1);
        Group::scaled(q, f16::from_le_bytes(self.d).to_f32())
    }
}
