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

use super::codebook::{odd, of_eights, shifted};
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

impl Block for BlockIQ1_S {
    const LEN: usize = 256;
    const OFFSET: u8 = 9;
    const MAX: u8 = 18;
    const SUBSCALES: bool = true;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let (qs, rest) = (self.qs[index], u16::from_le_bytes(self.qh[index]));
        let entry = |i: usize| (rest >> (3 * i) & 7) << 8 | u16::from(qs[i]);
        Group {
            q: of_eights(|i| shifted(entry(i), rest >> 15 == 1)),
            s: [odd(rest.into(), 12..15); 2],
            d: f16::from_le_bytes(self.d).to_f32() / 8.0,
            m: [0.0; 2],
        }
    }
}
