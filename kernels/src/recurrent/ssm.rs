//! Selective state spaces as Mamba-2 has them: every head has a matrix that decays by a
//! factor of each token's, and to which that token is added.
//!
//! ```text
//! mixed[t, c] = silu( Σ_w conv[w, c] · inputs[t − width + 1 + w, c] + bias[c] )
//! x, B, C     = the heads of x in mixed[t], and the groups of B and of C
//!
//! dt    = ln(1 + exp(steps[t, h] + dt_bias[h]))
//! decay = exp(a[h] · dt)
//! S     = decay · S + B ⊗ (dt · x)
//! out[t, h] = Sᵀ·C + d[h] · x
//! ```
//!
//! Heads share B and C: head `h` has group `h / (n_head / n_group)`.
//!
//! # Definition
//!
//! The convolution is that of [`super::short_conv`], after which its bias, if there is
//! one, is added. `dt` and `decay` are computed in `f64`, from the rounded sum of step
//! and bias, and rounded. An element of the matrix becomes `fma(dt·x, B, decay·S)`.
//!
//! Sums over a matrix's rows, `Sᵀ·C`, are four partial sums by index modulo 4, each with
//! fma from 0, added as `(0 + 1) + (2 + 3)`; `d·x` is added with fma. Tokens follow one
//! another, so how many come together changes nothing.
//!
//! How the work is split: see [`super::columns`].
//!
//! Source: Dao and Gu, "Transformers are SSMs", 2024.

use super::Seq;
use super::columns::{self, Unit, Workspace, sum_of};
use super::conv::{self, ConvShape, Window};
use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::ops::{decay_of, softplus_of};
use crate::team::Region;

/// Heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SsmShape {
    /// Heads, each with a matrix.
    pub n_head: usize,
    /// Groups of heads that share B and C: a divisor of those.
    pub n_group: usize,
    /// Width of a head, columns of its matrix: a multiple of 16.
    pub head_dim: usize,
    /// Width of B and of C, rows of a matrix: a multiple of 16.
    pub state: usize,
    /// Inputs that the convolution sees of each channel.
    pub width: usize,
}

impl SsmShape {
    /// Width of all heads.
    pub fn values(&self) -> usize {
        self.n_head * self.head_dim
    }

    /// Channels of the convolution: all heads, then B and C of all groups.
    pub fn channels(&self) -> usize {
        self.values() + 2 * self.n_group * self.state
    }

    /// The convolution over them.
    pub fn conv(&self) -> ConvShape {
        ConvShape {
            channels: self.channels(),
            width: self.width,
        }
    }

    /// Values of all matrices.
    pub(super) fn matrices_len(&self) -> usize {
        self.values() * self.state
    }
}

/// A layer's parameters beside its matrices.
#[derive(Clone, Copy)]
pub struct SsmWeights<'a> {
    /// `[width][channels]`.
    pub conv: &'a [f32],
    /// `[channels]`: added to what the convolution makes.
    pub conv_bias: Option<&'a [f32]>,
    /// Factor of each head's decay, below zero.
    pub a: &'a [f32],
    /// Added to each head's step.
    pub dt_bias: &'a [f32],
    /// How much of `x` each head lets through.
    pub d: &'a [f32],
}

/// What a layer's matrices make of the tokens.
#[derive(Clone, Copy)]
pub struct SsmInputs<'a> {
    /// `[tokens, channels]`.
    pub x: &'a [f32],
    /// `[tokens, n_head]`.
    pub steps: &'a [f32],
}

/// Takes the tokens of `seqs` through a layer: `out` is `[tokens, n_head · head_dim]`.
///
/// # Panics
///
/// If shapes do not fit.
#[allow(clippy::too_many_arguments)] // where, with what, from what, to what
pub fn ssm(
    region: &Region<'_>,
    isa: Isa,
    workspace: &mut Workspace,
    shape: &SsmShape,
    weights: &SsmWeights<'_>,
    inputs: &SsmInputs<'_>,
    seqs: &mut [Seq<'_>],
    out: &mut [f32],
) {
    let (channels, values, heads) = (shape.channels(), shape.values(), shape.n_head);
    let tokens: usize = seqs.iter().map(|seq| seq.tokens).sum();
    let rows = |x: &[f32]| x.len().checked_div(tokens).unwrap_or(0);
    assert!(shape.head_dim.is_multiple_of(LANES), "heads of sixteens");
    assert!(shape.state.is_multiple_of(LANES), "states of sixteens");
    assert!(heads.is_multiple_of(shape.n_group), "groups of heads");
    assert_eq!(rows(inputs.x), channels, "channels of the inputs");
    assert_eq!(rows(inputs.steps), heads, "heads of the steps");
    assert_eq!(rows(out), values, "values of the outputs");
    assert_eq!(
        weights.conv.len(),
        shape.width * channels,
        "the convolution"
    );
    if tokens == 0 {
        return;
    }

    let windows = conv::windows(&shape.conv(), inputs.x, seqs);
    let mixed = workspace.mixed.resize(tokens * channels);
    region.chunks_mut(mixed, channels, |row, mixed| {
        let window = &windows[row];
        isa.run(Mix {
            weights,
            window,
            mixed,
        });
    });

    let mixed = &*mixed;
    let gates = columns::gates(region, [tokens, heads], |at, head| {
        let step = inputs.steps[at] + weights.dt_bias[head];
        [softplus_of(step), decay_of(weights.a[head], step)]
    });
    let results = &mut workspace.results;
    columns::each(region, results, [values, shape.state], seqs, out, |unit| {
        isa.run(Scan {
            shape,
            mixed: &mixed[unit.first * channels..],
            gates: &gates[unit.first * heads..],
            d: weights.d,
            unit,
        });
    });
    conv::keep(&shape.conv(), inputs.x, seqs);
}

/// The convolution for a token.
struct Mix<'a, 'b> {
    weights: &'a SsmWeights<'a>,
    window: &'a Window<'a>,
    mixed: &'b mut [f32],
}

impl Op for Mix<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Mix {
            weights,
            window,
            mixed,
        } = self;
        conv::activate(l, weights.conv, weights.conv_bias, window, mixed);
    }
}

/// Takes a unit through its tokens.
struct Scan<'a, 'u, 'b> {
    shape: &'a SsmShape,
    /// `[tokens, channels]`, and more.
    mixed: &'a [f32],
    /// `[tokens, heads]`: dt and decay.
    gates: &'a [[f32; 2]],
    /// `[heads]`.
    d: &'a [f32],
    unit: &'u mut Unit<'b>,
}

impl Op for Scan<'_, '_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Scan {
            shape,
            mixed,
            gates,
            d,
            unit,
        } = self;
        let (rows, channels) = (shape.state, shape.channels());
        let x_at = unit.index * LANES;
        let head = x_at / shape.head_dim;
        let group = head / (shape.n_head / shape.n_group);
        let b_at = shape.values() + group * rows;
        let c_at = b_at + shape.n_group * rows;
        let d = l.splat(d[head]);
        unit.after.copy_from_slice(unit.before);
        let state = unit.after.as_chunks_mut::<LANES>().0;
        let results = unit.results.as_chunks_mut::<LANES>().0;
        for (token, result) in results.iter_mut().enumerate() {
            let row = &mixed[token * channels..][..channels];
            let x = l.load(row[x_at..].first_chunk().expect("sixteen values"));
            let b = row[b_at..][..rows].as_chunks::<4>().0;
            let c = row[c_at..][..rows].as_chunks::<4>().0;
            let [dt, decay] = gates[token * shape.n_head + head];
            let (added, decay) = (l.mul(x, l.splat(dt)), l.splat(decay));
            let mut sums = [l.splat(0.0); 4];
            for ((state, b), c) in zip(zip(state.as_chunks_mut::<4>().0.iter_mut(), b), c) {
                for i in 0..4 {
                    let kept = l.mul(l.load(&state[i]), decay);
                    let new = l.fma(added, l.splat(b[i]), kept);
                    l.store(new, &mut state[i]);
                    sums[i] = l.fma(new, l.splat(c[i]), sums[i]);
                }
            }
            l.store(l.fma(x, d, sum_of(l, sums)), result);
        }
    }
}
