//! Gated DeltaNet: attention whose past is a matrix of fixed size for each head.
//!
//! ```text
//! mixed[t, c] = silu( Σ_w conv[w, c] · x[t − width + 1 + w, c] )       the last `width` inputs
//! q, k, v     = the heads of mixed[t]; q and k are normed and q is scaled
//!
//! S  = decay[t, h] · S
//! S += k ⊗ beta[t, h] · (v − Sᵀk)           what k recalls is corrected towards v
//! out[t, h] = Sᵀq
//! ```
//!
//! Key heads are fewer: head `h` of the values has key head `h mod n_head_k`, or
//! `h / (n_head_v / n_head_k)` where those that share one lie together.
//!
//! # Definition
//!
//! The convolution is that of [`super::short_conv`]. A head of q or k is multiplied with `1 / √(Σx² +
//! ε)`, the sum in sixteen partial sums by index modulo 16 that are folded in halves;
//! for q, the numerator is `1 / √head_dim`. The gates come from the products `alpha`
//! and `beta` of a token, computed in `f64` and rounded:
//!
//! ```text
//! decay = exp( a[h] · ln(1 + exp(alpha[h] + bias[h])) )        beta = 1 / (1 + exp(−beta[h]))
//! ```
//!
//! Sums over a head's keys, `Sᵀk` and `Sᵀq`, are four partial sums by index modulo 4,
//! each with fma from 0, added as `(0 + 1) + (2 + 3)`. Tokens follow one another, so
//! how many come together changes nothing.
//!
//! How the work is split: see [`super::columns`].
//!
//! Sources: Yang et al., "Gated Delta Networks: Improving Mamba2 with Delta Rule",
//! 2024; the conventions of Qwen3-Next.

use super::Seq;
use super::columns::{self, Unit, Workspace, sum_of};
use super::conv::{self, ConvShape, Window};
use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::ops::{decay_of, sigmoid_of};
use crate::team::Region;

/// Heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaShape {
    /// Heads of queries and of keys.
    pub n_head_k: usize,
    /// Heads of values, each with a matrix: a multiple of those.
    pub n_head_v: usize,
    /// Width of all heads: a multiple of 16.
    pub head_dim: usize,
    /// Inputs that the convolution sees of each channel.
    pub width: usize,
    /// Whether heads of values that share a key head follow one another.
    pub grouped: bool,
}

impl DeltaShape {
    /// How many heads of values have the same key head.
    pub fn per_key(&self) -> usize {
        self.n_head_v / self.n_head_k
    }

    /// How many heads of values that follow one another have the same key head; behind
    /// the last key head comes the first again.
    pub fn in_a_row(&self) -> usize {
        if self.grouped { self.per_key() } else { 1 }
    }

    /// Width of the queries and of the keys.
    pub fn keys(&self) -> usize {
        self.n_head_k * self.head_dim
    }

    /// Width of the values.
    pub fn values(&self) -> usize {
        self.n_head_v * self.head_dim
    }

    /// Channels of the convolution: queries, keys and values.
    pub fn channels(&self) -> usize {
        2 * self.keys() + self.values()
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
        self.values() * self.head_dim
    }
}

/// A layer's parameters beside its matrices.
#[derive(Clone, Copy)]
pub struct DeltaWeights<'a> {
    /// `[width][channels]`.
    pub conv: &'a [f32],
    /// Factor of each head's decay, below zero.
    pub a: &'a [f32],
    /// Added to `alpha`.
    pub bias: &'a [f32],
    /// Epsilon of the norms of q and k.
    pub eps: f32,
}

/// What a layer's matrices make of the tokens.
#[derive(Clone, Copy)]
pub struct DeltaInputs<'a> {
    /// `[tokens, channels]`.
    pub qkv: &'a [f32],
    /// `[tokens, n_head_v]`.
    pub alpha: &'a [f32],
    /// `[tokens, n_head_v]`.
    pub beta: &'a [f32],
}

/// Takes the tokens of `seqs` through a layer: `out` is `[tokens, n_head_v ·
/// head_dim]`.
///
/// # Panics
///
/// If shapes do not fit.
#[allow(clippy::too_many_arguments)] // where, with what, from what, to what
pub fn delta_net(
    region: &Region<'_>,
    isa: Isa,
    workspace: &mut Workspace,
    shape: &DeltaShape,
    weights: &DeltaWeights<'_>,
    inputs: &DeltaInputs<'_>,
    seqs: &mut [Seq<'_>],
    out: &mut [f32],
) {
    let (channels, values, heads) = (shape.channels(), shape.values(), shape.n_head_v);
    let tokens: usize = seqs.iter().map(|seq| seq.tokens).sum();
    let rows = |x: &[f32]| x.len().checked_div(tokens).unwrap_or(0);
    assert!(shape.head_dim.is_multiple_of(LANES), "heads of sixteens");
    assert_eq!(rows(inputs.qkv), channels, "channels of the inputs");
    assert_eq!(rows(inputs.alpha), heads, "heads of alpha");
    assert_eq!(rows(inputs.beta), heads, "heads of beta");
    assert_eq!(rows(out), values, "values of the outputs");
    assert_eq!(
        weights.conv.len(),
        shape.width * channels,
        "the convolution"
    );
    if tokens == 0 {
        return;
    }

    let windows = conv::windows(&shape.conv(), inputs.qkv, seqs);
    let mixed = workspace.mixed.resize(tokens * channels);
    region.chunks_mut(mixed, channels, |row, mixed| {
        let window = &windows[row];
        isa.run(Mix {
            shape,
            weights,
            window,
            mixed,
        });
    });

    let mixed = &*mixed;
    let gates = columns::gates(region, [tokens, heads], |at, head| {
        let alpha = inputs.alpha[at] + weights.bias[head];
        [
            decay_of(weights.a[head], alpha),
            sigmoid_of(inputs.beta[at]),
        ]
    });
    let results = &mut workspace.results;
    columns::each(
        region,
        results,
        [values, shape.head_dim],
        seqs,
        out,
        |unit| {
            isa.run(Recur {
                shape,
                mixed: &mixed[unit.first * channels..],
                gates: &gates[unit.first * heads..],
                unit,
            });
        },
    );
    conv::keep(&shape.conv(), inputs.qkv, seqs);
}

/// The convolution for a token, and the norms after it.
struct Mix<'a, 'b> {
    shape: &'a DeltaShape,
    weights: &'a DeltaWeights<'a>,
    window: &'a Window<'a>,
    mixed: &'b mut [f32],
}

impl Op for Mix<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Mix {
            shape,
            weights,
            window,
            mixed,
        } = self;
        conv::activate(l, weights.conv, None, window, mixed);
        let mixed = mixed.as_chunks_mut::<LANES>().0;
        let per_head = shape.head_dim / LANES;
        let scale = 1.0 / (shape.head_dim as f32).sqrt();
        for (head, values) in mixed.chunks_exact_mut(per_head).enumerate() {
            if head >= 2 * shape.n_head_k {
                break;
            }
            let mut squares = l.splat(0.0);
            for value in values.iter() {
                let x = l.load(value);
                squares = l.fma(x, x, squares);
            }
            let numerator = if head < shape.n_head_k { scale } else { 1.0 };
            let factor = l.splat(numerator / (l.fold(squares) + weights.eps).sqrt());
            for value in values {
                l.store(l.mul(l.load(value), factor), value);
            }
        }
    }
}

/// Takes a unit through its tokens.
struct Recur<'a, 'u, 'b> {
    shape: &'a DeltaShape,
    /// `[tokens, channels]`, and more.
    mixed: &'a [f32],
    /// `[tokens, heads]`: decay and beta.
    gates: &'a [[f32; 2]],
    unit: &'u mut Unit<'b>,
}

impl Op for Recur<'_, '_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Recur {
            shape,
            mixed,
            gates,
            unit,
        } = self;
        let (dim, channels) = (shape.head_dim, shape.channels());
        let per_head = dim / LANES;
        let head = unit.index / per_head;
        let q_at = head / shape.in_a_row() % shape.n_head_k * dim;
        let k_at = shape.keys() + q_at;
        let v_at = 2 * shape.keys() + unit.index * LANES;
        unit.after.copy_from_slice(unit.before);
        let state = unit.after.as_chunks_mut::<LANES>().0;
        let zero = l.splat(0.0);
        for (token, result) in unit
            .results
            .as_chunks_mut::<LANES>()
            .0
            .iter_mut()
            .enumerate()
        {
            let row = &mixed[token * channels..][..channels];
            let q = row[q_at..][..dim].as_chunks::<4>().0;
            let k = row[k_at..][..dim].as_chunks::<4>().0;
            let v = row[v_at..].first_chunk().expect("sixteen values");
            let [decay, beta] = gates[token * shape.n_head_v + head];
            let decay = l.splat(decay);
            let mut recalled = [zero; 4];
            for (state, k) in zip(state.as_chunks_mut::<4>().0.iter_mut(), k) {
                for i in 0..4 {
                    let kept = l.mul(l.load(&state[i]), decay);
                    l.store(kept, &mut state[i]);
                    recalled[i] = l.fma(kept, l.splat(k[i]), recalled[i]);
                }
            }
            let delta = l.mul(l.sub(l.load(v), sum_of(l, recalled)), l.splat(beta));
            let mut sums = [zero; 4];
            for ((state, k), q) in zip(zip(state.as_chunks_mut::<4>().0.iter_mut(), k), q) {
                for i in 0..4 {
                    let new = l.fma(delta, l.splat(k[i]), l.load(&state[i]));
                    l.store(new, &mut state[i]);
                    sums[i] = l.fma(new, l.splat(q[i]), sums[i]);
                }
            }
            l.store(sum_of(l, sums), result);
        }
    }
}
