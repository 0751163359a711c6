//! An octet of two rows side by side.

use super::OCTET;
use crate::isa::is_intel;
use bytemuck::{Pod, Zeroable};

/// A value for each group of two rows: of the first, then of the second.
pub type OfTwo<T> = [T; 2 * OCTET];

/// How integer sums are multiplied with the scales of activations, `d = 2ᵃ ± 2ᵇ`
/// ([`scale_for`](super::scale_for)): which is faster depends on the processor, and both
/// are exact.
///
/// Sums begin with the bits of a float with some last bit, and end as one that is the sum
/// in units of that bit, plus [`ONES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// By additions, where these have ports of their own: sums count `2ᵃ`; adding to
    /// their exponents makes that `± 2ᵇ`, and the two are added.
    Adding,
    /// By a multiplication, where additions take the ports that multiply: sums count ones.
    Multiplying,
}

impl Scaling {
    /// Every way.
    pub const ALL: [Scaling; 2] = [Scaling::Adding, Scaling::Multiplying];

    /// What this processor does faster.
    pub fn of_this_processor() -> Scaling {
        match is_intel() {
            true => Scaling::Multiplying,
            false => Scaling::Adding,
        }
    }
}

/// An octet of two rows side by side: what many tokens are multiplied with where
/// vectors have 64 bytes, prepared for one [`Scaling`].
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Pair {
    /// Quants, by step: four of each group.
    pub q: [[i8; 64]; 8],
    /// `d · ONES`.
    pub ones: OfTwo<f32>,
    /// When adding: what, added to the bits of a float, multiplies it with `± 2ᵇ / 2ᵃ`.
    /// When multiplying: the bits of `d`.
    pub by: OfTwo<i32>,
    /// When adding: the bits of `2ᵃ · ONES`, to which integers may be added that count
    /// `2ᵃ`. When multiplying: those of `ONES`.
    pub bits: OfTwo<i32>,
    /// `d · Σ q` of each group.
    pub xsum: OfTwo<f32>,
    /// `− Σ q` of the first and the last half of each group.
    pub neg_sums: [OfTwo<i32>; 2],
}

/// A float whose last bit counts ones.
pub const ONES: f32 = 1.5 * (1 << 23) as f32;

const _: () = assert!(size_of::<Pair>() == 896);
