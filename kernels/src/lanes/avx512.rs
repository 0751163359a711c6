//! Lanes on AVX-512: one 512-bit register.

use super::{LANES, Lanes, Op, TWICE_FLOOR, four};
use crate::format::{BF16, F16};
use crate::inlined::zip;
use crate::isa::Isa;
use std::arch::x86_64::*;

/// The token of AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Clone, Copy)]
pub struct Avx512(());

/// Marks the use of an instruction.
macro_rules! simd {
    ($($body:tt)*) => {
        // SAFETY: an `Avx512` exists only where the processor has AVX-512 F,
        // BW, DQ, VL and VNNI (`new`, `new_unchecked`), and every use is in a
        // method of one. Addresses come from references to arrays of the size
        // that the instruction reads or writes; none of them demands
        // alignment.
        unsafe { $($body)* }
    };
}

/// Lanes 0..8 with 8..16, then as in 256-bit registers.
macro_rules! fold_with {
    ($a:expr, $op256:ident, $op128:ident) => {
        simd! {
            let low = _mm512_castps512_ps256($a);
            let high = _mm512_extractf32x8_ps::<1>($a);
            let eight = $op256(low, high);
            let four = $op128(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = $op128(four, _mm_movehl_ps(four, four));
            let one = $op128(two, _mm_movehdup_ps(two));
            _mm_cvtss_f32(one)
        }
    };
}

impl Avx512 {
    /// Reads 32 bfloat16 values as they lie; zero where the magnitude is below
    /// [`FLOOR`](crate::steps::FLOOR).
    #[inline(always)]
    pub(crate) fn pairs_above_floor(self, from: &[BF16; 2 * LANES]) -> __m512i {
        simd! {
            let pairs = _mm512_loadu_si512(from.as_ptr().cast());
            let floor = _mm512_set1_epi16(TWICE_FLOOR as i16);
            let above = _mm512_cmpge_epu16_mask(_mm512_add_epi16(pairs, pairs), floor);
            _mm512_maskz_mov_epi16(above, pairs)
        }
    }
}

impl Lanes for Avx512 {
    type F = __m512;
    type I = __m512i;
    const REGISTERS: usize = 24;

    #[inline]
    fn new() -> Option<Self> {
        Isa::Avx512.is_available().then_some(Avx512(()))
    }

    #[inline(always)]
    unsafe fn new_unchecked() -> Self {
        Avx512(())
    }

    #[inline]
    fn call<O: Op>(self, op: O) -> O::Out {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn enabled<O: Op>(lanes: Avx512, op: O) -> O::Out {
            op.run(lanes)
        }
        simd! { enabled(self, op) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        simd! { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        simd! { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; LANES]) {
        simd! { _mm512_storeu_ps(to.as_mut_ptr(), value) }
    }

    #[inline(always)]
    fn load_f16(self, from: &[F16; LANES]) -> __m512 {
        simd! { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_bf16(self, from: &[BF16; 2 * LANES]) -> [__m512; 2] {
        simd! {
            let pairs = self.pairs_above_floor(from);
            let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            [
                _mm512_castsi512_ps(_mm512_and_si512(pairs, upper)),
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)),
            ]
        }
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> __m512 {
        simd! {
            let wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()));
            _mm512_cvtepi32_ps(wide)
        }
    }

    #[inline(always)]
    fn store_f16(self, value: __m512, to: &mut [F16; LANES]) {
        simd! {
            let narrow = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), narrow);
        }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        simd! { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        simd! { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        simd! { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        simd! { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        simd! { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // VMAXPS is `a > b ? a : b`, NaNs and zeros included.
        simd! { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        simd! { _mm512_abs_ps(a) }
    }

    #[inline(always)]
    fn select_gt(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        simd! {
            let greater = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b);
            _mm512_mask_blend_ps(greater, no, yes)
        }
    }

    #[inline(always)]
    fn scale_pow2(self, x: __m512, n: __m512) -> __m512 {
        simd! { _mm512_scalef_ps(x, n) }
    }

    #[inline(always)]
    fn fold(self, a: __m512) -> f32 {
        fold_with!(a, _mm256_add_ps, _mm_add_ps)
    }

    #[inline(always)]
    fn first(self, a: __m512) -> f32 {
        simd! { _mm512_cvtss_f32(a) }
    }

    #[inline(always)]
    fn fold_max(self, a: __m512) -> f32 {
        fold_with!(a, _mm256_max_ps, _mm_max_ps)
    }

    #[inline(always)]
    fn max_magnitude(self, a: __m512, b: __m512) -> f32 {
        // Without the sign, bits order like values, infinities and NaNs on top.
        simd! {
            let a = _mm512_castps_si512(_mm512_abs_ps(a));
            let b = _mm512_castps_si512(_mm512_abs_ps(b));
            f32::from_bits(_mm512_reduce_max_epu32(_mm512_max_epu32(a, b)))
        }
    }

    #[inline(always)]
    fn swap_pairs(self, a: __m512) -> __m512 {
        simd! { _mm512_permute_ps::<0b10_11_00_01>(a) }
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512i {
        simd! { _mm512_cvtps_epi32(a) }
    }

    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        simd! { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn store_i8(self, value: __m512i, to: &mut [i8; LANES]) {
        simd! { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtsepi32_epi8(value)) }
    }

    #[inline(always)]
    fn fold_int(self, a: __m512i) -> i32 {
        simd! { _mm512_reduce_add_epi32(a) }
    }

    #[inline(always)]
    fn dot32<const R: usize>(
        self,
        a: &[[i8; 4 * LANES]; 8],
        b: [&[i8; 32]; R],
        lowered: [i32; R],
    ) -> [__m512i; R] {
        simd! {
            // VPDPBUSD wants one operand unsigned: a + 128, which adds 128·Σb.
            let offset = _mm512_set1_epi8(-128);
            let mut products = [_mm512_setzero_si512(); R];
            for (product, lowered) in zip(products.iter_mut(), lowered) {
                *product = _mm512_set1_epi32(lowered);
            }
            // Unrolled by hand: the compiler leaves a loop.
            macro_rules! steps {
                ($($i:literal)*) => {
                    $(
                        let step = _mm512_loadu_si512(a[$i].as_ptr().cast());
                        let step = _mm512_xor_si512(step, offset);
                        for (product, b) in zip(products.iter_mut(), b) {
                            let four = _mm512_set1_epi32(four(b, $i));
                            *product = _mm512_dpbusd_epi32(*product, step, four);
                        }
                    )*
                };
            }
            steps!(0 1 2 3 4 5 6 7);
            products
        }
    }
}
