//! IQ2_XXS: 256 weights of 2.06 bits, eight at a time from a codebook of 256 entries
//! with signs beside them; every 32 have a scale of four bits.
//!
//! ```text
//! byte   0   1   2                         65
//!      ┌───────┬────────────────────────────┐
//!      │ d f16 │ qs [64]                    │   eight bytes for each group
//!      └───────┴────────────────────────────┘
//!
//! group g: bytes 8g .. 8g + 4 of qs are the indices of its four times eight weights;
//!     the u32 after them has seven bits of signs for each eight, from the lowest on, and
//!     the scale in its upper four
//!
//! weight = d · (2 · scale + 1) / 8 · ±entry
//! ```

use super::codebook::{Codebook, IQ2_XXS, codebook_format, odd, signed_evenly};
use super::{Block, Group, Minimum};
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockIQ2_XXS {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Indices, signs and scale of each group.
    pub qs: [[u8; 8]; 8],
}

const _: () = assert!(size_of::<BlockIQ2_XXS>() == 66);

impl Codebook for BlockIQ2_XXS {
    #[inline(always)]
    fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32() / 8.0
    }

    #[inline(always)]
    fn eights(&self, index: usize) -> ([u64; 4], [i8; 2]) {
        let [a, b, c, d, rest @ ..] = self.qs[index];
        let (indices, rest) = ([a, b, c, d], u32::from_le_bytes(rest));
        let eight = |i: usize| signed_evenly(IQ2_XXS[usize::from(indices[i])], rest, i);
        (
            [eight(0), eight(1), eight(2), eight(3)],
            [odd(rest, 28..32); 2],
        )
    }
}

codebook_format!(BlockIQ2_XXS, 43);
