//! An octet of two rows side by side.

use super::OCTET;
use bytemuck::{Pod, Zeroable};

/// A value for each group of two rows: of the first, then of the second.
pub type OfTwo<T> = [T; 2 * OCTET];

/// An octet of two rows side by side: what many tokens are multiplied with where
/// vectors have 64 bytes.
///
/// Scales are `d = 2ᵃ ± 2ᵇ`, see [`scale_for`](super::scale_for), and stand here as
/// what integers and floats need to be scaled by additions alone. `ONES` is
/// 1.5 · 2²³, a float whose last bit counts ones.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Pair {
    /// Quants, by step: four of each group.
    pub q: [[i8; 64]; 8],
    /// `d · ONES`.
    pub ones: OfTwo<f32>,
    /// What, added to the bits of a float, multiplies it with `± 2ᵇ / 2ᵃ`.
    pub other: OfTwo<i32>,
    /// The bits of `2ᵃ · ONES`, to which integers may be added that count `2ᵃ`.
    pub bits: OfTwo<i32>,
    /// `d · Σ q` of each group.
    pub xsum: OfTwo<f32>,
    /// `− Σ q` of the first and the last half of each group.
    pub neg_sums: [OfTwo<i32>; 2],
}

/// See [`Pair`].
pub const ONES: f32 = 1.5 * (1 << 23) as f32;

const _: () = assert!(size_of::<Pair>() == 896);
