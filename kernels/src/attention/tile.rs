//! A few query rows and one chunk of keys and values: scores, weights, sums.

use super::cache::CHUNK;
use super::state::State;
use super::unit::Unit;
use crate::lanes::{LANES, Lanes};
use crate::ops::exp;
use std::ops::Range;

/// Panels of sixteen keys in a chunk.
pub const KEY_PANELS: usize = CHUNK / LANES;

/// Query rows and keys, in some format.
pub trait Keys {
    /// Scores of rows from `row` on with the sixteens of keys from `panel` on.
    fn scores<L: Lanes, const R: usize, const N: usize>(
        &self,
        l: L,
        row: usize,
        panel: usize,
    ) -> [[L::F; N]; R];
}

/// Values, in some format.
pub trait Values {
    /// `sums[r] = sums[r] · factors[r] + Σ p[r] · value` over the positions
    /// seen; up to `N` sixteens of dimensions at a time, as registers allow.
    fn add<L: Lanes, const R: usize, const N: usize>(
        &self,
        l: L,
        weights: &Weights<'_, L, R>,
        sums: [&mut [[f32; LANES]]; R],
    );
}

/// What values are multiplied with.
pub struct Weights<'a, L: Lanes, const R: usize> {
    /// Weights of the chunk's positions.
    pub p: [&'a [[f32; LANES]; KEY_PANELS]; R],
    /// Factors on what was summed before.
    pub factors: [L::F; R],
    /// Which of the chunk's positions are seen.
    pub seen: (usize, usize),
}

/// A chunk and the states that it is entering.
pub struct Tile<'a, 's, K, V> {
    pub unit: &'a Unit<'a>,
    pub positions: Range<usize>,
    pub keys: K,
    pub values: V,
    pub state: &'a mut State<'s>,
}

impl<K: Keys, V: Values> Tile<'_, '_, K, V> {
    /// Lets the positions of the chunk enter the states of `rows`, each of
    /// which sees at least one.
    #[inline(always)]
    pub fn enter<L: Lanes>(&mut self, l: L, rows: Range<usize>) {
        let mut row = rows.start;
        while row < rows.end {
            let left = rows.end - row;
            // Rows × panels that fit the registers and keep the multipliers
            // busy.
            row += if L::MANY {
                match left {
                    8.. => self.rows::<L, 8, 2>(l, row),
                    4.. => self.rows::<L, 4, 4>(l, row),
                    2.. => self.rows::<L, 2, 4>(l, row),
                    _ => self.rows::<L, 1, 4>(l, row),
                }
            } else {
                match left {
                    6.. => self.rows::<L, 6, 1>(l, row),
                    4.. => self.rows::<L, 4, 1>(l, row),
                    3 => self.rows::<L, 3, 2>(l, row),
                    2 => self.rows::<L, 2, 2>(l, row),
                    _ => self.rows::<L, 1, 4>(l, row),
                }
            };
        }
    }

    /// Does `R` rows from `row` on, with `N` panels at a time. Returns `R`.
    #[inline(always)]
    fn rows<L: Lanes, const R: usize, const N: usize>(&mut self, l: L, row: usize) -> usize {
        // What each row sees, counted from the chunk's first position.
        let begin = self.positions.start;
        let seen: [(usize, usize); R] = std::array::from_fn(|r| {
            let visible = self.unit.visible(row + r, self.positions.clone());
            (visible.start - begin, visible.end - begin)
        });
        let lowest = seen.iter().fold(CHUNK, |low, seen| low.min(seen.0));
        let highest = seen.iter().fold(0, |high, seen| high.max(seen.1));

        let mut p = [[[0.0; LANES]; KEY_PANELS]; R];
        let (mut panel, end) = (lowest / LANES, highest.div_ceil(LANES));
        while panel + N <= end {
            let scores = self.keys.scores::<L, R, N>(l, row, panel);
            for r in 0..R {
                for n in 0..N {
                    l.store(scores[r][n], &mut p[r][panel + n]);
                }
            }
            panel += N;
        }
        while panel < end {
            let scores = self.keys.scores::<L, R, 1>(l, row, panel);
            for r in 0..R {
                l.store(scores[r][0], &mut p[r][panel]);
            }
            panel += 1;
        }

        let mut factors = [l.splat(0.0); R];
        for r in 0..R {
            factors[r] = self.weights(l, row + r, seen[r], &mut p[r]);
        }

        let groups = self.unit.groups();
        let sums = &mut self.state.values[row * groups..(row + R) * groups];
        let mut sums = sums.chunks_exact_mut(groups);
        if seen.iter().all(|s| *s == seen[0]) {
            let weights = Weights::<L, R> {
                p: p.each_ref(),
                factors,
                seen: seen[0],
            };
            let sums = std::array::from_fn(|_| sums.next().expect("R rows"));
            self.values.add::<L, R, N>(l, &weights, sums);
        } else {
            for (r, sums) in sums.enumerate() {
                let weights = Weights::<L, 1> {
                    p: [&p[r]],
                    factors: [factors[r]],
                    seen: seen[r],
                };
                self.values.add::<L, 1, 4>(l, &weights, [sums]);
            }
        }
        R
    }

    /// Turns the scores of a row into weights; returns the factor on what the
    /// row has summed before.
    #[inline(always)]
    fn weights<L: Lanes>(
        &mut self,
        l: L,
        row: usize,
        seen: (usize, usize),
        scores: &mut [[f32; LANES]; KEY_PANELS],
    ) -> L::F {
        let lowest = l.splat(f32::NEG_INFINITY);
        let panels = seen.0 / LANES..seen.1.div_ceil(LANES);
        if seen != (0, CHUNK) {
            // The scores of what is not seen may be anything.
            let (first, end) = (l.splat(seen.0 as f32 - 0.5), l.splat(seen.1 as f32));
            for panel in panels.clone() {
                let at = l.load(&std::array::from_fn(|i| (panel * LANES + i) as f32));
                let s = l.load(&scores[panel]);
                let s = l.select_gt(end, at, s, lowest);
                l.store(l.select_gt(at, first, s, lowest), &mut scores[panel]);
            }
        }
        let mut highest = lowest;
        for panel in panels.clone() {
            highest = l.max(l.load(&scores[panel]), highest);
        }
        let old = self.state.max[row];
        let highest = l.fold_max(highest);
        let max = if old > highest { old } else { highest };
        self.state.max[row] = max;
        let factor = exp(l, l.splat(old - max));

        let max = l.splat(max);
        let sums = &mut self.state.sum[row];
        let mut sum = l.mul(l.load(sums), factor);
        for panel in panels {
            let p = exp(l, l.sub(l.load(&scores[panel]), max));
            l.store(p, &mut scores[panel]);
            sum = l.add(sum, p);
        }
        l.store(sum, sums);
        factor
    }
}
