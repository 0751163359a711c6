//! Keys and values as floats.

use super::cache::CHUNK;
use super::panel::{Element, product};
use super::tile::{Keys, Values, Weights};
use crate::lanes::{LANES, Lanes};

/// Scaled query rows and the keys of a chunk.
pub struct FloatKeys<'a, E> {
    /// `[rows][dim]`
    pub q: &'a [f32],
    pub dim: usize,
    /// `[KEY_PANELS][dim]`
    pub keys: &'a [[E; LANES]],
}

impl<E: Element> Keys for FloatKeys<'_, E> {
    #[inline(always)]
    fn scores<L: Lanes, const R: usize, const N: usize>(
        &self,
        l: L,
        row: usize,
        panel: usize,
    ) -> [[L::F; N]; R] {
        let dim = self.dim;
        let a = std::array::from_fn(|r| &self.q[(row + r) * dim..][..dim]);
        let b = std::array::from_fn(|n| &self.keys[(panel + n) * dim..][..dim]);
        product(l, a, b, [[l.splat(0.0); N]; R])
    }
}

/// The values of a chunk: `[groups][CHUNK]`.
pub struct FloatValues<'a, E>(pub &'a [[E; LANES]]);

impl<E: Element> FloatValues<'_, E> {
    /// Adds to `N` groups from `group` on.
    #[inline(always)]
    pub fn add_groups<L: Lanes, const R: usize, const N: usize>(
        &self,
        l: L,
        weights: &Weights<'_, L, R>,
        sums: &mut [&mut [[f32; LANES]]; R],
        group: usize,
    ) {
        let (start, end) = weights.seen;
        let a = std::array::from_fn(|r| &weights.p[r].as_flattened()[start..end]);
        let b = std::array::from_fn(|n| &self.0[(group + n) * CHUNK..][start..end]);
        let mut acc = [[l.splat(0.0); N]; R];
        for r in 0..R {
            for n in 0..N {
                acc[r][n] = l.mul(l.load(&sums[r][group + n]), weights.factors[r]);
            }
        }
        let acc = product(l, a, b, acc);
        for r in 0..R {
            for n in 0..N {
                l.store(acc[r][n], &mut sums[r][group + n]);
            }
        }
    }
}

impl<E: Element> Values for FloatValues<'_, E> {
    #[inline(always)]
    fn add<L: Lanes, const R: usize, const N: usize>(
        &self,
        l: L,
        weights: &Weights<'_, L, R>,
        mut sums: [&mut [[f32; LANES]]; R],
    ) {
        let groups = sums[0].len();
        let mut group = 0;
        while group + N <= groups {
            self.add_groups::<L, R, N>(l, weights, &mut sums, group);
            group += N;
        }
        while group < groups {
            self.add_groups::<L, R, 1>(l, weights, &mut sums, group);
            group += 1;
        }
    }
}
