//! Q1_0: 128 weights of 1 bit with one scale.
//!
//! ```text
//! byte   0   1   2        17
//!      ┌───────┬────────────┐
//!      │ d f16 │ qs [16]    │   byte i: weights 8i .. 8i + 8, the lowest bit first
//!      └───────┴────────────┘
//!
//! weight = d if the bit is set, else −d
//! ```

use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 128 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ1_0 {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Bits, four bytes for each group.
    pub qs: [[u8; 4]; 4],
}

const _: () = assert!(size_of::<BlockQ1_0>() == 18);

impl Block for BlockQ1_0 {
    const LEN: usize = 128;
    const OFFSET: u8 = 1;
    const MAX: u8 = 2;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let bits = u32::from_le_bytes(self.qs[index]);
        let q: [i8; GROUP] = inlined::from_fn(|i| 2 * (bits >> i & 1) as i8 - 1);
        Group::scaled(q, f16::from_le_bytes(self.d).to_f32())
    }
}
