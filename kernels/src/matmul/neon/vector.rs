//! What is done with vectors that knows no format: loads of arrays, conversions,
//! transposing.

use crate::inlined;
use std::arch::aarch64::*;
use std::arch::asm;

/// Loads 16 bytes.
#[inline]
#[target_feature(enable = "neon")]
pub fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: 16 bytes are readable; the load needs no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// Loads 16 signed bytes.
#[inline]
#[target_feature(enable = "neon")]
pub fn load_i8(bytes: &[i8; 16]) -> int8x16_t {
    // SAFETY: as in `load`.
    unsafe { vld1q_s8(bytes.as_ptr()) }
}

/// Stores 16 signed bytes.
#[inline]
#[target_feature(enable = "neon")]
pub fn store_i8(to: &mut [i8; 16], value: int8x16_t) {
    // SAFETY: 16 bytes are writable; the store needs no alignment.
    unsafe { vst1q_s8(to.as_mut_ptr(), value) }
}

/// Loads 8 `i16`.
#[inline]
#[target_feature(enable = "neon")]
pub fn load_i16(values: &[i16; 8]) -> int16x8_t {
    // SAFETY: 8 aligned values are readable.
    unsafe { vld1q_s16(values.as_ptr()) }
}

/// Stores 8 `i16`.
#[inline]
#[target_feature(enable = "neon")]
pub fn store_i16(to: &mut [i16; 8], value: int16x8_t) {
    // SAFETY: 8 aligned values are writable.
    unsafe { vst1q_s16(to.as_mut_ptr(), value) }
}

/// Loads 4 `f32`.
#[inline]
#[target_feature(enable = "neon")]
pub fn load_f32(values: &[f32; 4]) -> float32x4_t {
    // SAFETY: 4 aligned values are readable.
    unsafe { vld1q_f32(values.as_ptr()) }
}

/// Stores 4 `f32`.
#[inline]
#[target_feature(enable = "neon")]
pub fn store_f32(to: &mut [f32; 4], value: float32x4_t) {
    // SAFETY: 4 aligned values are writable.
    unsafe { vst1q_f32(to.as_mut_ptr(), value) }
}

/// Loads 8 `f32`.
#[inline]
#[target_feature(enable = "neon")]
pub fn load_eight(values: &[f32; 8]) -> [float32x4_t; 2] {
    let [low, high]: &[[f32; 4]; 2] = bytemuck::cast_ref(values);
    [load_f32(low), load_f32(high)]
}

/// Eight binary16 values, exact.
#[inline]
#[target_feature(enable = "neon")]
pub fn widen(values: [[u8; 2]; 8]) -> [float32x4_t; 2] {
    let values = vreinterpretq_u16_u8(load(&bytemuck::cast(values)));
    [
        widen_four(vget_low_u16(values)),
        widen_four(vget_high_u16(values)),
    ]
}

/// A binary16 value, exact.
#[inline]
#[target_feature(enable = "neon")]
pub fn widen_one(value: [u8; 2]) -> f32 {
    vgetq_lane_f32::<0>(widen_four(vdup_n_u16(u16::from_le_bytes(value))))
}

/// In assembly, because the intrinsic's type is not stable in the oldest
/// compiler this crate is for.
#[inline]
#[target_feature(enable = "neon")]
fn widen_four(from: uint16x4_t) -> float32x4_t {
    let to: float32x4_t;
    // SAFETY: the instruction is part of Advanced SIMD.
    unsafe {
        asm!(
            "fcvtl {to:v}.4s, {from:v}.4h",
            to = lateout(vreg) to,
            from = in(vreg) from,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    to
}

/// Eight `i16` as floats.
#[inline]
#[target_feature(enable = "neon")]
pub fn to_float(values: int16x8_t) -> [float32x4_t; 2] {
    [
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(values))),
        vcvtq_f32_s32(vmovl_high_s16(values)),
    ]
}

/// Eight bytes, unsigned, as floats.
#[inline]
#[target_feature(enable = "neon")]
pub fn bytes_to_float(values: uint8x8_t) -> [float32x4_t; 2] {
    to_float(vreinterpretq_s16_u16(vmovl_u8(values)))
}

/// All of both multiplied with `factor`.
#[inline]
#[target_feature(enable = "neon")]
pub fn scale(values: [float32x4_t; 2], factor: f32) -> [float32x4_t; 2] {
    [
        vmulq_n_f32(values[0], factor),
        vmulq_n_f32(values[1], factor),
    ]
}

/// Transposes four rows of four 32-bit elements.
#[inline]
#[target_feature(enable = "neon")]
pub fn transpose(rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
    let [a, b, c, d] = rows;
    let (a, b) = (vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b));
    let (c, d) = (vreinterpretq_s32_s8(c), vreinterpretq_s32_s8(d));
    let wide = |v| vreinterpretq_s64_s32(v);
    let (ab_even, ab_odd) = (wide(vtrn1q_s32(a, b)), wide(vtrn2q_s32(a, b)));
    let (cd_even, cd_odd) = (wide(vtrn1q_s32(c, d)), wide(vtrn2q_s32(c, d)));
    [
        vreinterpretq_s8_s64(vtrn1q_s64(ab_even, cd_even)),
        vreinterpretq_s8_s64(vtrn1q_s64(ab_odd, cd_odd)),
        vreinterpretq_s8_s64(vtrn2q_s64(ab_even, cd_even)),
        vreinterpretq_s8_s64(vtrn2q_s64(ab_odd, cd_odd)),
    ]
}

/// Transposes four rows of four floats.
#[inline]
#[target_feature(enable = "neon")]
pub fn transpose_f32(rows: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let [a, b, c, d] = inlined::map(rows, |row| vreinterpretq_s8_f32(row));
    inlined::map(transpose([a, b, c, d]), |row| vreinterpretq_f32_s8(row))
}

/// The sums of four vectors.
#[inline]
#[target_feature(enable = "neon")]
pub fn sum_lanes(a: int32x4_t, b: int32x4_t, c: int32x4_t, d: int32x4_t) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
}

/// Folds eight partial sums in halves.
#[inline]
#[target_feature(enable = "neon")]
pub fn fold([low, high]: [float32x4_t; 2]) -> f32 {
    let four = vaddq_f32(low, high);
    let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
}

/// The low and the high nibbles.
#[inline]
#[target_feature(enable = "neon")]
pub fn nibbles(bytes: uint8x16_t) -> [uint8x16_t; 2] {
    [vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8::<4>(bytes)]
}

/// Unsigned quants less the format's offset.
#[inline]
#[target_feature(enable = "neon")]
pub fn less(quants: uint8x16_t, offset: u8) -> int8x16_t {
    vreinterpretq_s8_u8(vsubq_u8(quants, vdupq_n_u8(offset)))
}

/// Bit 0 of the result is bit `index` of every byte.
#[inline]
#[target_feature(enable = "neon")]
pub fn shift_right(bytes: uint8x16_t, index: usize) -> uint8x16_t {
    vshlq_u8(bytes, vdupq_n_s8(-(index as i8)))
}
