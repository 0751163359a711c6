//! IQ1_S: 256 weights of 1.56 bits, eight at a time from a codebook of 2048 entries of −1,
//! 0 and 1; every 32 have a scale of three bits and are all shifted by an eighth.
//!
//! ```text
//! byte   0   1   2        33   34           49
//!      ┌───────┬────────────┬────────────────┐
//!      │ d f16 │ qs [32]    │ qh [8] u16     │
//!      └───────┴────────────┴────────────────┘
//!
//! weights 8i .. 8i + 8 of group g: the lower eight bits of the index are qs[4g + i], the
//!     upper three are bits 3i to 3i + 2 of qh[g]
//! qh[g]: bits 12 to 14 are the scale of group g; bit 15 shifts it down instead of up
//!
//! weight = d · (2 · scale + 1) · (entry ± 1/8)
//! ```
//!
//! Quants are in eighths, so the shift is one of them.

use super::codebook::{Book, Codebook, IQ1, codebook_format, odd};
use super::{Block, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockIQ1_S {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Lower eight bits of the indices.
    pub qs: [[u8; 4]; 8],
    /// Upper bits, scale and shift of each group, a little-endian `u16`.
    pub qh: [[u8; 2]; 8],
}

const _: () = assert!(size_of::<BlockIQ1_S>() == 50);

impl BlockIQ1_S {
    /// What a group has beside the lower bits of its indices.
    #[inline(always)]
    fn rest(&self, group: usize) -> u16 {
        u16::from_le_bytes(self.qh[group])
    }
}

impl Codebook for BlockIQ1_S {
    type Entry = u64;
    const BOOK: Book<u64> = IQ1;
    const SHIFTED: bool = true;
    const UNIT: f32 = 1.0 / 8.0;

    #[inline(always)]
    fn scale(&self) -> f16 {
        f16::from_le_bytes(self.d)
    }

    #[inline(always)]
    fn subscales(&self, group: usize) -> [i8; 2] {
        [odd(self.rest(group).into(), 12..15); 2]
    }

    #[inline(always)]
    fn indices(&self, group: usize) -> [u16; 4] {
        let (qs, rest) = (self.qs[group], self.rest(group));
        inlined::from_fn(|i| (rest >> (3 * i) & 7) << 8 | u16::from(qs[i]))
    }

    #[inline(always)]
    fn signs(&self, group: usize) -> [u8; 4] {
        // All bits are the highest.
        [(self.rest(group).cast_signed() >> 15) as u8; 4]
    }
}

codebook_format!(BlockIQ1_S, 9);
