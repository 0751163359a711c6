//! Elementary functions in `f64` from plain arithmetic, for rope's angles and for
//! logits.
//!
//! The standard library's `sin`, `exp` and so on are the platform's and differ
//! from one to the next in the last bit. These use only `+ − × ÷`, comparisons
//! and conversions, which IEEE 754 fixes, so they give the same bits
//! everywhere. They are series on a reduced argument, accurate to about 1e-15
//! relative (for [`sin_cos`]: absolute, plus 1e-16 times the angle).

use std::f64::consts::{FRAC_PI_2, LN_2, LOG2_E, SQRT_2};

/// Natural logarithm of a positive, normal number.
pub fn ln(x: f64) -> f64 {
    assert!(x.is_normal() && x > 0.0, "ln({x})");
    // x = m · 2^e with m in √½..√2.
    let bits = x.to_bits();
    let mut e = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if m > SQRT_2 {
        m /= 2.0;
        e += 1;
    }
    // ln m = 2 artanh s = 2 (s + s³/3 + s⁵/5 + …), |s| < 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for k in (0..12).rev() {
        sum = sum * square + 1.0 / f64::from(2 * k + 1);
    }
    2.0 * s * sum + e as f64 * LN_2
}

/// `e^x` for `|x|` up to 700.
pub fn exp(x: f64) -> f64 {
    /// ln 2 in two pieces, the first with enough zeros that `n · LN2_HIGH` is
    /// exact.
    const LN2_HIGH: f64 = 0.693_147_180_485_539_1;
    const LN2_LOW: f64 = 7.440_617_110_012_397e-11;
    assert!(x.abs() <= 700.0, "exp({x})");
    let n = (x * LOG2_E).round_ties_even();
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // Taylor, |r| < 0.347.
    let mut sum = 1.0;
    for k in (1..=16).rev() {
        sum = 1.0 + sum * r / f64::from(k);
    }
    sum * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

/// `base^y` for a positive base.
pub fn pow(base: f64, y: f64) -> f64 {
    exp(y * ln(base))
}

/// Hyperbolic tangent, rounded once.
pub fn tanh(x: f32) -> f32 {
    // It is ±1 in `f32` long before.
    let e = match f64::from(x) {
        x if x.is_nan() => return f32::NAN,
        x => exp(2.0 * x.clamp(-20.0, 20.0)),
    };
    ((e - 1.0) / (e + 1.0)) as f32
}

/// `exp(a · ln(1 + exp(x)))`, rounded once.
pub fn decay_of(a: f32, x: f32) -> f32 {
    let x = f64::from(x);
    if x.is_nan() || a.is_nan() {
        return f32::NAN;
    }
    // What is left of the power beyond is nothing.
    let softplus = softplus(x).min(1e6);
    exp((f64::from(a) * softplus).clamp(-700.0, 700.0)) as f32
}

/// `ln(1 + exp(x))`, rounded once.
pub fn softplus_of(x: f32) -> f32 {
    match f64::from(x) {
        x if x.is_nan() => f32::NAN,
        x => softplus(x) as f32,
    }
}

fn softplus(x: f64) -> f64 {
    match x {
        // Beyond, the 1 adds nothing.
        x if x > 40.0 => x,
        // There, the sum would forget what is added to 1.
        x if x < -15.0 => {
            let e = exp(x.max(-700.0));
            e * (1.0 - e / 2.0)
        }
        x => ln(1.0 + exp(x)),
    }
}

/// `1 / (1 + exp(−x))`, rounded once.
pub fn sigmoid_of(x: f32) -> f32 {
    match f64::from(x) {
        x if x.is_nan() => f32::NAN,
        x => (1.0 / (1.0 + exp((-x).clamp(-700.0, 700.0)))) as f32,
    }
}

/// The largest angle in radians that [`sin_cos`] takes: 2^30 quarter turns.
pub const MAX_ANGLE: f64 = (1 << 30) as f64 * FRAC_PI_2;

/// Sine and cosine of an angle in radians, `|x|` up to [`MAX_ANGLE`].
pub fn sin_cos(x: f64) -> (f64, f64) {
    /// π/2 in two pieces, the first with enough zeros that `n · HIGH` is exact.
    const HIGH: f64 = 1.570_796_251_296_997;
    const LOW: f64 = 7.549_789_954_891_882e-8;
    assert!(x.abs() <= MAX_ANGLE, "sin_cos({x})");
    let n = (x / FRAC_PI_2).round_ties_even();
    let r = x - n * HIGH - n * LOW;
    // Taylor, |r| < 0.786.
    let square = r * r;
    let (mut sin, mut cos) = (1.0, 1.0);
    for k in (1..=9).rev() {
        let k = f64::from(2 * k);
        sin = 1.0 - sin * square / (k * (k + 1.0));
        cos = 1.0 - cos * square / (k * (k - 1.0));
    }
    let sin = sin * r;
    match n as i64 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares over `steps` arguments from `range`, the error relative to
    /// `scale` of the argument and the expected value.
    fn check(
        name: &str,
        range: (f64, f64),
        steps: u32,
        scale: impl Fn(f64, f64) -> f64,
        pairs: impl Fn(f64) -> [(f64, f64); 2],
    ) {
        for step in 0..=steps {
            let x = range.0 + (range.1 - range.0) * f64::from(step) / f64::from(steps);
            for (expected, found) in pairs(x) {
                let error = (found - expected).abs() / scale(x, expected);
                assert!(
                    error < 4e-15,
                    "{name}({x}) = {found:e}, expected {expected:e}"
                );
            }
        }
    }

    #[test]
    fn near_the_platform() {
        let relative = |_: f64, y: f64| y.abs().max(1e-300);
        check(
            "ln",
            (1e-3, 3.0),
            10_000,
            |_, y| y.abs().max(0.1),
            |x| [(x.ln(), ln(x)), ((x * 1e9).ln(), ln(x * 1e9))],
        );
        check("exp", (-40.0, 40.0), 10_000, relative, |x| {
            [(x.exp(), exp(x)), ((x / 50.0).exp(), exp(x / 50.0))]
        });
        check(
            "pow",
            (-2.0, 1.0),
            10_000,
            |_, y| y * 20.0,
            |x| {
                [
                    (10_000_f64.powf(x), pow(10_000.0, x)),
                    (5e5_f64.powf(x), pow(5e5, x)),
                ]
            },
        );
        for range in [(-7.0, 7.0), (0.0, 1e6)] {
            check(
                "sin_cos",
                range,
                100_000,
                |x, _| 1.0 + x.abs() / 10.0,
                |x| {
                    let (sin, cos) = sin_cos(x);
                    [(x.sin(), sin), (x.cos(), cos)]
                },
            );
        }
    }

    #[test]
    fn softplus_near_the_platform() {
        for step in -3200..=4000 {
            let x = step as f32 / 40.0;
            let expected = f64::from(x).exp().ln_1p();
            let error = (f64::from(softplus_of(x)) - expected).abs() / expected;
            assert!(error < 6.1e-8, "softplus({x}), error {error:e}");
        }
        let rows = [(f32::NEG_INFINITY, 0.0), (f32::INFINITY, f32::INFINITY)];
        for (x, expected) in rows {
            assert_eq!(softplus_of(x), expected, "softplus({x})");
        }
        assert!(softplus_of(f32::NAN).is_nan());
    }

    #[test]
    fn exact_values() {
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(pow(10_000.0, 0.0), 1.0);
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
    }
}
