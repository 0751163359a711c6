//! Sums and multiples, element by element; one rounding each.

use super::{UNIT_LEN, row_count, sigmoid_of, unit_rows};
use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{Lanes, Op};
use crate::team::Region;

/// A function of two lanes' values.
pub(super) trait Binary: Copy + Sync {
    fn apply<L: Lanes>(self, l: L, a: L::F, b: L::F) -> L::F;
}

/// `a[i] = f(a[i], b[i])`.
struct InPlace<'a, F> {
    f: F,
    a: &'a mut [f32],
    b: &'a [f32],
}

impl<F: Binary> Op for InPlace<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (a, a_tail) = self.a.as_chunks_mut();
        let (b, b_tail) = self.b.as_chunks();
        for (a, b) in zip(a.iter_mut(), b) {
            l.store(self.f.apply(l, l.load(a), l.load(b)), a);
        }
        if !a_tail.is_empty() {
            let (a, b) = (l.load_part(a_tail, 0.0), l.load_part(b_tail, 0.0));
            l.store_part(self.f.apply(l, a, b), a_tail);
        }
    }
}

/// `a[i] = f(a[i], b[i])`, spread over the team.
#[track_caller]
pub(super) fn in_place(region: &Region<'_>, isa: Isa, f: impl Binary, a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "lengths of the two operands");
    region.chunks_mut(a, UNIT_LEN, |unit, a| {
        let b = &b[unit * UNIT_LEN..][..a.len()];
        isa.run(InPlace { f, a, b });
    });
}

#[derive(Clone, Copy)]
struct Product;

impl Binary for Product {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, a: L::F, b: L::F) -> L::F {
        l.mul(a, b)
    }
}

#[derive(Clone, Copy)]
struct Sum;

impl Binary for Sum {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, a: L::F, b: L::F) -> L::F {
        l.add(a, b)
    }
}

/// `x[i] = x[i] + y[i]`.
///
/// # Panics
///
/// If the lengths differ.
pub fn add(region: &Region<'_>, isa: Isa, x: &mut [f32], y: &[f32]) {
    in_place(region, isa, Sum, x, y);
}

/// `x[i] = x[i] · y[i]`.
///
/// # Panics
///
/// If the lengths differ.
pub fn mul(region: &Region<'_>, isa: Isa, x: &mut [f32], y: &[f32]) {
    in_place(region, isa, Product, x, y);
}

/// `x[r, i] = x[r, i] + bias[i]`.
///
/// # Panics
///
/// If `x` is no whole number of rows as long as `bias`.
pub fn add_bias(region: &Region<'_>, isa: Isa, x: &mut [f32], bias: &[f32]) {
    row_count(x, bias.len());
    let cols = bias.len().max(1);
    region.chunks_mut(x, unit_rows(cols) * cols, |_, rows| {
        for a in rows.chunks_exact_mut(cols) {
            isa.run(InPlace { f: Sum, a, b: bias });
        }
    });
}

struct Scale<'a> {
    x: &'a mut [f32],
    factor: f32,
}

impl Op for Scale<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let factor = l.splat(self.factor);
        let (x, tail) = self.x.as_chunks_mut();
        for x in x {
            l.store(l.mul(l.load(x), factor), x);
        }
        for x in tail {
            *x *= self.factor;
        }
    }
}

/// `x[r, i] = x[r, i] · factors[r]`.
///
/// # Panics
///
/// If `x` is not as many rows as there are factors.
pub fn scale_rows(region: &Region<'_>, isa: Isa, x: &mut [f32], factors: &[f32]) {
    let cols = x.len().checked_div(factors.len()).unwrap_or(0);
    assert_eq!(cols * factors.len(), x.len(), "rows for the factors");
    region.chunks_mut(x, cols.max(1), |row, x| {
        let factor = factors[row];
        isa.run(Scale { x, factor });
    });
}

/// `x[r, i] = x[r, i] / (1 + exp(−gate[r]))`, what multiplies a row rounded once.
///
/// # Panics
///
/// If `x` is not as many rows as there are gates.
pub fn sigmoid_rows(region: &Region<'_>, isa: Isa, x: &mut [f32], gates: &[f32]) {
    let factors: Vec<f32> = gates.iter().copied().map(sigmoid_of).collect();
    scale_rows(region, isa, x, &factors);
}

/// `x[i] = x[i] · factor`.
pub fn scale(region: &Region<'_>, isa: Isa, x: &mut [f32], factor: f32) {
    region.chunks_mut(x, UNIT_LEN, |_, x| isa.run(Scale { x, factor }));
}

/// Rows times weights, added to a row.
struct AddWeighted<'a> {
    sum: &'a mut [f32],
    x: &'a [f32],
    terms: &'a [(usize, f32)],
}

impl Op for AddWeighted<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let AddWeighted { sum, x, terms } = self;
        let cols = sum.len();
        let (sum, tail) = sum.as_chunks_mut();
        let tail_start = cols - tail.len();
        for (at, sum) in sum.iter_mut().enumerate() {
            let mut total = l.load(sum);
            for &(row, weight) in terms {
                let (x, _) = x[row * cols..][..cols].as_chunks();
                total = l.fma(l.splat(weight), l.load(&x[at]), total);
            }
            l.store(total, sum);
        }
        if !tail.is_empty() {
            let mut total = l.load_part(tail, 0.0);
            for &(row, weight) in terms {
                let x = &x[row * cols..][tail_start..cols];
                total = l.fma(l.splat(weight), l.load_part(x, 0.0), total);
            }
            l.store_part(total, tail);
        }
    }
}

/// `sum[r] = sum[r] + Σ weight · x[row]` over the terms `(row, weight)` of row `r`, in
/// their order, each with a fused multiply-add.
///
/// # Panics
///
/// If `sum` is not as many rows as there are lists of terms, or a term is of no row of
/// `x`.
pub fn add_weighted(
    region: &Region<'_>,
    isa: Isa,
    sum: &mut [f32],
    x: &[f32],
    terms: &[Vec<(usize, f32)>],
) {
    let cols = sum.len().checked_div(terms.len()).unwrap_or(0);
    assert_eq!(cols * terms.len(), sum.len(), "rows for the terms");
    region.chunks_mut(sum, cols.max(1), |row, sum| {
        let terms = &terms[row];
        isa.run(AddWeighted { sum, x, terms });
    });
}
