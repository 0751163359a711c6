//! Lanes in portable Rust: the definition of each operation.

use super::{LANES, Lanes, Op};
use crate::format::{BF16, F16, FloatWeight};
use crate::inlined;
use crate::steps::above_floor;
use half::f16;

/// The token of portable Rust.
#[derive(Clone, Copy)]
pub struct Scalar;

impl Lanes for Scalar {
    type F = [f32; LANES];
    type I = [i32; LANES];
    const REGISTERS: usize = 1;

    #[inline(always)]
    fn new() -> Option<Self> {
        Some(Scalar)
    }

    #[inline(always)]
    unsafe fn new_unchecked() -> Self {
        Scalar
    }

    #[inline(never)]
    fn call<O: Op>(self, op: O) -> O::Out {
        op.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        *to = value;
    }

    #[inline(always)]
    fn load_f16(self, from: &[F16; LANES]) -> Self::F {
        inlined::map(*from, F16::to_f32)
    }

    #[inline(always)]
    fn load_bf16(self, from: &[BF16; 2 * LANES]) -> [Self::F; 2] {
        inlined::map([1, 0], |first| {
            inlined::from_fn(|i| above_floor(from[2 * i + first].to_f32()))
        })
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Self::F {
        inlined::map(*from, f32::from)
    }

    #[inline(always)]
    fn store_f16(self, value: Self::F, to: &mut [F16; LANES]) {
        *to = inlined::map(value, |v| bytemuck::cast(f16::from_f32(v).to_le_bytes()));
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        inlined::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        inlined::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        inlined::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        inlined::from_fn(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        inlined::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        self.select_gt(a, b, a, b)
    }

    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        inlined::map(a, f32::abs)
    }

    #[inline(always)]
    fn select_gt(self, a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F {
        inlined::from_fn(|i| if a[i] > b[i] { yes[i] } else { no[i] })
    }

    #[inline(always)]
    fn scale_pow2(self, x: Self::F, n: Self::F) -> Self::F {
        // Two factors, each a normal number; the first product is exact.
        let pow2 = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
        inlined::from_fn(|i| {
            let n = n[i] as i32;
            let half = n >> 1;
            x[i] * pow2(half) * pow2(n - half)
        })
    }

    #[inline(always)]
    fn fold(self, mut a: Self::F) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                a[i] += a[i + half];
            }
        }
        a[0]
    }

    #[inline(always)]
    fn first(self, a: Self::F) -> f32 {
        a[0]
    }

    #[inline(always)]
    fn fold_max(self, mut a: Self::F) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                a[i] = if a[i] > a[i + half] {
                    a[i]
                } else {
                    a[i + half]
                };
            }
        }
        a[0]
    }

    #[inline(always)]
    fn max_magnitude(self, a: Self::F, b: Self::F) -> f32 {
        // Without the sign, bits order like values, infinities and NaNs on top.
        let bits = |v: f32| v.to_bits() & 0x7fff_ffff;
        let largest = (0..LANES).fold(0, |m, i| bits(a[i]).max(bits(b[i])).max(m));
        f32::from_bits(largest)
    }

    #[inline(always)]
    fn swap_pairs(self, a: Self::F) -> Self::F {
        inlined::from_fn(|i| a[i ^ 1])
    }

    #[inline(always)]
    fn round(self, a: Self::F) -> Self::I {
        inlined::map(a, |v| v.round_ties_even() as i32)
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        inlined::map(a, |v| v as f32)
    }

    #[inline(always)]
    fn store_i8(self, value: Self::I, to: &mut [i8; LANES]) {
        *to = inlined::map(value, |v| v.clamp(-128, 127) as i8);
    }

    #[inline(always)]
    fn fold_int(self, a: Self::I) -> i32 {
        a.into_iter().fold(0, i32::wrapping_add)
    }

    #[inline(always)]
    fn dot32<const R: usize>(
        self,
        a: &[[i8; 4 * LANES]; 8],
        b: [&[i8; 32]; R],
        _: [i32; R],
    ) -> [Self::I; R] {
        inlined::map(b, |b| {
            inlined::from_fn(|lane| {
                let product = |i: usize| i32::from(a[i / 4][4 * lane + i % 4]) * i32::from(b[i]);
                (0..32).map(product).sum()
            })
        })
    }
}
