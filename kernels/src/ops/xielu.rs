//! xIELU, an activation whose shape is learned for each layer.
//!
//! # Definition
//!
//! ```text
//! xielu(x) = alpha_p · x² + beta · x                              where x > 0
//!            alpha_n · (exp(min(x, eps)) − 1 − x) + beta · x      elsewhere
//! ```
//!
//! computed as `fma(alpha_p · x, x, beta · x)` and `fma((e − 1) − x, alpha_n, beta · x)`;
//! `exp` is [`super::exp`]. What is no number stays so.
//!
//! Source: Huang and Schlag, "Deriving Activation Functions Using Integration", 2024.

use super::elementary::{exp as exp64, ln};
use super::exp;
use super::gate::{Unary, map};
use crate::isa::Isa;
use crate::lanes::Lanes;
use crate::team::Region;

/// What it has learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Xielu {
    /// Factor below zero.
    pub alpha_n: f32,
    /// Factor of the square.
    pub alpha_p: f32,
    /// Slope at zero.
    pub beta: f32,
    /// What the exponent is at most.
    pub eps: f32,
}

impl Xielu {
    /// Of what was trained: the factors are the softplus of that, and the one below zero
    /// `beta` more.
    pub fn of_trained(trained: Xielu) -> Xielu {
        let softplus = |x: f32| match f64::from(x) {
            x if x > 40.0 => x,
            x => ln(1.0 + exp64(x.max(-700.0))),
        };
        Xielu {
            alpha_n: (f64::from(trained.beta) + softplus(trained.alpha_n)) as f32,
            alpha_p: softplus(trained.alpha_p) as f32,
            ..trained
        }
    }
}

impl Unary for Xielu {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, x: L::F) -> L::F {
        let (eps, zero) = (l.splat(self.eps), l.splat(0.0));
        let sloped = l.mul(l.splat(self.beta), x);
        let above = l.fma(l.mul(l.splat(self.alpha_p), x), x, sloped);
        let e = exp(l, l.select_gt(x, eps, eps, x));
        let curved = l.sub(l.sub(e, l.splat(1.0)), x);
        let below = l.fma(curved, l.splat(self.alpha_n), sloped);
        l.select_gt(x, zero, above, below)
    }
}

/// `x[i] = xielu(x[i])`.
pub fn xielu(region: &Region<'_>, isa: Isa, x: &mut [f32], parameters: &Xielu) {
    map(region, isa, *parameters, x);
}
