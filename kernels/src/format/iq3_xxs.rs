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

use super::codebook::{Codebook, IQ3_XXS, beside, codebook_format, odd, signed_evenly};
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

impl Codebook for BlockIQ3_XXS {
    #[inline(always)]
    fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32() / 4.0
    }

    #[inline(always)]
    fn eights(&self, index: usize) -> ([u64; 4], [i8; 2]) {
        let (qs, signs) = (self.qs[index], u32::from_le_bytes(self.signs[index]));
        let four = |i: usize| IQ3_XXS[usize::from(qs[i])];
        let beside = |i: usize| beside(four(2 * i), four(2 * i + 1));
        let eight = |i: usize| signed_evenly(beside(i), signs, i);
        (
            [eight(0), eight(1), eight(2), eight(3)],
            [odd(signs, 28..32); 2],
        )
    }
}

codebook_format!(BlockIQ3_XXS, 62);
