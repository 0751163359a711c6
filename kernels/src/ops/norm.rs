//! Norms over rows.
//!
//! # Definition
//!
//! Sums run over sixteen partial sums by index modulo 16, each in ascending
//! order, folded in halves; `n` is the length of a row.
//!
//! ```text
//! mean  = 0                                       of an RMS norm
//! mean  = Σ x / n                                 of a layer norm
//!
//! scale = 1 / √(Σ (x − mean)² / n + eps)          Σ by fma
//! out   = ((x − mean) · scale) · weight           without a bias
//! out   = fma((x − mean) · scale, weight, bias)   with one
//! ```
//!
//! Sources: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019;
//! Ba, Kiros and Hinton, "Layer Normalization", 2016.

use super::{row_count, unit_rows};
use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{Lanes, Op};
use crate::team::Region;

/// What rows are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// The root of their mean square.
    Rms,
    /// Their deviation from the mean, which is taken away before.
    Layer,
}

/// A norm.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// What rows are divided by.
    pub kind: NormKind,
    /// Epsilon.
    pub eps: f32,
    /// Length of a row. With the heads of `[tokens, heads · head_dim]` as rows of
    /// `head_dim` it is the per-head norm.
    pub cols: usize,
    /// Factors, of one row or of several, which then take turns.
    pub weight: &'a [f32],
    /// What is added afterwards, if anything is.
    pub bias: Option<&'a [f32]>,
}

/// `Σ x`.
#[inline(always)]
fn sum<L: Lanes>(l: L, x: &[f32]) -> f32 {
    let mut sum = l.splat(0.0);
    let (body, tail) = x.as_chunks();
    for x in body {
        sum = l.add(sum, l.load(x));
    }
    if !tail.is_empty() {
        sum = l.add(sum, l.load_part(tail, -0.0));
    }
    l.fold(sum)
}

/// `Σ (x − mean)²`.
#[inline(always)]
fn sum_of_squares<L: Lanes>(l: L, x: &[f32], mean: f32) -> f32 {
    let mean_lanes = l.splat(mean);
    let mut sum = l.splat(0.0);
    let (body, tail) = x.as_chunks();
    for x in body {
        let x = l.sub(l.load(x), mean_lanes);
        sum = l.fma(x, x, sum);
    }
    if !tail.is_empty() {
        // The lanes beyond the row are zero and add nothing.
        let x = l.sub(l.load_part(tail, mean), mean_lanes);
        sum = l.fma(x, x, sum);
    }
    l.fold(sum)
}

/// One row, in place.
struct Row<'a> {
    kind: NormKind,
    eps: f32,
    row: &'a mut [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Op for Row<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let n = self.row.len() as f32;
        let mean = match self.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => sum(l, self.row) / n,
        };
        let scale = 1.0 / (sum_of_squares(l, self.row, mean) / n + self.eps).sqrt();
        let (mean_lanes, scale_lanes) = (l.splat(mean), l.splat(scale));
        let (row, row_tail) = self.row.as_chunks_mut();
        let (weight, weight_tail) = self.weight.as_chunks();
        let bias = self.bias.map(|bias| bias.as_chunks());
        for (i, (x, weight)) in zip(row.iter_mut(), weight).enumerate() {
            let normed = l.mul(l.sub(l.load(x), mean_lanes), scale_lanes);
            let weight = l.load(weight);
            let y = match bias {
                Some((bias, _)) => l.fma(normed, weight, l.load(&bias[i])),
                None => l.mul(normed, weight),
            };
            l.store(y, x);
        }
        for (i, (x, weight)) in zip(row_tail.iter_mut(), weight_tail).enumerate() {
            let normed = (*x - mean) * scale;
            *x = match bias {
                Some((_, bias)) => normed.mul_add(*weight, bias[i]),
                None => normed * weight,
            };
        }
    }
}

/// Norms the rows of `x`.
///
/// # Panics
///
/// If lengths do not fit.
pub fn norm(region: &Region<'_>, isa: Isa, norm: &Norm<'_>, out: &mut [f32], x: &[f32]) {
    assert_eq!(out.len(), x.len(), "lengths of output and input");
    rows(region, isa, norm, Some(x), out);
}

/// Norms the rows of `x` in place.
///
/// # Panics
///
/// If lengths do not fit.
pub fn norm_in_place(region: &Region<'_>, isa: Isa, norm: &Norm<'_>, x: &mut [f32]) {
    rows(region, isa, norm, None, x);
}

fn rows(region: &Region<'_>, isa: Isa, norm: &Norm<'_>, x: Option<&[f32]>, out: &mut [f32]) {
    let Norm {
        kind,
        eps,
        cols,
        weight,
        bias,
    } = *norm;
    if let Some(bias) = bias {
        assert_eq!(bias.len(), weight.len(), "lengths of bias and weight");
    }
    if row_count(out, cols) == 0 {
        return;
    }
    let weights = row_count(weight, cols);
    assert!(weights > 0, "weights for rows of {cols}");
    let rows = unit_rows(cols);
    region.chunks_mut(out, rows * cols, |unit, out| {
        for (index, row) in out.chunks_exact_mut(cols).enumerate() {
            let index = unit * rows + index;
            if let Some(x) = x {
                row.copy_from_slice(&x[index * cols..][..cols]);
            }
            let of_row = index % weights * cols..(index % weights + 1) * cols;
            isa.run(Row {
                kind,
                eps,
                row,
                weight: &weight[of_row.clone()],
                bias: bias.map(|bias| &bias[of_row]),
            });
        }
    });
}
