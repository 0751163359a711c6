//! Scores become weights.

use super::cache::{CHUNK, KEY_PANELS};
use super::state::State;
use super::unit::Unit;
use crate::lanes::{LANES, Lanes, Op};
use crate::ops::exp;
use std::ops::Range;

/// Turns the scores of a chunk into weights, in place, and lets maxima and sums
/// of the states follow.
pub struct Weights<'a, 's> {
    pub unit: &'a Unit<'a>,
    /// The chunk's positions.
    pub positions: Range<usize>,
    /// Rows that see some of them.
    pub rows: Range<usize>,
    /// `[rows][KEY_PANELS]`
    pub scores: &'a mut [[f32; LANES]],
    pub state: &'a mut State<'s>,
    /// By row: the factor on what has been summed before.
    pub factors: &'a mut [f32],
}

impl Op for Weights<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (scores, _) = self.scores.as_chunks_mut::<KEY_PANELS>();
        for row in self.rows {
            let seen = self.unit.seen(row, &self.positions);
            let (max, sum) = (&mut self.state.max[row], &mut self.state.sum[row]);
            self.factors[row] = enter(l, &mut scores[row], seen, max, sum);
        }
    }
}

/// Does one row. `seen` are the chunk's positions that the row sees.
#[inline(always)]
fn enter<L: Lanes>(
    l: L,
    scores: &mut [[f32; LANES]; KEY_PANELS],
    seen: Range<usize>,
    max: &mut f32,
    sums: &mut [f32; LANES],
) -> f32 {
    let lowest = l.splat(f32::NEG_INFINITY);
    let panels = seen.start / LANES..seen.end.div_ceil(LANES);
    if seen != (0..CHUNK) {
        // The scores of what is not seen may be anything.
        let (first, end) = (l.splat(seen.start as f32 - 0.5), l.splat(seen.end as f32));
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
    let highest = l.fold_max(highest);
    let old = *max;
    *max = if old > highest { old } else { highest };
    let factor = exp(l, l.splat(old - *max));

    let new = l.splat(*max);
    let mut sum = l.mul(l.load(sums), factor);
    for panel in panels {
        let p = exp(l, l.sub(l.load(&scores[panel]), new));
        l.store(p, &mut scores[panel]);
        sum = l.add(sum, p);
    }
    l.store(sum, sums);
    l.first(factor)
}
