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

use super::codebook::{Book, Codebook, IQ3_XXS, codebook_format, made_even, odd};
use super::{Block, Group, Minimum};
use crate::inlined;
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
    type Entry = u32;
    const BOOK: Book<u32> = IQ3_XXS;
    const UNIT: f32 = 1.0 / 4.0;

    #[inline(always)]
    fn scale(&self) -> f16 {
        f16::from_le_bytes(self.d)
    }

    #[inline(always)]
    fn subscales(&self, group: usize) -> [i8; 2] {
        [odd(u32::from_le_bytes(self.signs[group]), 28..32); 2]
    }

    #[inline(always)]
    fn indices(&self, group: usize) -> [u16; 8] {
        inlined::map(self.qs[group], u16::from)
    }

    #[inline(always)]
    fn signs(&self, group: usize) -> [u8; 4] {
        made_even(u32::from_le_bytes(self.signs[group]))
    }
}

codebook_format!(BlockIQ3_XXS, 62);
