//! Scores become weights.
//!
//! Row after row would be one long chain: maximum, factor, weights. So all rows
//! go through one step after the other, and a vector holds the factors of
//! sixteen rows.

use super::cache::{CHUNK, KEY_PANELS};
use super::part::Part;
use super::state::State;
use super::unit::Unit;
use crate::inlined::{self, zip};
use crate::lanes::{LANES, Lanes, Op};
use crate::ops::{exp, exp_to_one};
use std::ops::Range;

/// Turns the scores of a chunk into weights, in place, and lets maxima and sums
/// of the states follow.
pub struct Weights<'a, 's> {
    pub unit: &'a Unit<'a>,
    pub part: &'a Part,
    /// `[rows][KEY_PANELS]`
    pub scores: &'a mut [[f32; LANES]],
    pub state: &'a mut State<'s>,
    /// By row: the factor on what has been summed before.
    pub factors: &'a mut [[f32; LANES]],
}

impl Op for Weights<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Part { rows, .. } = self.part;
        let (scores, _) = self.scores.as_chunks_mut::<KEY_PANELS>();
        let scores = &mut scores[rows.clone()];
        let max = &mut self.state.max[rows.clone()];
        let sums = &mut self.state.sum[rows.clone()];
        let (unit, part) = (self.unit, self.part);

        let factors = &mut self.factors.as_flattened_mut()[rows.clone()];
        for (row, ((scores, max), factor)) in zip(zip(scores.iter_mut(), max), factors).enumerate()
        {
            let seen = unit.seen(rows.start + row, part);
            if seen != (0..CHUNK) {
                hide(l, scores, &seen);
            }
            let highest = highest(l, &scores[panels(&seen)]);
            let old = *max;
            *max = if old > highest { old } else { highest };
            *factor = old - *max;
        }
        // Those of rows that are not among `rows` are nobody's.
        for factors in &mut self.factors[rows.start / LANES..rows.end.div_ceil(LANES)] {
            l.store(exp_to_one(l, l.load(factors)), factors);
        }
        let factors = &self.factors.as_flattened()[rows.clone()];
        let max = &self.state.max[rows.clone()];
        for (row, (((scores, sums), max), factor)) in
            zip(zip(zip(scores.iter_mut(), sums), max), factors).enumerate()
        {
            let seen = unit.seen(rows.start + row, part);
            let max = l.splat(*max);
            let mut sum = l.mul(l.load(sums), l.splat(*factor));
            for scores in &mut scores[panels(&seen)] {
                let weights = exp_to_one(l, l.sub(l.load(scores), max));
                l.store(weights, scores);
                sum = l.add(sum, weights);
            }
            l.store(sum, sums);
        }
    }
}

/// Keeps scores below a cap, in magnitude.
pub struct Cap<'a> {
    pub scores: &'a mut [[f32; LANES]],
    pub cap: f32,
}

impl Op for Cap<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (one, two, cap) = (l.splat(1.0), l.splat(2.0), l.splat(self.cap));
        for scores in self.scores {
            let e = exp(l, l.mul(two, l.div(l.load(scores), cap)));
            let tanh = l.sub(one, l.div(two, l.add(one, e)));
            l.store(l.mul(cap, tanh), scores);
        }
    }
}

/// The sixteens of a chunk with positions of `seen`.
#[inline(always)]
fn panels(seen: &Range<usize>) -> Range<usize> {
    seen.start / LANES..seen.end.div_ceil(LANES)
}

/// Makes the scores of what is not `seen`, which may be anything, the lowest.
#[inline(always)]
fn hide<L: Lanes>(l: L, scores: &mut [[f32; LANES]; KEY_PANELS], seen: &Range<usize>) {
    let lowest = l.splat(f32::NEG_INFINITY);
    let (first, end) = (l.splat(seen.start as f32 - 0.5), l.splat(seen.end as f32));
    for panel in panels(seen) {
        let at = l.load(&inlined::from_fn(|i| (panel * LANES + i) as f32));
        let s = l.load(&scores[panel]);
        let s = l.select_gt(end, at, s, lowest);
        l.store(l.select_gt(at, first, s, lowest), &mut scores[panel]);
    }
}

/// The highest score.
#[inline(always)]
fn highest<L: Lanes>(l: L, scores: &[[f32; LANES]]) -> f32 {
    let mut highest = l.splat(f32::NEG_INFINITY);
    for scores in scores {
        highest = l.max(l.load(scores), highest);
    }
    l.fold_max(highest)
}
