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

use super::codebook::{Codebook, IQ3_S, beside, codebook_format, odd, signed};
use super::{Block, Group, Minimum};
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
    #[inline(always)]
    fn scale(&self) -> f32 {
        f16::from_le_bytes(self.d).to_f32()
    }

    #[inline(always)]
    fn eights(&self, index: usize) -> ([u64; 4], [i8; 2]) {
        let (qs, high, signs) = (self.qs[index], self.qh[index], self.signs[index]);
        let scales = u32::from(self.scales[index / 2]) >> (index % 2 * 4);
        let four = |i: usize| IQ3_S[usize::from(high >> i & 1) << 8 | usize::from(qs[i])];
        let beside = |i: usize| beside(four(2 * i), four(2 * i + 1));
        let eight = |i: usize| signed(beside(i), signs[i]);
        (
            [eight(0), eight(1), eight(2), eight(3)],
            [odd(scales, 0..4); 2],
        )
    }
}

codebook_format!(BlockIQ3_S, 15);
