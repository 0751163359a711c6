//! IQ2_XS: 256 weights of 2.31 bits, eight at a time from a codebook of 512 entries with
//! signs beside them; every 16 have a scale of four bits.
//!
//! ```text
//! byte   0   1   2             65   66        73
//!      ┌───────┬─────────────────┬─────────────┐
//!      │ d f16 │ qs [32] u16     │ scales [8]  │
//!      └───────┴─────────────────┴─────────────┘
//!
//! weights 8n .. 8n + 8: the index is in the lower nine bits of qs[n], seven bits of
//!     signs are above it
//! scales[g]: the low nibble for the first, the high one for the last 16 weights of group g
//!
//! weight = d · (2 · scale + 1) / 8 · ±entry
//! ```

use super::codebook::{Book, Codebook, IQ2_XS, codebook_format, even_bytes, odd_nibbles};
use super::{Block, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockIQ2_XS {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Index and signs of eight weights, a little-endian `u16`; four for each group.
    pub qs: [[[u8; 2]; 4]; 8],
    /// Scales of the halves of each group, nibbles.
    pub scales: [u8; 8],
}

const _: () = assert!(size_of::<BlockIQ2_XS>() == 74);

impl Codebook for BlockIQ2_XS {
    type Entry = u64;
    const BOOK: Book<u64> = IQ2_XS;
    const UNIT: f32 = 1.0 / 8.0;

    #[inline(always)]
    fn scale(&self) -> f16 {
        f16::from_le_bytes(self.d)
    }

    #[inline(always)]
    fn subscales(&self, group: usize) -> [i8; 2] {
        odd_nibbles(self.scales[group])
    }

    #[inline(always)]
    fn indices(&self, group: usize) -> [u16; 4] {
        inlined::map(self.qs[group], |qs| u16::from_le_bytes(qs) & 511)
    }

    #[inline(always)]
    fn signs(&self, group: usize) -> [u8; 4] {
        let sevens = inlined::map(self.qs[group], |[_, high]| high >> 1);
        even_bytes(u32::from_le_bytes(sevens)).to_le_bytes()
    }
}

codebook_format!(BlockIQ2_XS, 43);
