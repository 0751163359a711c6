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

use super::codebook::{Book, Codebook, IQ2_XXS, codebook_format, made_even, odd};
use super::{Block, Group, Minimum};
use crate::inlined;
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

impl BlockIQ2_XXS {
    /// The upper half of what a group has.
    #[inline(always)]
    fn signs_and_scale(&self, group: usize) -> u32 {
        let [_, _, _, _, rest @ ..] = self.qs[group];
        u32::from_le_bytes(rest)
    }
}

impl Codebook for BlockIQ2_XXS {
    type Entry = u64;
    const BOOK: Book<u64> = IQ2_XXS;
    const UNIT: f32 = 1.0 / 8.0;

    #[inline(always)]
    fn scale(&self) -> f16 {
        f16::from_le_bytes(self.d)
    }

    #[inline(always)]
    fn subscales(&self, group: usize) -> [i8; 2] {
        [odd(self.signs_and_scale(group), 28..32); 2]
    }

    #[inline(always)]
    fn indices(&self, group: usize) -> [u16; 4] {
        let [a, b, c, d, ..] = self.qs[group];
        inlined::map([a, b, c, d], u16::from)
    }

    #[inline(always)]
    fn signs(&self, group: usize) -> [u8; 4] {
        made_even(self.signs_and_scale(group))
    }
}

codebook_format!(BlockIQ2_XXS, 43);
