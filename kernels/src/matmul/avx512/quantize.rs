//! Quantizes activations, an octet at a time, into lane order.
//!
//! Nothing is done for one group alone: the largest magnitudes of eight groups
//! are found together and divided in one vector, and quants come into lane
//! order by packing, since two packs put four quants of each of four halves
//! side by side:
//!
//! ```text
//!                 quarter 0       quarter 1       quarter 2       quarter 3
//!              ┌───────────────┬───────────────┬───────────────┬───────────────┐
//! groups 0–3,  │ 0┄3 of each   │ 4┄7 of each   │ 8┄11 of each  │ 12┄15 of each │
//! first halves └───────────────┴───────────────┴───────────────┴───────────────┘
//! ```
//!
//! A step is the same quarter of four such vectors.

use super::octet::{PerLane, beside, halves_beside};
use super::vector::*;
use crate::activation::{
    AMAX_CEILING, AMAX_FLOOR, Int8RowMut, OCTET, OCTET_LEN, ONES, Pair, Scaling,
};
use crate::inlined::zip;
use crate::isa::Isa;
use crate::prefetch;
use std::arch::x86_64::*;

/// How far ahead of the values in hand memory is asked for, in bytes: two octets. Of
/// prompts of 512 tokens, quantizing took 2.4 % of the time on a Zen 5 and takes 1.3 %.
const AHEAD: usize = 2 * size_of::<Halves>();

/// The values of an octet: the halves of its groups.
type Halves = [[f32; 16]; 2 * OCTET];

/// Quantizes a row; [`quantize_scalar`](crate::activation::quantize_scalar)
/// defines the result.
///
/// # Panics
///
/// If the processor does not have AVX-512, or an array does not fit.
pub fn quantize(x: &[f32], out: &mut Int8RowMut<'_>) {
    assert!(Isa::Avx512.is_available());
    // SAFETY: the processor has the features.
    unsafe { row(x, out) }
}

/// Quantizes two rows side by side.
///
/// # Panics
///
/// If the processor does not have AVX-512, or an array does not fit.
pub fn quantize_pair(x: [&[f32]; 2], scaling: Scaling, out: &mut [Pair]) {
    assert!(Isa::Avx512.is_available());
    // SAFETY: the processor has the features.
    unsafe { pair(x, scaling, out) }
}

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2")]
fn row(x: &[f32], out: &mut Int8RowMut<'_>) {
    let to = out.q.as_chunks_mut::<OCTET_LEN>().0.iter_mut();
    let to = zip(to, out.d.as_chunks_mut::<{ 2 * OCTET }>().0);
    let to = zip(to, out.xsum.as_chunks_mut::<{ 2 * OCTET }>().0);
    let to = zip(to, out.neg_sums.as_chunks_mut::<{ 2 * OCTET }>().0);
    for (o, (((q, d), xsum), neg_sums)) in to.enumerate() {
        let octet = octet(x, o);
        let steps = q.as_chunks_mut::<64>().0;
        for (to, step) in zip(steps.iter_mut(), octet.q) {
            store(bytemuck::cast_mut(to), step);
        }
        let sums = octet.neg_sums();
        let of_groups = octet.xsum(sums);
        store_f32(d, beside(octet.d, octet.d));
        store_f32(xsum, beside(of_groups, of_groups));
        store(bytemuck::cast_mut(neg_sums), sums);
    }
}

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2")]
fn pair(x: [&[f32]; 2], scaling: Scaling, out: &mut [Pair]) {
    for (o, to) in out.iter_mut().enumerate() {
        let [a, b] = [octet(x[0], o), octet(x[1], o)];
        let steps = to.q.as_chunks_mut::<2>().0;
        for (to, (a, b)) in zip(steps.iter_mut(), zip(a.q, b.q)) {
            for (to, half) in zip(to.iter_mut(), halves_beside(a, b)) {
                store(bytemuck::cast_mut(to), half);
            }
        }
        let d = beside(a.d, b.d);
        let Begin { bits, by } = Begin::of(d, scaling);
        store_f32(&mut to.ones, _mm512_mul_ps(d, _mm512_set1_ps(ONES)));
        store(bytemuck::cast_mut(&mut to.bits), bits);
        store(bytemuck::cast_mut(&mut to.by), by);
        let sums = [a.neg_sums(), b.neg_sums()];
        store_f32(&mut to.xsum, beside(a.xsum(sums[0]), b.xsum(sums[1])));
        for (to, half) in zip(to.neg_sums.iter_mut(), halves_beside(sums[0], sums[1])) {
            store(bytemuck::cast_mut(to), half);
        }
    }
}

/// Octet `o` of a row; what the row does not have is zero.
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx2")]
fn octet(x: &[f32], o: usize) -> Quantized {
    let (octets, rest) = x.as_chunks::<OCTET_LEN>();
    match octets.get(o) {
        Some(x) => {
            prefetch::all_to_level(true, x, AHEAD);
            Quantized::of(bytemuck::cast_ref(x))
        }
        None => {
            let mut padded = [0.0; OCTET_LEN];
            if o == octets.len() {
                padded[..rest.len()].copy_from_slice(rest);
            }
            Quantized::of(bytemuck::cast_ref(&padded))
        }
    }
}

/// What integer sums begin with, and what scales them: see [`Pair`].
struct Begin {
    bits: __m512i,
    by: __m512i,
}

impl Begin {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn of(d: __m512, scaling: Scaling) -> Begin {
        match scaling {
            Scaling::Adding => Begin::of_powers(d),
            Scaling::Multiplying => Begin {
                bits: _mm512_set1_epi32(ONES.to_bits() as i32),
                by: _mm512_castps_si512(d),
            },
        }
    }

    /// Takes scales `2ᵃ ± 2ᵇ` apart.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn of_powers(d: __m512) -> Begin {
        /// What is added to the bits of a float to multiply it with a power of two.
        const fn times(power: i32) -> u32 {
            (power << 23) as u32
        }
        const MINUS: u32 = 1 << 31;
        // By the eighths after the leading bit: 1 is ½ + ½, 9/8 is 1 + 1/8, 10/8
        // is 1 + 1/4, 12/8 is 1 + 1/2, 14/8 is 2 − 1/4, 15/8 is 2 − 1/8.
        const A: [u32; 8] = [times(-1), 0, 0, 0, 0, 0, times(1), times(1)];
        const B: [u32; 8] = [
            times(0),
            times(-3),
            times(-2),
            0,
            times(-1),
            0,
            times(-3) ^ MINUS,
            times(-4) ^ MINUS,
        ];
        let of_d = _mm512_castps_si512(d);
        let eighths = _mm512_srli_epi32(of_d, 20);
        let pick = |table: &[u32; 8]| {
            let table = _mm512_castps_si512(load_f32_twice(bytemuck::cast_ref(table)));
            _mm512_permutexvar_epi32(eighths, table)
        };
        let exponent = _mm512_and_si512(of_d, _mm512_set1_epi32(f32::INFINITY.to_bits() as i32));
        let ones = ONES.to_bits() - 1.0_f32.to_bits();
        let bits = _mm512_add_epi32(exponent, _mm512_set1_epi32(ones as i32));
        let bits = _mm512_add_epi32(bits, pick(&A));
        // Zero times a number is the number minus itself.
        let is_zero = _mm512_testn_epi32_mask(of_d, of_d);
        let by = _mm512_mask_mov_epi32(pick(&B), is_zero, _mm512_set1_epi32(MINUS as i32));
        Begin { bits, by }
    }
}

/// An octet of activations, quantized.
struct Quantized {
    /// Quants, by step.
    q: [__m512i; 4],
    /// Scale of each group.
    d: __m256,
}

impl Quantized {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx2")]
    fn of(x: &Halves) -> Quantized {
        let amax = largest_magnitudes(x);
        let is_zero = _mm256_cmp_ps_mask::<_CMP_LT_OQ>(amax, _mm256_set1_ps(AMAX_FLOOR));
        let is_no_number = _mm256_cmp_ps_mask::<_CMP_NLT_UQ>(amax, _mm256_set1_ps(AMAX_CEILING));
        let d = scales_for(amax);
        let inverse = _mm256_maskz_div_ps(!is_zero, _mm256_set1_ps(1.0), d);
        let d = _mm256_maskz_mov_ps(!is_zero, d);
        let d = _mm256_mask_mov_ps(d, is_no_number, _mm256_set1_ps(f32::NAN));
        let q = match is_no_number {
            0 => quants(x, inverse),
            _ => {
                let mut numbers = *x;
                for (g, group) in numbers.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    if is_no_number & 1 << g != 0 {
                        *group = [[0.0; 16]; 2];
                    }
                }
                quants(&numbers, _mm256_maskz_mov_ps(!is_no_number, inverse))
            }
        };
        Quantized { q, d }
    }

    /// Negative sums of the quants of each half, by lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn neg_sums(&self) -> __m512i {
        let mut sums = _mm512_setzero_si512();
        for q in self.q {
            sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), q);
        }
        _mm512_sub_epi32(_mm512_setzero_si512(), sums)
    }

    /// `d · Σ q` of each group, from the negative sums.
    #[inline]
    #[target_feature(enable = "avx512f,avx2")]
    fn xsum(&self, neg_sums: __m512i) -> __m256 {
        let groups = _mm256_sub_epi32(_mm256_setzero_si256(), add_halves(neg_sums));
        _mm256_mul_ps(self.d, _mm256_cvtepi32_ps(groups))
    }
}

/// The scales of eight groups: see [`scale_for`](crate::activation::scale_for).
#[inline]
#[target_feature(enable = "avx2")]
fn scales_for(amax: __m256) -> __m256 {
    let bits = _mm256_castps_si256(_mm256_div_ps(amax, _mm256_set1_ps(127.0)));
    let bits = _mm256_add_epi32(bits, _mm256_set1_epi32(0x000f_fff0));
    let bits = _mm256_and_si256(bits, _mm256_set1_epi32(0xfff0_0000_u32 as i32));
    // By the eighths after the leading bit, to which this looks alone.
    let next = _mm256_setr_epi32(0, 0, 0, 1 << 20, 0, 1 << 20, 0, 0);
    let next = _mm256_permutevar8x32_epi32(next, _mm256_srli_epi32(bits, 20));
    _mm256_castsi256_ps(_mm256_add_epi32(bits, next))
}

/// The largest magnitude of each group. Without the sign, bits order like
/// values, infinities and NaNs on top.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn largest_magnitudes(x: &Halves) -> __m256 {
    /// The lane of each group in the end.
    const LANE_OF_GROUP: PerLane<u32> = [0, 8, 2, 10, 4, 12, 6, 14, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut of_group = [_mm512_setzero_si512(); OCTET];
    for (largest, [a, b]) in zip(of_group.iter_mut(), x.as_chunks().0) {
        let (a, b) = (load_f32(a), load_f32(b));
        *largest = _mm512_max_epu32(
            _mm512_castps_si512(_mm512_abs_ps(a)),
            _mm512_castps_si512(_mm512_abs_ps(b)),
        );
    }
    // Eight lanes each of groups g and g + 4; then four of four groups.
    let mut eight = [_mm512_setzero_si512(); 4];
    for (g, eight) in eight.iter_mut().enumerate() {
        let (a, b) = (of_group[g], of_group[g + 4]);
        let low = _mm512_shuffle_i64x2(a, b, 0b01_00_01_00);
        *eight = _mm512_max_epu32(low, _mm512_shuffle_i64x2(a, b, 0b11_10_11_10));
    }
    let mut four = [_mm512_setzero_si512(); 2];
    for (four, [a, b]) in zip(four.iter_mut(), eight.as_chunks().0) {
        let low = _mm512_shuffle_i32x4(*a, *b, 0b10_00_10_00);
        *four = _mm512_max_epu32(low, _mm512_shuffle_i32x4(*a, *b, 0b11_01_11_01));
    }
    let [a, b] = four;
    let two = _mm512_max_epu32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let one = _mm512_max_epu32(two, _mm512_shuffle_epi32(two, 0b10_11_00_01));
    let in_order = _mm512_permutexvar_epi32(load_u32(&LANE_OF_GROUP), one);
    _mm256_castsi256_ps(_mm512_castsi512_si256(in_order))
}

/// `round(x · inverse)`, by step.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx2")]
fn quants(x: &Halves, inverse: __m256) -> [__m512i; 4] {
    let inverse = _mm512_castps256_ps512(inverse);
    let round = |half: usize| {
        let group = _mm512_set1_epi32(half as i32 / 2);
        let inverse = _mm512_permutexvar_ps(group, inverse);
        _mm512_cvtps_epi32(_mm512_mul_ps(load_f32(&x[half]), inverse))
    };
    let mut packed = [_mm512_setzero_si512(); 4];
    for (i, packed) in packed.iter_mut().enumerate() {
        // Halves `first` and, of the three groups after, the same.
        let first = i % 2 * 8 + i / 2;
        let a = _mm512_packs_epi32(round(first), round(first + 2));
        let b = _mm512_packs_epi32(round(first + 4), round(first + 6));
        *packed = _mm512_packs_epi16(a, b);
    }
    // From [vector][quarter] to [quarter][vector].
    let [a, b, c, d] = packed;
    let ab_even = _mm512_shuffle_i32x4(a, b, 0b10_00_10_00);
    let ab_odd = _mm512_shuffle_i32x4(a, b, 0b11_01_11_01);
    let cd_even = _mm512_shuffle_i32x4(c, d, 0b10_00_10_00);
    let cd_odd = _mm512_shuffle_i32x4(c, d, 0b11_01_11_01);
    [
        _mm512_shuffle_i32x4(ab_even, cd_even, 0b10_00_10_00),
        _mm512_shuffle_i32x4(ab_odd, cd_odd, 0b10_00_10_00),
        _mm512_shuffle_i32x4(ab_even, cd_even, 0b11_01_11_01),
        _mm512_shuffle_i32x4(ab_odd, cd_odd, 0b11_01_11_01),
    ]
}
