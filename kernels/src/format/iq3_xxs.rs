//! IQ3_XXS: 256 weights of 3.06 bits, four at a time from a codebook of 256 entries with
//! signs beside them; every 32 have a scale of four bits.
//!
//! ```text
//! byte   0   1   2        65   66              97
//!      ┌───────┬────────────┬───────────────────┐
//!      │ d f16 │ qs [64]    │ signs [8] u32     │
//!      └───────┴────────────┴───────────────────┘
//!
//! group g: bytes 8g .. 8g + 8 of qs are the indices of its eight times four weights;
//!     signs[g] has seven bits of signs for each eight, from the lowest on, and the scale
//!     in its upper four
//!
//! weight = d · (2 · scale + 1) / 4 · ±entry
//! ```

use super::codebook::{IQ3_XXS, beside, odd, of_eights, signed_evenly};
use super::{Block, Group, Minimum};
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockIQ3_XXS {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Indices.
    pub qs: [[u8; 8]; 8],
    /// Signs and scale of each group, a little-endian `u32`.
    pub signs: [[u8; 4]; 8],
}

const _: () = assert!(size_of::<BlockIQ3_XXS>() == 98);

impl Block for BlockIQ3_XXS {
    const LEN: usize = 256;
    const OFFSET: u8 = 62;
    const MAX: u8 = 124;
    const SUBSCALES: bool = true;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let (qs, signs) = (self.qs[index], u32::from_le_bytes(self.signs[index]));
        let four = |i: usize| IQ3_XXS[usize::from(qs[i])];
        let eight = |i: usize| beside(four(2 * i), four(2 * i + 1));
        Group {
            q: of_eights(|i| signed_evenly(eight(i), signs, i)),
            s: [odd(signs, 28..32); 2],
            d: f16::from_le_bytes(self.d).to_f32() / 4.0,
            m: [0.0; 2],
        }
    }
}
