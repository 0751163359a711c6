//! Activation functions, alone and as gates.
//!
//! # Definition
//!
//! ```text
//! silu(x) = x / (1 + exp(−x))
//! gelu(x) = x / (1 + exp(c · (x + 0.044715·x³)))     c = −2·√(2/π)
//! ```
//!
//! relu is `max(x, 0)`, and some multiply it with itself. What is no number stays so.
//!
//! A gate that is limited, as gpt-oss has it, is `g = min(gate, 7)` and becomes `g / (1 +
//! exp(−1.702·g)) · (max(min(up, 7), −7) + 1)`.
//!
//! `exp` is [`super::exp`]. Gelu is the form with tanh, written with `½ (1 +
//! tanh u) = 1 / (1 + exp(−2u))`; its argument is computed as
//! `(c·x) · fma(0.044715, x·x, 1)`.
//!
//! silu is within 3 ulp. gelu's relative error grows with its argument where
//! the result vanishes; it is within 1e-6 of |x| everywhere. Both are NaN at
//! −∞.
//!
//! Sources: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016; Shazeer,
//! "GLU Variants Improve Transformer", 2020; So et al., "Primer", 2021 (squared ReLU).

use super::elementwise::{Binary, in_place};
use super::{UNIT_LEN, exp};
use crate::isa::Isa;
use crate::lanes::{Lanes, Op};
use crate::team::Region;

/// A function of one lane's value.
pub(super) trait Unary: Copy + Sync {
    fn apply<L: Lanes>(self, l: L, x: L::F) -> L::F;
}

#[derive(Clone, Copy)]
struct Silu;

impl Unary for Silu {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::F) -> L::F {
        let e = exp(l, l.mul(x, l.splat(-1.0)));
        l.div(x, l.add(l.splat(1.0), e))
    }
}

#[derive(Clone, Copy)]
struct Gelu;

impl Unary for Gelu {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::F) -> L::F {
        /// −2·√(2/π)
        const C: f32 = -1.595_769;
        let one = l.splat(1.0);
        let cubic = l.fma(l.splat(0.044_715), l.mul(x, x), one);
        let e = exp(l, l.mul(l.mul(l.splat(C), x), cubic));
        l.div(x, l.add(one, e))
    }
}

#[derive(Clone, Copy)]
struct Relu;

impl Unary for Relu {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::F) -> L::F {
        let zero = l.splat(0.0);
        // What is no number stays so.
        l.select_gt(zero, x, zero, x)
    }
}

#[derive(Clone, Copy)]
struct ReluSquared;

impl Unary for ReluSquared {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::F) -> L::F {
        let x = Relu.apply(l, x);
        l.mul(x, x)
    }
}

/// `f(a) · b`.
#[derive(Clone, Copy)]
struct Gate<F>(F);

impl<F: Unary> Binary for Gate<F> {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, a: L::F, b: L::F) -> L::F {
        l.mul(self.0.apply(l, a), b)
    }
}

/// What a gate lets through.
#[derive(Clone, Copy)]
struct Sigmoid;

impl Binary for Sigmoid {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::F, gate: L::F) -> L::F {
        let e = exp(l, l.mul(gate, l.splat(-1.0)));
        l.div(x, l.add(l.splat(1.0), e))
    }
}

/// What becomes of the limited gate, and what it lets through.
#[derive(Clone, Copy)]
struct Limited;

impl Unary for Limited {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, gate: L::F) -> L::F {
        let limit = l.splat(7.0);
        // What is no number stays so.
        let gate = l.select_gt(gate, limit, limit, gate);
        let e = exp(l, l.mul(gate, l.splat(-1.702)));
        l.div(gate, l.add(l.splat(1.0), e))
    }
}

impl Binary for Limited {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, gate: L::F, up: L::F) -> L::F {
        let limit = l.splat(7.0);
        let up = l.select_gt(up, limit, limit, up);
        let up = l.select_gt(l.splat(-7.0), up, l.splat(-7.0), up);
        l.mul(Unary::apply(self, l, gate), l.add(up, l.splat(1.0)))
    }
}

struct Map<'a, F> {
    f: F,
    x: &'a mut [f32],
}

impl<F: Unary> Op for Map<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (x, tail) = self.x.as_chunks_mut();
        for x in x {
            l.store(self.f.apply(l, l.load(x)), x);
        }
        if !tail.is_empty() {
            l.store_part(self.f.apply(l, l.load_part(tail, 0.0)), tail);
        }
    }
}

/// `x[i] = f(x[i])`, spread over the team.
pub(super) fn map(region: &Region<'_>, isa: Isa, f: impl Unary, x: &mut [f32]) {
    region.chunks_mut(x, UNIT_LEN, |_, x| isa.run(Map { f, x }));
}

/// `x[i] = silu(x[i])`.
pub fn silu(region: &Region<'_>, isa: Isa, x: &mut [f32]) {
    map(region, isa, Silu, x);
}

/// `x[i] = gelu(x[i])`.
pub fn gelu(region: &Region<'_>, isa: Isa, x: &mut [f32]) {
    map(region, isa, Gelu, x);
}

/// `x[i] = min(x[i], 7) / (1 + exp(−1.702 · min(x[i], 7)))`: the limited gate alone.
pub fn limited(region: &Region<'_>, isa: Isa, x: &mut [f32]) {
    map(region, isa, Limited, x);
}

/// `x[i] = max(x[i], 0)`.
pub fn relu(region: &Region<'_>, isa: Isa, x: &mut [f32]) {
    map(region, isa, Relu, x);
}

/// `x[i] = max(x[i], 0)²`.
pub fn relu_squared(region: &Region<'_>, isa: Isa, x: &mut [f32]) {
    map(region, isa, ReluSquared, x);
}

/// `gate[i] = max(gate[i], 0) · up[i]`.
///
/// # Panics
///
/// If the lengths differ.
pub fn relu_mul(region: &Region<'_>, isa: Isa, gate: &mut [f32], up: &[f32]) {
    in_place(region, isa, Gate(Relu), gate, up);
}

/// `gate[i] = max(gate[i], 0)² · up[i]`.
///
/// # Panics
///
/// If the lengths differ.
pub fn relu_squared_mul(region: &Region<'_>, isa: Isa, gate: &mut [f32], up: &[f32]) {
    in_place(region, isa, Gate(ReluSquared), gate, up);
}

/// `gate[i] = silu(gate[i]) · up[i]`.
///
/// # Panics
///
/// If the lengths differ.
pub fn silu_mul(region: &Region<'_>, isa: Isa, gate: &mut [f32], up: &[f32]) {
    in_place(region, isa, Gate(Silu), gate, up);
}

/// `x[i] = x[i] / (1 + exp(−gate[i]))`.
///
/// # Panics
///
/// If the lengths differ.
pub fn sigmoid_mul(region: &Region<'_>, isa: Isa, x: &mut [f32], gate: &[f32]) {
    in_place(region, isa, Sigmoid, x, gate);
}

/// `gate[i] = limited(gate[i], up[i])`.
///
/// # Panics
///
/// If the lengths differ.
pub fn limited_mul(region: &Region<'_>, isa: Isa, gate: &mut [f32], up: &[f32]) {
    in_place(region, isa, Limited, gate, up);
}

/// `gate[i] = gelu(gate[i]) · up[i]`.
///
/// # Panics
///
/// If the lengths differ.
pub fn gelu_mul(region: &Region<'_>, isa: Isa, gate: &mut [f32], up: &[f32]) {
    in_place(region, isa, Gate(Gelu), gate, up);
}
