//! Loads and stores of arrays.

use std::arch::x86_64::*;

/// Loads 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes are readable; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Loads 16 `f32`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load_f32(values: &[f32; 16]) -> __m512 {
    // SAFETY: 16 values are readable; the load needs no alignment.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

/// Stores 16 `f32`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn store_f32(to: &mut [f32; 16], value: __m512) {
    // SAFETY: 16 values are writable; the store needs no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
}

/// Four bytes in every 32-bit element.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn broadcast(four: &[i8; 4]) -> __m512i {
    _mm512_set1_epi32(i32::from_le_bytes(*bytemuck::cast_ref(four)))
}

/// Two values side by side in every 32-bit element.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn broadcast_pair(two: &[i16; 2]) -> __m512i {
    broadcast(bytemuck::cast_ref(two))
}
