//! Softmax over rows.
//!
//! # Definition
//!
//! ```text
//! m      = max x              NaNs do not count
//! e[i]   = exp(x[i] − m)      exp as in [`super::exp`]
//! sum    = Σ e                sixteen partial sums, folded in halves
//! out[i] = e[i] / sum
//! ```
//!
//! A row that holds a NaN or +∞, or nothing above −∞, becomes NaN throughout.

use super::{exp, row_count, unit_rows};
use crate::isa::Isa;
use crate::lanes::{Lanes, Op};
use crate::team::Region;

struct Softmax<'a>(&'a mut [f32]);

impl Op for Softmax<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (body, tail) = self.0.as_chunks_mut();
        let tail_lanes = l.load_part(tail, f32::NEG_INFINITY);
        let mut max = tail_lanes;
        max = l.max(max, l.splat(f32::NEG_INFINITY)); // not a NaN
        for x in body.iter() {
            max = l.max(l.load(x), max);
        }
        let max = l.splat(l.fold_max(max));

        let mut sum = l.splat(0.0);
        for x in body.iter_mut() {
            let e = exp(l, l.sub(l.load(x), max));
            l.store(e, x);
            sum = l.add(sum, e);
        }
        if !tail.is_empty() {
            let e = exp(l, l.sub(tail_lanes, max));
            l.store_part(e, tail);
            sum = l.add(sum, e); // zero beyond the row
        }
        let sum = l.fold(sum);

        let sum_lanes = l.splat(sum);
        for e in body {
            l.store(l.div(l.load(e), sum_lanes), e);
        }
        for e in tail {
            *e /= sum;
        }
    }
}

/// Softmax of one row, in place, on the calling thread.
pub fn softmax_row(isa: Isa, x: &mut [f32]) {
    isa.run(Softmax(x));
}

/// Softmax of each row of `x`: `[rows, cols]`, in place.
///
/// # Panics
///
/// If `x` is no whole number of rows.
pub fn softmax(region: &Region<'_>, isa: Isa, x: &mut [f32], cols: usize) {
    if row_count(x, cols) == 0 {
        return;
    }
    region.chunks_mut(x, unit_rows(cols) * cols, |_, rows| {
        for row in rows.chunks_exact_mut(cols) {
            isa.run(Softmax(row));
        }
    });
}
