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

use super::codebook::{IQ2_S, odd, of_eights, signed};
use super::{Block, Group, Minimum};
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

impl Block for BlockIQ2_S {
    const LEN: usize = 256;
    const OFFSET: u8 = 43;
    const MAX: u8 = 86;
    const SUBSCALES: bool = true;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let (qs, signs) = (self.qs[index], self.signs[index]);
        let (high, scales) = (self.qh[index], u32::from(self.scales[index]));
        let entry = |i: usize| IQ2_S[usize::from(high >> (2 * i) & 3) << 8 | usize::from(qs[i])];
        Group {
            q: of_eights(|i| signed(entry(i), signs[i])),
            s: [odd(scales, 0..4), odd(scales, 4..8)],
            d: f16::from_le_bytes(self.d).to_f32() / 8.0,
            m: [0.0; 2],
        }
    }
}
