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

use super::codebook::{IQ2_XXS, odd, of_eights, signed_evenly};
use super::{Block, Group, Minimum};
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

impl Block for BlockIQ2_XXS {
    const LEN: usize = 256;
    const OFFSET: u8 = 43;
    const MAX: u8 = 86;
    const SUBSCALES: bool = true;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let [a, b, c, d, rest @ ..] = self.qs[index];
        let (indices, rest) = ([a, b, c, d], u32::from_le_bytes(rest));
        Group {
            q: of_eights(|i| signed_evenly(IQ2_XXS[usize::from(indices[i])], rest, i)),
            s: [odd(rest, 28..32); 2],
            d: f16::from_le_bytes(self.d).to_f32() / 8.0,
            m: [0.0; 2],
        }
    }
}
