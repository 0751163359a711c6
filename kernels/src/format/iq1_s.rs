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

use super::codebook::{Codebook, codebook_format, odd, shifted};
use super::{Block, Group, Minimum};
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

impl Codebook for BlockIQ1_S {
    #[inline(always)]
    fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32() / 8.0
    }

    #[inline(always)]
    fn eights(&self, index: usize) -> ([u64; 4], [i8; 2]) {
        let (qs, rest) = (self.qs[index], u16::from_le_bytes(self.qh[index]));
        let entry = |i: usize| (rest >> (3 * i) & 7) << 8 | u16::from(qs[i]);
        let eight = |i: usize| shifted(entry(i), rest >> 15 == 1);
        (
            [eight(0), eight(1), eight(2), eight(3)],
            [odd(rest.into(), 12..15); 2],
        )
    }
}

codebook_format!(BlockIQ1_S, 9);
