//! The exponential function of everything here: softmax, attention, silu, gelu.
//!
//! # Definition
//!
//! ```text
//! x' = x clamped to −87.33..=89               (a NaN stays one)
//! n  = (x' · log2 e + 1.5·2²³) − 1.5·2²³      one fma, one subtraction: n is whole
//! r  = x' − n·ln 2                            two fma, ln 2 in two pieces
//! e^r = 1 + (r + r²·q(r))                     q of degree 4, Horner's rule in fma
//! e^x = e^r · 2^n                             0 for x < −87.33
//! ```
//!
//! The coefficients of `q` are a minimax fit (Remez) of `(e^r − 1 − r) / r²` on
//! ±ln 2 / 2, weighted for the relative error of `e^r`: 3.1e-9. With all
//! rounding the result is within 1 ulp; it is exactly 1 at 0 and infinite from
//! 88.73 on. Below −87.33 it is 0: what would follow are subnormal numbers, for
//! each of which, and for each that rounds to 0, Intel's processors interrupt
//! what they do. Positions that a query must not see, whose weights are `e^−∞`,
//! were a tenth of the time of a prompt of 512 tokens on an Emerald Rapids.

use crate::lanes::Lanes;

/// `e^x` in each lane.
#[inline(always)]
pub fn exp<L: Lanes>(l: L, x: L::F) -> L::F {
    let highest = l.splat(89.0);
    exp_to_one(l, l.select_gt(x, highest, highest, x))
}

/// `e^x` in each lane that is a NaN or at most 89: the same bits, for those who
/// know that what they have is negative.
#[inline(always)]
pub fn exp_to_one<L: Lanes>(l: L, x: L::F) -> L::F {
    /// Adding it to a small number leaves a whole number in the low bits.
    const TO_WHOLE: f32 = 12_582_912.0;
    /// ln 2 rounded to `f32`, and what is missing.
    const LN2: [f32; 2] = [std::f32::consts::LN_2, -1.904_654_3e-9];
    const Q: [f32; 5] = [
        0.499_999_93,
        0.166_665_2,
        0.041_668_39,
        0.008_368_745,
        0.001_381_454,
    ];
    /// The result is 2⁻¹²⁶, the least normal number, 0.0065 below.
    const LOWEST: f32 = -87.33;
    let s = |value| l.splat(value);

    let asked = x;
    let x = l.max(s(LOWEST), x);
    let n = l.sub(
        l.fma(x, s(std::f32::consts::LOG2_E), s(TO_WHOLE)),
        s(TO_WHOLE),
    );
    let r = l.fma(n, s(-LN2[0]), x);
    let r = l.fma(n, s(-LN2[1]), r);
    let mut q = s(Q[4]);
    q = l.fma(q, r, s(Q[3]));
    q = l.fma(q, r, s(Q[2]));
    q = l.fma(q, r, s(Q[1]));
    q = l.fma(q, r, s(Q[0]));
    let e = l.add(s(1.0), l.fma(l.mul(r, r), q, r));
    l.select_gt(s(LOWEST), asked, s(0.0), l.scale_pow2(e, n))
}
