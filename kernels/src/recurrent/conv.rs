//! A convolution of each channel over its last inputs.
//!
//! ```text
//! out[t, c] = Σ_w weights[w, c] · x[t − width + 1 + w, c]
//! ```
//!
//! The products are added in ascending order, the first rounded, the others with fma.
//! Inputs before the first token are 0.

use super::Seq;
use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::ops::exp;
use crate::team::Region;

/// A convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Values of a token: a multiple of 16.
    pub channels: usize,
    /// Inputs that it sees of each channel.
    pub width: usize,
}

impl ConvShape {
    /// Values that are kept for the next token.
    pub(super) fn kept_len(&self) -> usize {
        (self.width - 1) * self.channels
    }
}

/// Takes the tokens of `seqs` through a convolution: `x` and `out` are `[tokens,
/// channels]`, `weights` is `[width, channels]`.
///
/// # Panics
///
/// If shapes do not fit.
pub fn short_conv(
    region: &Region<'_>,
    isa: Isa,
    shape: &ConvShape,
    weights: &[f32],
    x: &[f32],
    seqs: &mut [Seq<'_>],
    out: &mut [f32],
) {
    let tokens: usize = seqs.iter().map(|seq| seq.tokens).sum();
    let channels = shape.channels;
    assert!(channels.is_multiple_of(LANES), "channels of sixteens");
    assert_eq!(x.len(), tokens * channels, "channels of the inputs");
    assert_eq!(out.len(), x.len(), "channels of the outputs");
    assert_eq!(weights.len(), shape.width * channels, "the weights");
    let windows = windows(shape, x, seqs);
    region.chunks_mut(out, channels, |row, out| {
        let window = &windows[row];
        isa.run(Convolve {
            weights,
            window,
            out,
        });
    });
    keep(shape, x, seqs);
}

/// The inputs that the convolution sees for a token.
pub(super) struct Window<'a> {
    shape: ConvShape,
    /// What the tokens before the step have left.
    before: &'a [f32],
    /// Those of the step.
    inputs: &'a [f32],
    /// Which of these the token is.
    token: usize,
}

impl<'a> Window<'a> {
    /// Number `index` of them, the oldest first.
    #[inline]
    fn input(&self, index: usize) -> &'a [f32] {
        let ConvShape { channels, width } = self.shape;
        let row = |x: &'a [f32], at: usize| &x[at * channels..][..channels];
        match (self.token + index).checked_sub(width - 1) {
            Some(at) => row(self.inputs, at),
            None => row(self.before, self.token + index),
        }
    }
}

/// Those of all tokens.
pub(super) fn windows<'a>(shape: &ConvShape, x: &'a [f32], seqs: &[Seq<'a>]) -> Vec<Window<'a>> {
    let mut rest = x;
    let mut windows = Vec::new();
    for seq in seqs {
        let inputs;
        (inputs, rest) = rest.split_at(seq.tokens * shape.channels);
        windows.extend((0..seq.tokens).map(|token| Window {
            shape: *shape,
            before: &seq.before.inputs,
            inputs,
            token,
        }));
    }
    windows
}

/// Keeps the last inputs for the tokens that follow.
pub(super) fn keep(shape: &ConvShape, x: &[f32], seqs: &mut [Seq<'_>]) {
    let mut rest = x;
    for seq in seqs {
        let inputs;
        (inputs, rest) = rest.split_at(seq.tokens * shape.channels);
        let window = Window {
            shape: *shape,
            before: &seq.before.inputs,
            inputs,
            token: seq.tokens,
        };
        let kept = seq.after.inputs.chunks_exact_mut(shape.channels);
        for (index, kept) in kept.enumerate() {
            kept.copy_from_slice(window.input(index));
        }
    }
}

/// The convolution for a token.
#[inline(always)]
pub(super) fn convolve<L: Lanes>(l: L, weights: &[f32], window: &Window<'_>, out: &mut [f32]) {
    let out = out.as_chunks_mut::<LANES>().0;
    let weights = weights.as_chunks::<LANES>().0;
    for (index, weights) in weights.chunks_exact(out.len()).enumerate() {
        let inputs = window.input(index).as_chunks::<LANES>().0;
        for ((sum, x), weight) in zip(zip(out.iter_mut(), inputs), weights) {
            let (x, weight) = (l.load(x), l.load(weight));
            let value = match index {
                0 => l.mul(x, weight),
                _ => l.fma(x, weight, l.load(sum)),
            };
            l.store(value, sum);
        }
    }
}

/// The same with a bias, if there is one, and then silu.
#[inline(always)]
pub(super) fn activate<L: Lanes>(
    l: L,
    weights: &[f32],
    bias: Option<&[f32]>,
    window: &Window<'_>,
    out: &mut [f32],
) {
    convolve(l, weights, window, out);
    let bias = bias.map(|bias| bias.as_chunks::<LANES>().0);
    for (index, value) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut x = l.load(value);
        if let Some(bias) = bias {
            x = l.add(x, l.load(&bias[index]));
        }
        let e = exp(l, l.mul(x, l.splat(-1.0)));
        l.store(l.div(x, l.add(l.splat(1.0), e)), value);
    }
}

/// A convolution for a token as an operation.
struct Convolve<'a, 'b> {
    weights: &'a [f32],
    window: &'a Window<'a>,
    out: &'b mut [f32],
}

impl Op for Convolve<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        convolve(l, self.weights, self.window, self.out);
    }
}
