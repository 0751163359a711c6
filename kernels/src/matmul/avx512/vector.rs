//! Loads, stores and broadcasts of arrays.

use std::arch::x86_64::*;

/// Loads 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes are readable; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Loads 64 signed bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load_i8(bytes: &[i8; 64]) -> __m512i {
    load(bytemuck::cast_ref(bytes))
}

/// Loads 16 `i32`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load_i32(values: &[i32; 16]) -> __m512i {
    load(bytemuck::cast_ref(values))
}

/// Loads 16 `u32`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load_u32(values: &[u32; 16]) -> __m512i {
    load(bytemuck::cast_ref(values))
}

/// Loads 32 `u16`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load_u16(values: &[u16; 32]) -> __m512i {
    load(bytemuck::cast_ref(values))
}

/// Loads 16 `f32`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load_f32(values: &[f32; 16]) -> __m512 {
    _mm512_castsi512_ps(load(bytemuck::cast_ref(values)))
}

/// Loads two times 32 bytes side by side.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load_pair(low: &[u8; 32], high: &[u8; 32]) -> __m512i {
    // SAFETY: 32 bytes are readable; the loads need no alignment.
    unsafe {
        let low = _mm512_castsi256_si512(_mm256_loadu_si256(low.as_ptr().cast()));
        _mm512_inserti64x4(low, _mm256_loadu_si256(high.as_ptr().cast()), 1)
    }
}

/// Loads 16 bytes into each quarter.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load_four_times(bytes: &[u8; 16]) -> __m512i {
    // SAFETY: 16 bytes are readable; the load needs no alignment.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// Loads 8 `f32` into both halves.
#[inline]
#[target_feature(enable = "avx512dq")]
pub fn load_f32_twice(values: &[f32; 8]) -> __m512 {
    // SAFETY: 8 values are readable; the load needs no alignment.
    _mm512_broadcast_f32x8(unsafe { _mm256_loadu_ps(values.as_ptr()) })
}

/// Stores 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn store(to: &mut [u8; 64], value: __m512i) {
    // SAFETY: 64 bytes are writable; the store needs no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
}

/// Stores 16 `f32`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn store_f32(to: &mut [f32; 16], value: __m512) {
    store(bytemuck::cast_mut(to), _mm512_castps_si512(value));
}

/// The lower and the upper eight lanes, added.
#[inline]
#[target_feature(enable = "avx512f,avx2")]
pub fn add_halves(value: __m512i) -> __m256i {
    let low = _mm512_castsi512_si256(value);
    _mm256_add_epi32(low, _mm512_extracti64x4_epi64(value, 1))
}
