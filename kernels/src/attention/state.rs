//! What is known about the rows of a unit of work after some positions.
//!
//! ```text
//! one slice of f32:   max [rows]   sum [rows][16]   values [rows][groups][16]
//! ```
//!
//! where `groups` is the number of sixteens that hold a head of values.

use crate::inlined::zip;
use crate::lanes::{LANES, Lanes};
use crate::ops::exp_to_one;

/// Maximum, partial sums and sums of values of some query rows.
pub struct State<'a> {
    pub max: &'a mut [f32],
    pub sum: &'a mut [[f32; LANES]],
    /// `[rows][groups]`
    pub values: &'a mut [[f32; LANES]],
}

/// The same, to be read.
pub struct StateRef<'a> {
    max: &'a [f32],
    sum: &'a [[f32; LANES]],
    values: &'a [[f32; LANES]],
}

/// Length of the slice for `rows` rows of `groups` sixteens.
pub fn state_len(rows: usize, groups: usize) -> usize {
    rows * (1 + LANES + LANES * groups)
}

impl<'a> State<'a> {
    /// Views a slice of at least [`state_len`] values.
    #[inline]
    pub fn new(data: &'a mut [f32], rows: usize, groups: usize) -> State<'a> {
        let (max, data) = data.split_at_mut(rows);
        let (sum, data) = data.split_at_mut(rows * LANES);
        let (values, _) = data.split_at_mut(rows * groups * LANES);
        State {
            max,
            sum: sum.as_chunks_mut().0,
            values: values.as_chunks_mut().0,
        }
    }

    /// The state before the first position.
    #[inline]
    pub fn reset(&mut self) {
        self.max.fill(f32::NEG_INFINITY);
        self.sum.as_flattened_mut().fill(0.0);
        self.values.as_flattened_mut().fill(0.0);
    }

    /// To be read.
    pub fn as_ref(&self) -> StateRef<'_> {
        StateRef {
            max: self.max,
            sum: self.sum,
            values: self.values,
        }
    }

    /// Combines row `row` with its state in a later split.
    #[inline(always)]
    pub fn merge_row<L: Lanes>(&mut self, l: L, later: &StateRef<'_>, row: usize) {
        let (old, new) = (self.max[row], later.max[row]);
        let max = if old > new { old } else { new };
        let a = exp_to_one(l, l.splat(old - max));
        let b = exp_to_one(l, l.splat(new - max));
        self.max[row] = max;
        merge(l, a, &mut self.sum[row], b, &later.sum[row]);
        let groups = self.values.len() / self.max.len();
        for i in row * groups..(row + 1) * groups {
            merge(l, a, &mut self.values[i], b, &later.values[i]);
        }
    }

    /// Writes row `row` divided by its sum, to which a sink adds its share.
    #[inline(always)]
    pub fn write_row<L: Lanes>(&self, l: L, row: usize, sink: Option<f32>, out: &mut [f32]) {
        let sum = l.fold(l.load(&self.sum[row]));
        let inverse = match sink {
            None => l.splat(1.0 / sum),
            Some(sink) => {
                let old = self.max[row];
                let max = if old > sink { old } else { sink };
                let a = exp_to_one(l, l.splat(old - max));
                let b = exp_to_one(l, l.splat(sink - max));
                l.div(a, l.fma(a, l.splat(sum), b))
            }
        };
        let groups = self.values.len() / self.max.len();
        let values = &self.values[row * groups..(row + 1) * groups];
        for (values, out) in zip(values.iter(), out.chunks_mut(LANES)) {
            l.store_part(l.mul(l.load(values), inverse), out);
        }
    }
}

impl<'a> StateRef<'a> {
    /// Views a slice as [`State::new`] does.
    #[inline]
    pub fn new(data: &'a [f32], rows: usize, groups: usize) -> StateRef<'a> {
        let (max, data) = data.split_at(rows);
        let (sum, data) = data.split_at(rows * LANES);
        StateRef {
            max,
            sum: sum.as_chunks().0,
            values: data[..rows * groups * LANES].as_chunks().0,
        }
    }
}

/// `to = fma(b, from, to · a)`.
#[inline(always)]
fn merge<L: Lanes>(l: L, a: L::F, to: &mut [f32; LANES], b: L::F, from: &[f32; LANES]) {
    l.store(l.fma(b, l.load(from), l.mul(l.load(to), a)), to);
}
