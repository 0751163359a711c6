//! Eight groups of a row in registers.

use super::vector::to_float;
use crate::activation::{Int8Row, OCTET, OCTET_LEN};
use crate::format::{Block, Minimum};
use std::arch::aarch64::*;

/// A value for each of eight groups.
pub type PerGroup = [float32x4_t; 2];

/// Eight groups of a row, unpacked.
///
/// What a format does not have (minimums, sub-scales) is left zero and costs
/// nothing once inlined.
#[derive(Clone, Copy)]
pub struct Octet {
    /// Quants, the first and the last halves of each group.
    pub q: [[int8x16_t; 2]; OCTET],
    /// Scales.
    pub d: PerGroup,
    /// Minimums of the first and the last halves.
    pub m: [PerGroup; 2],
    /// Sub-scales, in the order of the halves.
    pub s: [int16x8_t; 2],
}

impl Octet {
    /// Quants and scales; no minimums, no sub-scales.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn new(q: [[int8x16_t; 2]; OCTET], d: PerGroup) -> Octet {
        Octet {
            q,
            d,
            m: [[vdupq_n_f32(0.0); 2]; 2],
            s: [vdupq_n_s16(0); 2],
        }
    }

    /// With one minimum for each group.
    #[inline]
    pub fn with_minimum(self, m: PerGroup) -> Octet {
        Octet { m: [m; 2], ..self }
    }

    /// With minimums for the halves of each group.
    #[inline]
    pub fn with_minimums(self, m: [PerGroup; 2]) -> Octet {
        Octet { m, ..self }
    }

    /// With sub-scales.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn with_subscales(self, s: int8x16_t) -> Octet {
        let s = [vmovl_s8(vget_low_s8(s)), vmovl_high_s8(s)];
        Octet { s, ..self }
    }

    /// Scales of the first and the last halves of each group.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn scales_of_halves(&self) -> [PerGroup; 2] {
        let [low, high] = self.s;
        let [first, last] = [
            to_float(vuzp1q_s16(low, high)),
            to_float(vuzp2q_s16(low, high)),
        ];
        let times = |s: PerGroup| [vmulq_f32(self.d[0], s[0]), vmulq_f32(self.d[1], s[1])];
        [times(first), times(last)]
    }
}

/// A format whose blocks can be brought into registers.
pub trait Octets: Block {
    /// Blocks in an octet.
    const BLOCKS: usize = OCTET_LEN / Self::LEN;

    /// Unpacks an octet; `blocks` holds [`Octets::BLOCKS`] of them.
    ///
    /// # Safety
    ///
    /// The processor has Advanced SIMD.
    unsafe fn octet(blocks: &[Self]) -> Octet;
}

/// Minimums of a group.
pub const fn minimums<B: Block>() -> usize {
    match B::MINIMUM {
        Minimum::None => 0,
        Minimum::Per32 => 1,
        Minimum::Per16 => 2,
    }
}

/// Unpacks an octet of which the row has only the first blocks, as if zero
/// blocks followed.
#[inline]
#[target_feature(enable = "neon")]
pub fn zero_padded<B: Octets>(rest: &[B]) -> Octet {
    let mut padded = [B::zeroed(); OCTET];
    padded[..rest.len()].copy_from_slice(rest);
    // SAFETY: this function has the feature.
    unsafe { B::octet(&padded[..B::BLOCKS]) }
}

/// Quantized activations of a row, cut into octets.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Quants in paired order.
    pub q: &'a [[[i8; 16]; 2 * OCTET]],
    /// Scale of each group.
    pub d: &'a [[f32; OCTET]],
    /// `d · Σ q` of each group.
    pub xsum: &'a [[f32; OCTET]],
    /// `Σ q` of each half.
    pub sums: &'a [[i16; 2 * OCTET]],
}

impl<'a> Row<'a> {
    /// Cuts a row, which is a whole number of octets.
    #[inline]
    pub fn new(row: Int8Row<'a>) -> Row<'a> {
        Row {
            q: row.q.as_chunks().0.as_chunks().0,
            d: row.d.as_chunks().0,
            xsum: row.xsum.as_chunks().0,
            sums: row.sums.as_chunks().0,
        }
    }
}
