//! Lanes on Advanced SIMD: four 128-bit registers.

use super::{LANES, Lanes, Op, TWICE_FLOOR, four};
use crate::format::{BF16, F16};
use crate::inlined::{self, zip};
use crate::isa::Isa;
use std::arch::aarch64::*;
use std::arch::asm;

/// The token of Advanced SIMD.
#[derive(Clone, Copy)]
pub struct Neon(());

/// Lanes 0..4, 4..8, 8..12 and 12..16.
#[derive(Clone, Copy)]
pub struct F([float32x4_t; 4]);

/// Lanes 0..4, 4..8, 8..12 and 12..16.
#[derive(Clone, Copy)]
pub struct I([int32x4_t; 4]);

/// Marks the use of an instruction.
macro_rules! simd {
    ($($body:tt)*) => {
        // SAFETY: a `Neon` exists only where the processor has Advanced SIMD
        // (`new`, `new_unchecked`), and every use is in a method of one.
        // Addresses come from references to arrays of the size that the
        // instructions read or write; none of them demands alignment beyond
        // the element's.
        unsafe { $($body)* }
    };
}

/// `$op` on each of the four registers.
macro_rules! each {
    ($i:ident => $op:expr) => {
        simd! {
            [
                { const $i: usize = 0; $op },
                { const $i: usize = 1; $op },
                { const $i: usize = 2; $op },
                { const $i: usize = 3; $op },
            ]
        }
    };
}

impl Neon {
    /// `a` where `a > b`, else `b`: FMAX would let NaNs through.
    #[inline(always)]
    fn max4(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        simd! { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }

    /// Four binary16 values to binary32. In assembly, because the intrinsic's
    /// type is not stable in the oldest compiler this crate is for.
    #[inline(always)]
    fn widen4(self, from: uint16x4_t) -> float32x4_t {
        let to: float32x4_t;
        simd! {
            asm!(
                "fcvtl {to:v}.4s, {from:v}.4h",
                to = lateout(vreg) to,
                from = in(vreg) from,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        to
    }

    /// Four binary32 values to binary16, rounded to nearest even.
    #[inline(always)]
    fn narrow4(self, from: float32x4_t) -> uint16x4_t {
        let to: uint16x4_t;
        simd! {
            asm!(
                "fcvtn {to:v}.4h, {from:v}.4s",
                to = lateout(vreg) to,
                from = in(vreg) from,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        to
    }
}

impl Lanes for Neon {
    type F = F;
    type I = I;
    const REGISTERS: usize = 6;

    #[inline]
    fn new() -> Option<Self> {
        Isa::Neon.is_available().then_some(Neon(()))
    }

    #[inline(always)]
    unsafe fn new_unchecked() -> Self {
        Neon(())
    }

    #[inline]
    fn call<O: Op>(self, op: O) -> O::Out {
        #[inline(never)]
        #[target_feature(enable = "neon")]
        fn enabled<O: Op>(lanes: Neon, op: O) -> O::Out {
            op.run(lanes)
        }
        simd! { enabled(self, op) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> F {
        F(each!(I => { let _ = I; vdupq_n_f32(value) }))
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F {
        let at = from.as_ptr();
        F(each!(I => vld1q_f32(at.add(4 * I))))
    }

    #[inline(always)]
    fn store(self, value: F, to: &mut [f32; LANES]) {
        let at = to.as_mut_ptr();
        each!(I => vst1q_f32(at.add(4 * I), value.0[I]));
    }

    #[inline(always)]
    fn load_f16(self, from: &[F16; LANES]) -> F {
        // Byte loads: the values may lie at odd addresses.
        let at = from.as_ptr().cast::<u8>();
        F(each!(I => self.widen4(vreinterpret_u16_u8(vld1_u8(at.add(8 * I))))))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[BF16; 2 * LANES]) -> [F; 2] {
        let at = from.as_ptr().cast::<u8>();
        let floor = simd! { vdupq_n_u16(TWICE_FLOOR) };
        let pairs: [uint32x4_t; 4] = each!(I => {
            let bits = vreinterpretq_u16_u8(vld1q_u8(at.add(16 * I)));
            let above = vcgeq_u16(vaddq_u16(bits, bits), floor);
            vreinterpretq_u32_u16(vandq_u16(bits, above))
        });
        let upper = simd! { vdupq_n_u32(0xffff_0000) };
        [
            F(each!(I => vreinterpretq_f32_u32(vandq_u32(pairs[I], upper)))),
            F(each!(I => vreinterpretq_f32_u32(vshlq_n_u32::<16>(pairs[I])))),
        ]
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> F {
        simd! {
            let bytes = vld1q_s8(from.as_ptr());
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_s8(vget_high_s8(bytes)));
            F([
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
                vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
                vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))),
            ])
        }
    }

    #[inline(always)]
    fn store_f16(self, value: F, to: &mut [F16; LANES]) {
        let at = to.as_mut_ptr().cast::<u8>();
        each!(I => vst1_u8(at.add(8 * I), vreinterpret_u8_u16(self.narrow4(value.0[I]))));
    }

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        F(each!(I => vaddq_f32(a.0[I], b.0[I])))
    }

    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        F(each!(I => vsubq_f32(a.0[I], b.0[I])))
    }

    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        F(each!(I => vmulq_f32(a.0[I], b.0[I])))
    }

    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        F(each!(I => vdivq_f32(a.0[I], b.0[I])))
    }

    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        F(each!(I => vfmaq_f32(c.0[I], a.0[I], b.0[I])))
    }

    #[inline(always)]
    fn outer<const R: usize, const T: usize>(
        self,
        acc: &mut [[F; R]; T],
        w: [F; R],
        x: [&[f32; LANES]; T],
    ) {
        for quarter in 0..4 {
            for (acc, x) in zip(acc.iter_mut(), x) {
                let x = simd! { vld1q_f32(x.as_ptr().add(4 * quarter)) };
                for (acc, w) in zip(acc.iter_mut(), w) {
                    let acc = &mut acc.0[quarter];
                    *acc = simd! { vfmaq_f32(*acc, x, w.0[quarter]) };
                }
            }
        }
    }

    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        F(inlined::from_fn(|i| self.max4(a.0[i], b.0[i])))
    }

    #[inline(always)]
    fn abs(self, a: F) -> F {
        F(each!(I => vabsq_f32(a.0[I])))
    }

    #[inline(always)]
    fn select_gt(self, a: F, b: F, yes: F, no: F) -> F {
        F(each!(I => vbslq_f32(vcgtq_f32(a.0[I], b.0[I]), yes.0[I], no.0[I])))
    }

    #[inline(always)]
    fn scale_pow2(self, x: F, n: F) -> F {
        // Two factors, each a normal number; the first product is exact.
        F(each!(I => {
            let bias = vdupq_n_s32(127);
            let n = vcvtnq_s32_f32(n.0[I]);
            let half = vshrq_n_s32::<1>(n);
            let rest = vsubq_s32(n, half);
            let first = vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(half, bias)));
            let second = vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(rest, bias)));
            vmulq_f32(vmulq_f32(x.0[I], first), second)
        }))
    }

    #[inline(always)]
    fn fold(self, a: F) -> f32 {
        simd! {
            let low = vaddq_f32(a.0[0], a.0[2]);
            let high = vaddq_f32(a.0[1], a.0[3]);
            let four = vaddq_f32(low, high);
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }

    #[inline(always)]
    fn first(self, a: F) -> f32 {
        simd! { vgetq_lane_f32::<0>(a.0[0]) }
    }

    #[inline(always)]
    fn fold_max(self, a: F) -> f32 {
        let low = self.max4(a.0[0], a.0[2]);
        let high = self.max4(a.0[1], a.0[3]);
        let four = self.max4(low, high);
        simd! {
            let (low, high) = (vget_low_f32(four), vget_high_f32(four));
            let two = vbsl_f32(vcgt_f32(low, high), low, high);
            let (first, second) = (vget_lane_f32::<0>(two), vget_lane_f32::<1>(two));
            if first > second { first } else { second }
        }
    }

    #[inline(always)]
    fn max_magnitude(self, a: F, b: F) -> f32 {
        // Without the sign, bits order like values, infinities and NaNs on top.
        let bits: [uint32x4_t; 4] = each!(N => {
            let (a, b) = (vabsq_f32(a.0[N]), vabsq_f32(b.0[N]));
            vmaxq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b))
        });
        simd! {
            let low = vmaxq_u32(bits[0], bits[1]);
            let high = vmaxq_u32(bits[2], bits[3]);
            f32::from_bits(vmaxvq_u32(vmaxq_u32(low, high)))
        }
    }

    #[inline(always)]
    fn swap_pairs(self, a: F) -> F {
        F(each!(I => vrev64q_f32(a.0[I])))
    }

    #[inline(always)]
    fn round(self, a: F) -> Self::I {
        I(each!(N => vcvtnq_s32_f32(a.0[N])))
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> F {
        F(each!(N => vcvtq_f32_s32(a.0[N])))
    }

    #[inline(always)]
    fn store_i8(self, value: Self::I, to: &mut [i8; LANES]) {
        simd! {
            let low = vcombine_s16(vqmovn_s32(value.0[0]), vqmovn_s32(value.0[1]));
            let high = vcombine_s16(vqmovn_s32(value.0[2]), vqmovn_s32(value.0[3]));
            vst1q_s8(to.as_mut_ptr(), vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
        }
    }

    #[inline(always)]
    fn fold_int(self, a: Self::I) -> i32 {
        simd! {
            let low = vaddq_s32(a.0[0], a.0[1]);
            let high = vaddq_s32(a.0[2], a.0[3]);
            vaddvq_s32(vaddq_s32(low, high))
        }
    }

    #[inline(always)]
    fn dot32<const R: usize>(
        self,
        a: &[[i8; 4 * LANES]; 8],
        b: [&[i8; 32]; R],
        _: [i32; R],
    ) -> [Self::I; R] {
        simd! {
            let mut out = [I([vdupq_n_s32(0); 4]); R];
            for (out, b) in zip(out.iter_mut(), b) {
                for quarter in 0..4 {
                    // Sums of two elements each, of lanes 0, 1 and 2, 3 of the
                    // quarter. Two products are at most 2·127², which fits.
                    let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
                    for i in 0..4 {
                        let a0 = vld1q_s8(a[2 * i].as_ptr().add(16 * quarter));
                        let a1 = vld1q_s8(a[2 * i + 1].as_ptr().add(16 * quarter));
                        let b0 = vreinterpretq_s8_s32(vdupq_n_s32(four(b, 2 * i)));
                        let b1 = vreinterpretq_s8_s32(vdupq_n_s32(four(b, 2 * i + 1)));
                        let products = vmull_s8(vget_low_s8(a0), vget_low_s8(b0));
                        let products = vmlal_s8(products, vget_low_s8(a1), vget_low_s8(b1));
                        low = vpadalq_s16(low, products);
                        let products = vmull_high_s8(a0, b0);
                        let products = vmlal_high_s8(products, a1, b1);
                        high = vpadalq_s16(high, products);
                    }
                    out.0[quarter] = vpaddq_s32(low, high);
                }
            }
            out
        }
    }
}
