//! IQ2_S: 256 weights of 2.56 bits, eight at a time from a codebook of 1024 entries with
//! signs beside them; every 16 have a scale of four bits.
//!
//! ```text
//! byte   0   1   2        33   34        65   66     73   74        81
//!      ┌───────┬────────────┬──────────────┬───────────┬─────────────┐
//!      │ d f16 │ qs [32]    │ signs [32]   │ qh [8]    │ scales [8]  │
//!      └───────┴────────────┴──────────────┴───────────┴─────────────┘
//!
//! weights 8i .. 8i + 8 of group g: the lower eight bits of the index are qs[4g + i], the
//!     upper two are bits 2i and 2i + 1 of qh[g]; bit j of signs[4g + i] is the sign of weight j
//! scales[g]: the low nibble for the first, the high one for the last 16 weights of group g
//!
//! weight = d · (2 · scale + 1) / 8 · ±entry
//! ```

use super::codebook::{Book, Codebook, IQ2_S, codebook_format, odd_nibbles};
use super::{Block, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockIQ2_S {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Lower eight bits of the indices.
    pub qs: [[u8; 4]; 8],
    /// Signs.
    pub signs: [[u8; 4]; 8],
    /// Upper two bits of the indices.
    pub qh: [u8; 8],
    /// Scales of the halves of each group, nibbles.
    pub scales: [u8; 8],
}

const _: () = assert!(size_of::<BlockIQ2_S>() == 82);

impl Codebook for BlockIQ2_S {
    type Entry = u64;
    const BOOK: Book<u64> = IQ2_S;
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
        let (qs, high) = (self.qs[group], u16::from(self.qh[group]));
        inlined::from_fn(|i| (high << (8 - 2 * i) & 0x300) | u16::from(qs[i]))
    }

    #[inline(always)]
    fn signs(&self, group: usize) -> [u8; 4] {
        self.signs[group]
    }
}

codebook_format!(BlockIQ2_S, 43);
