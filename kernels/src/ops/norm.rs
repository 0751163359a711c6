//! Norms over rows.
//!
//! # Definition
//!
//! Sums run over sixteen partial sums by index modulo 16, each in ascending
//! order, folded in halves; `n` is the length of a row.
//!
//! ```text
//! rms:    scale = 1 / √(Σ x·x / n + eps)          Σ by fma
//!         out   = (x · scale) · weight
//!
//! layer:  mean  = Σ x / n
//!         scale = 1 / √(Σ (x − mean)² / n + eps)  Σ by fma
//!         out   = ((x − mean) · scale) · weight               without a bias
//!         out   = fma((x − mean) · scale, weight, bias)       with one
//! ```
//!
//! Sources: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019;
//! Ba, Kiros and Hinton, "Layer Normalization", 2016.

use super::{row_count, unit_rows};
use crate::isa::Isa;
use crate::lanes::{Lanes, Op};
use crate::team::Region;

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

struct RmsNorm<'a> {
    /// The input, or nothing if `out` holds it.
    x: Option<&'a [f32]>,
    out: &'a mut [f32],
    weight: &'a [f32],
    eps: f32,
}

impl Op for RmsNorm<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        if let Some(x) = self.x {
            self.out.copy_from_slice(x);
        }
        let n = self.weight.len() as f32;
        let scale = 1.0 / (sum_of_squares(l, self.out, 0.0) / n + self.eps).sqrt();
        let (out, out_tail) = self.out.as_chunks_mut();
        let (weight, weight_tail) = self.weight.as_chunks();
        let scale_lanes = l.splat(scale);
        for (out, weight) in out.iter_mut().zip(weight) {
            let x = l.mul(l.load(out), scale_lanes);
            l.store(l.mul(x, l.load(weight)), out);
        }
        for (out, weight) in out_tail.iter_mut().zip(weight_tail) {
            *out = (*out * scale) * weight;
        }
    }
}

/// RMS norm of each row of `x`: `[rows, weight.len()]`.
///
/// # Panics
///
/// If `x` and `out` are not of equal length, a whole number of rows.
pub fn rms_norm(
    region: &Region<'_>,
    isa: Isa,
    out: &mut [f32],
    x: &[f32],
    weight: &[f32],
    eps: f32,
) {
    assert_eq!(out.len(), x.len(), "lengths of output and input");
    rms_norm_rows(region, isa, Some(x), out, weight, eps);
}

/// RMS norm of each row of `x` in place. With the heads of `[tokens, heads ·
/// head_dim]` as rows of `head_dim` it is the per-head norm.
///
/// # Panics
///
/// If `x` is no whole number of rows.
pub fn rms_norm_in_place(region: &Region<'_>, isa: Isa, x: &mut [f32], weight: &[f32], eps: f32) {
    rms_norm_rows(region, isa, None, x, weight, eps);
}

fn rms_norm_rows(
    region: &Region<'_>,
    isa: Isa,
    x: Option<&[f32]>,
    out: &mut [f32],
    weight: &[f32],
    eps: f32,
) {
    let cols = weight.len();
    if row_count(out, cols) == 0 {
        return;
    }
    let unit_len = unit_rows(cols) * cols;
    region.chunks_mut(out, unit_len, |unit, out| {
        for (row, out) in out.chunks_exact_mut(cols).enumerate() {
            let x = x.map(|x| &x[unit * unit_len + row * cols..][..cols]);
            isa.run(RmsNorm {
                x,
                out,
                weight,
                eps,
            });
        }
    });
}

struct LayerNorm<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    eps: f32,
}

impl Op for LayerNorm<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let n = self.x.len() as f32;
        let mut sum = l.splat(0.0);
        let (x, x_tail) = self.x.as_chunks();
        for x in x {
            sum = l.add(sum, l.load(x));
        }
        if !x_tail.is_empty() {
            sum = l.add(sum, l.load_part(x_tail, -0.0));
        }
        let mean = l.fold(sum) / n;
        let scale = 1.0 / (sum_of_squares(l, self.x, mean) / n + self.eps).sqrt();

        let (mean_lanes, scale_lanes) = (l.splat(mean), l.splat(scale));
        let (out, out_tail) = self.out.as_chunks_mut();
        let (weight, weight_tail) = self.weight.as_chunks();
        let bias = self.bias.map(|bias| bias.as_chunks());
        for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
            let x = l.mul(l.sub(l.load(x), mean_lanes), scale_lanes);
            let weight = l.load(&weight[i]);
            let y = match bias {
                Some((bias, _)) => l.fma(x, weight, l.load(&bias[i])),
                None => l.mul(x, weight),
            };
            l.store(y, out);
        }
        for (i, (out, x)) in out_tail.iter_mut().zip(x_tail).enumerate() {
            let x = (x - mean) * scale;
            *out = match bias {
                Some((_, bias)) => x.mul_add(weight_tail[i], bias[i]),
                None => x * weight_tail[i],
            };
        }
    }
}

/// Layer norm of each row of `x`: `[rows, weight.len()]`.
///
/// # Panics
///
/// If lengths do not fit.
pub fn layer_norm(
    region: &Region<'_>,
    isa: Isa,
    out: &mut [f32],
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
) {
    let cols = weight.len();
    assert_eq!(out.len(), x.len(), "lengths of output and input");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), cols, "lengths of bias and weight");
    }
    if row_count(out, cols) == 0 {
        return;
    }
    let unit_len = unit_rows(cols) * cols;
    region.chunks_mut(out, unit_len, |unit, out| {
        for (row, out) in out.chunks_exact_mut(cols).enumerate() {
            let x = &x[unit * unit_len + row * cols..][..cols];
            isa.run(LayerNorm {
                x,
                out,
                weight,
                bias,
                eps,
            });
        }
    });
}
