//! IQ3_S: 256 weights of 3.44 bits, four at a time from a codebook of 512 entries with
//! signs beside them; every 32 have a scale of four bits.
//!
//! ```text
//! byte   0   1   2        65   66     73   74        105   106      109
//!      ┌───────┬────────────┬───────────┬───────────────┬─────────────┐
//!      │ d f16 │ qs [64]    │ qh [8]    │ signs [32]    │ scales [4]  │
//!      └───────┴────────────┴───────────┴───────────────┴─────────────┘
//!
//! weights 4i .. 4i + 4 of group g: the lower eight bits of the index are qs[8g + i], the
//!     upper one is bit i of qh[g]
//! weights 8i .. 8i + 8 of group g: bit j of signs[4g + i] is the sign of weight j
//! scale of group g: in scales[g / 2], the low nibble if g is even, the high one if it is odd
//!
//! weight = d · (2 · scale + 1) · ±entry
//! ```

use super::codebook::{Book, Codebook, IQ3_S, codebook_format, odd};
use super::{Block, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockIQ3_S {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Lower eight bits of the indices.
    pub qs: [[u8; 8]; 8],
    /// Upper bits of the indices.
    pub qh: [u8; 8],
    /// Signs.
    pub signs: [[u8; 4]; 8],
    /// Scales of two groups each, nibbles.
    pub scales: [u8; 4],
}

const _: () = assert!(size_of::<BlockIQ3_S>() == 110);

impl Codebook for BlockIQ3_S {
    type Entry = u32;
    const BOOK: Book<u32> = IQ3_S;
    const UNIT: f32 = 1.0;

    #[inline(always)]
    fn scale(&self) -> f16 {
        f16::from_le_bytes(self.d)
    }

    #[inline(always)]
    fn subscales(&self, group: usize) -> [i8; 2] {
        let scales = u32::from(self.scales[group / 2]) >> (group % 2 * 4);
        [odd(scales, 0..4); 2]
    }

    #[inline(always)]
    fn indices(&self, group: usize) -> [u16; 8] {
        let (qs, high) = (self.qs[group], u16::from(self.qh[group]));
        inlined::from_fn(|i| (high << (8 - i) & 256) | u16::from(qs[i]))
    }

    #[inline(always)]
    fn signs(&self, group: usize) -> [u8; 4] {
        self.signs[group]
    }
}

codebook_format!(BlockIQ3_S, 15);
