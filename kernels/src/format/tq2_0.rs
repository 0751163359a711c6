//! TQ2_0: 256 weights of 2 bits with one scale, made for weights of −1, 0 and 1.
//!
//! ```text
//! byte   0          63   64 65
//!      ┌──────────────┬───────┐
//!      │ qs [64]      │ d f16 │
//!      └──────────────┴───────┘
//!
//! group g (weights 32g .. 32g + 32), with h = g / 4 and j = g mod 4:
//!     weight i: qs[32h + i], bits 2j and 2j + 1
//!
//! weight = d · (two bits − 1)
//! ```

use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockTQ2_0 {
    /// Pairs of bits, four to a byte.
    pub qs: [u8; 64],
    /// Scale, binary16.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<BlockTQ2_0>() == 66);

impl Block for BlockTQ2_0 {
    const LEN: usize = 256;
    const OFFSET: u8 = 1;
    const MAX: u8 = 3;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let (h, j) = (index / 4, index % 4);
        let bytes = &self.qs[32 * h..][..GROUP];
        let q: [i8; GROUP] = inlined::from_fn(|i| (bytes[i] >> (2 * j) & 3) as i8 - 1);
        Group::scaled(q, f16::from_le_bytes(self.d).to_f32())
    }
}
