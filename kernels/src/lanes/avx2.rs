//! Lanes on AVX2, FMA and F16C: two 256-bit registers.

use super::{LANES, Lanes, Op, TWICE_FLOOR, four};
use crate::format::{BF16, F16};
use crate::inlined::zip;
use crate::isa::Isa;
use std::arch::x86_64::*;

/// The token of AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub struct Avx2(());

/// Lanes 0..8 and 8..16.
#[derive(Clone, Copy)]
pub struct F(pub(crate) __m256, pub(crate) __m256);

/// Lanes 0..8 and 8..16.
#[derive(Clone, Copy)]
pub struct I(__m256i, __m256i);

/// Marks the use of an instruction.
macro_rules! simd {
    ($($body:tt)*) => {
        // SAFETY: an `Avx2` exists only where the processor has AVX2, FMA and
        // F16C (`new`, `new_unchecked`), and every use is in a method of one.
        // Addresses come from references to arrays of the size that the
        // instruction reads or writes; none of them demands alignment.
        unsafe { $($body)* }
    };
}

/// The four lanes of the lower half plus those of the upper half, and so on.
macro_rules! fold_with {
    ($low:expr, $high:expr, $op256:ident, $op128:ident) => {
        simd! {
            let eight = $op256($low, $high);
            let four = $op128(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = $op128(four, _mm_movehl_ps(four, four));
            let one = $op128(two, _mm_movehdup_ps(two));
            _mm_cvtss_f32(one)
        }
    };
}

impl Avx2 {
    /// Sixteen bfloat16 values as they lie; zero where the magnitude is below
    /// [`FLOOR`](crate::steps::FLOOR).
    #[inline(always)]
    fn above_floor(self, values: __m256i) -> __m256i {
        simd! {
            // At least the floor: unsigned, the larger of the two.
            let twice = _mm256_add_epi16(values, values);
            let larger = _mm256_max_epu16(twice, _mm256_set1_epi16(TWICE_FLOOR as i16));
            _mm256_and_si256(values, _mm256_cmpeq_epi16(larger, twice))
        }
    }
}

impl Lanes for Avx2 {
    type F = F;
    type I = I;
    const REGISTERS: usize = 6;

    #[inline]
    fn new() -> Option<Self> {
        Isa::Avx2.is_available().then_some(Avx2(()))
    }

    #[inline(always)]
    unsafe fn new_unchecked() -> Self {
        Avx2(())
    }

    #[inline]
    fn call<O: Op>(self, op: O) -> O::Out {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn enabled<O: Op>(lanes: Avx2, op: O) -> O::Out {
            op.run(lanes)
        }
        simd! { enabled(self, op) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> F {
        simd! { F(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> F {
        let at = from.as_ptr();
        simd! { F(_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))) }
    }

    #[inline(always)]
    fn store(self, value: F, to: &mut [f32; LANES]) {
        let at = to.as_mut_ptr();
        simd! {
            _mm256_storeu_ps(at, value.0);
            _mm256_storeu_ps(at.add(8), value.1);
        }
    }

    #[inline(always)]
    fn load_f16(self, from: &[F16; LANES]) -> F {
        let at = from.as_ptr().cast::<__m128i>();
        simd! {
            F(
                _mm256_cvtph_ps(_mm_loadu_si128(at)),
                _mm256_cvtph_ps(_mm_loadu_si128(at.add(1))),
            )
        }
    }

    #[inline(always)]
    fn load_bf16(self, from: &[BF16; 2 * LANES]) -> [F; 2] {
        let at = from.as_ptr().cast::<__m256i>();
        simd! {
            let low = self.above_floor(_mm256_loadu_si256(at));
            let high = self.above_floor(_mm256_loadu_si256(at.add(1)));
            let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            [
                F(
                    _mm256_castsi256_ps(_mm256_and_si256(low, upper)),
                    _mm256_castsi256_ps(_mm256_and_si256(high, upper)),
                ),
                F(
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)),
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)),
                ),
            ]
        }
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> F {
        simd! {
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            let low = _mm256_cvtepi8_epi32(bytes);
            let high = _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes));
            F(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        }
    }

    #[inline(always)]
    fn store_f16(self, value: F, to: &mut [F16; LANES]) {
        let at = to.as_mut_ptr().cast::<__m128i>();
        simd! {
            _mm_storeu_si128(at, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value.0));
            _mm_storeu_si128(at.add(1), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value.1));
        }
    }

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        simd! { F(_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        simd! { F(_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        simd! { F(_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        simd! { F(_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        simd! { F(_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
    }

    #[inline(always)]
    fn outer<const R: usize, const T: usize>(
        self,
        acc: &mut [[F; R]; T],
        w: [F; R],
        x: [&[f32; LANES]; T],
    ) {
        for (acc, x) in zip(acc.iter_mut(), x) {
            let x = simd! { _mm256_loadu_ps(x.as_ptr()) };
            for (acc, w) in zip(acc.iter_mut(), w) {
                acc.0 = simd! { _mm256_fmadd_ps(x, w.0, acc.0) };
            }
        }
        for (acc, x) in zip(acc.iter_mut(), x) {
            let x = simd! { _mm256_loadu_ps(x.as_ptr().add(8)) };
            for (acc, w) in zip(acc.iter_mut(), w) {
                acc.1 = simd! { _mm256_fmadd_ps(x, w.1, acc.1) };
            }
        }
    }

    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        // VMAXPS is `a > b ? a : b`, NaNs and zeros included.
        simd! { F(_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn abs(self, a: F) -> F {
        simd! {
            let sign = _mm256_set1_ps(-0.0);
            F(_mm256_andnot_ps(sign, a.0), _mm256_andnot_ps(sign, a.1))
        }
    }

    #[inline(always)]
    fn select_gt(self, a: F, b: F, yes: F, no: F) -> F {
        simd! {
            let low = _mm256_cmp_ps::<_CMP_GT_OQ>(a.0, b.0);
            let high = _mm256_cmp_ps::<_CMP_GT_OQ>(a.1, b.1);
            F(
                _mm256_blendv_ps(no.0, yes.0, low),
                _mm256_blendv_ps(no.1, yes.1, high),
            )
        }
    }

    #[inline(always)]
    fn scale_pow2(self, x: F, n: F) -> F {
        // Two factors, each a normal number; the first product is exact.
        macro_rules! scale {
            ($x:expr, $n:expr) => {{
                let bias = _mm256_set1_epi32(127);
                let n = _mm256_cvtps_epi32($n);
                let half = _mm256_srai_epi32::<1>(n);
                let rest = _mm256_sub_epi32(n, half);
                let first = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
                let second = _mm256_slli_epi32::<23>(_mm256_add_epi32(rest, bias));
                let product = _mm256_mul_ps($x, _mm256_castsi256_ps(first));
                _mm256_mul_ps(product, _mm256_castsi256_ps(second))
            }};
        }
        simd! { F(scale!(x.0, n.0), scale!(x.1, n.1)) }
    }

    #[inline(always)]
    fn fold(self, a: F) -> f32 {
        fold_with!(a.0, a.1, _mm256_add_ps, _mm_add_ps)
    }

    #[inline(always)]
    fn first(self, a: F) -> f32 {
        simd! { _mm256_cvtss_f32(a.0) }
    }

    #[inline(always)]
    fn fold_max(self, a: F) -> f32 {
        fold_with!(a.0, a.1, _mm256_max_ps, _mm_max_ps)
    }

    #[inline(always)]
    fn max_magnitude(self, a: F, b: F) -> f32 {
        // Without the sign, bits order like values, infinities and NaNs on top.
        let (a, b) = (self.abs(a), self.abs(b));
        simd! {
            let a = _mm256_max_epi32(_mm256_castps_si256(a.0), _mm256_castps_si256(a.1));
            let b = _mm256_max_epi32(_mm256_castps_si256(b.0), _mm256_castps_si256(b.1));
            let eight = _mm256_max_epi32(a, b);
            let low = _mm256_castsi256_si128(eight);
            let four = _mm_max_epi32(low, _mm256_extracti128_si256::<1>(eight));
            let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            let one = _mm_max_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
            _mm_cvtss_f32(_mm_castsi128_ps(one))
        }
    }

    #[inline(always)]
    fn swap_pairs(self, a: F) -> F {
        simd! {
            F(
                _mm256_permute_ps::<0b10_11_00_01>(a.0),
                _mm256_permute_ps::<0b10_11_00_01>(a.1),
            )
        }
    }

    #[inline(always)]
    fn round(self, a: F) -> I {
        simd! { I(_mm256_cvtps_epi32(a.0), _mm256_cvtps_epi32(a.1)) }
    }

    #[inline(always)]
    fn to_float(self, a: I) -> F {
        simd! { F(_mm256_cvtepi32_ps(a.0), _mm256_cvtepi32_ps(a.1)) }
    }

    #[inline(always)]
    fn store_i8(self, value: I, to: &mut [i8; LANES]) {
        simd! {
            // 16-bit lanes 0..4, 8..12 | 4..8, 12..16, put in order.
            let words = _mm256_packs_epi32(value.0, value.1);
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let low = _mm256_castsi256_si128(words);
            let high = _mm256_extracti128_si256::<1>(words);
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packs_epi16(low, high));
        }
    }

    #[inline(always)]
    fn fold_int(self, a: I) -> i32 {
        simd! {
            let eight = _mm256_add_epi32(a.0, a.1);
            let low = _mm256_castsi256_si128(eight);
            let four = _mm_add_epi32(low, _mm256_extracti128_si256::<1>(eight));
            let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
            _mm_cvtsi128_si32(one)
        }
    }

    #[inline(always)]
    fn dot32<const R: usize>(
        self,
        a: &[[i8; 4 * LANES]; 8],
        b: [&[i8; 32]; R],
        _: [i32; R],
    ) -> [I; R] {
        simd! {
            let ones = _mm256_set1_epi16(1);
            let mut sums = [I(_mm256_setzero_si256(), _mm256_setzero_si256()); R];
            for (i, a) in a.iter().enumerate() {
                let at = a.as_ptr().cast::<__m256i>();
                let (low, high) = (_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1)));
                // VPMADDUBSW wants one operand unsigned: |a|, and b with the
                // sign of a. Two products are at most 2·127², which fits.
                let (abs_low, abs_high) = (_mm256_abs_epi8(low), _mm256_abs_epi8(high));
                for (sum, b) in zip(sums.iter_mut(), b) {
                    let b = _mm256_set1_epi32(four(b, i));
                    let pairs = _mm256_maddubs_epi16(abs_low, _mm256_sign_epi8(b, low));
                    sum.0 = _mm256_add_epi32(sum.0, _mm256_madd_epi16(pairs, ones));
                    let pairs = _mm256_maddubs_epi16(abs_high, _mm256_sign_epi8(b, high));
                    sum.1 = _mm256_add_epi32(sum.1, _mm256_madd_epi16(pairs, ones));
                }
            }
            sums
        }
    }
}
