//! What is done with vectors that knows no format: loads and stores of arrays,
//! sums over lanes, transposing.

use std::arch::asm;
use std::arch::x86_64::*;

/// `[a0 a1 a2 a3]`, `[b0 b1 b2 b3]` → `[a0+a2 a1+a3 b0+b2 b1+b3]` in each lane
/// of 128 bits.
#[inline]
#[target_feature(enable = "avx2")]
pub fn halve_i32(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b))
}

/// As [`halve_i32`], in pairs of `i16`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn halve_i16(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b))
}

/// `[a0 a1 b0 b1]`, `[c0 c1 d0 d1]` → `[a0+a1 b0+b1 c0+c1 d0+d1]` in each lane
/// of 128 bits.
#[inline]
#[target_feature(enable = "avx2")]
pub fn quarter_i32(a: __m256i, b: __m256i) -> __m256i {
    let (even, odd) = deal(a, b);
    _mm256_add_epi32(even, odd)
}

/// As [`quarter_i32`], in pairs of `i16`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn quarter_i16(a: __m256i, b: __m256i) -> __m256i {
    let (even, odd) = deal(a, b);
    _mm256_add_epi16(even, odd)
}

/// The even and the odd 32-bit elements of both.
#[inline]
#[target_feature(enable = "avx2")]
pub fn deal(a: __m256i, b: __m256i) -> (__m256i, __m256i) {
    let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    let even = _mm256_shuffle_ps(a, b, 0b10_00_10_00);
    let odd = _mm256_shuffle_ps(a, b, 0b11_01_11_01);
    (_mm256_castps_si256(even), _mm256_castps_si256(odd))
}

/// Folds the eight partial sums in halves.
#[inline]
#[target_feature(enable = "avx2")]
pub fn fold(p: __m256) -> f32 {
    let p = _mm_add_ps(_mm256_castps256_ps128(p), _mm256_extractf128_ps(p, 1));
    let p = _mm_add_ps(p, _mm_movehl_ps(p, p));
    _mm_cvtss_f32(_mm_add_ss(p, _mm_movehdup_ps(p)))
}

/// Loads 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes are readable; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Loads 32 signed bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_i8(bytes: &[i8; 32]) -> __m256i {
    load(bytemuck::cast_ref(bytes))
}

/// Loads 16 `i16`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_i16(values: &[i16; 16]) -> __m256i {
    load(bytemuck::cast_ref(values))
}

/// Loads 8 `f32`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_f32(values: &[f32; 8]) -> __m256 {
    _mm256_castsi256_ps(load(bytemuck::cast_ref(values)))
}

/// Loads 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_half(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes are readable; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Loads two times 16 bytes side by side.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_pair(low: &[u8; 16], high: &[u8; 16]) -> __m256i {
    _mm256_inserti128_si256(_mm256_castsi128_si256(load_half(low)), load_half(high), 1)
}

/// Loads 16 bytes into both lanes of 128 bits.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_both(bytes: &[u8; 16]) -> __m256i {
    _mm256_broadcastsi128_si256(load_half(bytes))
}

/// Stores 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store(to: &mut [u8; 32], value: __m256i) {
    // SAFETY: 32 bytes are writable; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

/// Stores 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store_half(to: &mut [u8; 16], value: __m128i) {
    // SAFETY: 16 bytes are writable; the store needs no alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), value) }
}

/// Stores 8 `f32`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store_f32(to: &mut [f32; 8], value: __m256) {
    store(bytemuck::cast_mut(to), _mm256_castps_si256(value));
}

/// Four bytes in every 32-bit element.
#[inline]
#[target_feature(enable = "avx2")]
pub fn broadcast(four: &[i8; 4]) -> __m256i {
    _mm256_set1_epi32(i32::from_le_bytes(*bytemuck::cast_ref(four)))
}

/// The first and the second `i16` of each pair.
#[inline]
#[target_feature(enable = "avx2")]
pub fn widen_pairs(pairs: __m256i) -> [__m256i; 2] {
    [
        _mm256_srai_epi32(_mm256_slli_epi32(pairs, 16), 16),
        _mm256_srai_epi32(pairs, 16),
    ]
}

/// The vector itself, of which the compiler does not know how it came about.
///
/// Sums that pass through here are computed in the order they are written in.
/// The compiler would otherwise rearrange a long sum of integers into a tree
/// whose parts do not fit in the registers.
#[inline]
#[target_feature(enable = "avx2")]
pub fn opaque(mut value: __m256i) -> __m256i {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(ymm_reg) value, options(nostack, preserves_flags)) }
    value
}

/// A constant of which the compiler does not know what it is.
///
/// It would otherwise replace a shuffle by a constant by two others.
#[inline]
#[target_feature(enable = "avx2")]
pub fn constant(mut value: __m256i) -> __m256i {
    // SAFETY: no instruction.
    unsafe {
        asm!("/* {0} */", inout(ymm_reg) value, options(pure, nomem, nostack, preserves_flags))
    }
    value
}

/// Transposes eight rows of eight 32-bit elements.
#[inline]
#[target_feature(enable = "avx2")]
pub fn transpose(rows: &[__m256i; 8]) -> [__m256i; 8] {
    let [a, b, c, d, e, f, g, h] = *rows;
    let (upper, lower) = (transpose_quad(a, b, c, d), transpose_quad(e, f, g, h));
    let mut out = [_mm256_setzero_si256(); 8];
    for i in 0..4 {
        out[i] = _mm256_permute2x128_si256(upper[i], lower[i], 0x20);
        out[i + 4] = _mm256_permute2x128_si256(upper[i], lower[i], 0x31);
    }
    out
}

/// Transposes four rows of four 32-bit elements, in each lane of 128 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_quad(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> [__m256i; 4] {
    let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab_low, cd_low),
        _mm256_unpackhi_epi64(ab_low, cd_low),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The low and the high nibbles.
#[inline]
#[target_feature(enable = "avx2")]
pub fn nibbles(bytes: __m256i) -> [__m256i; 2] {
    let mask = _mm256_set1_epi8(15);
    [
        _mm256_and_si256(bytes, mask),
        _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask),
    ]
}

/// Replaces nibbles by the values they stand for.
#[inline]
#[target_feature(enable = "avx2")]
pub fn look_up(values: &[i8; 16], nibbles: &mut [__m256i; 8]) {
    let values = load_both(bytemuck::cast_ref(values));
    for nibbles in nibbles {
        *nibbles = _mm256_shuffle_epi8(values, *nibbles);
    }
}
