//! F32, F16 and BF16: weights stored as little-endian floats.

use half::{bf16, f16};

/// A weight as it lies in the file: any alignment, little-endian.
pub trait FloatWeight: bytemuck::AnyBitPattern + Send + Sync {
    /// The weight as `f32`; exact.
    fn to_f32(self) -> f32;
}

/// IEEE 754 binary32.
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct F32([u8; 4]);

/// IEEE 754 binary16.
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct F16([u8; 2]);

/// The upper half of a binary32.
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct BF16([u8; 2]);

impl FloatWeight for F32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_le_bytes(self.0)
    }
}

impl FloatWeight for F16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f16::from_le_bytes(self.0).to_f32()
    }
}

impl FloatWeight for BF16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        bf16::from_le_bytes(self.0).to_f32()
    }
}

/// Writes the weights of a stretch of the file as `f32`.
pub(super) fn widen<W: FloatWeight>(bytes: &[u8], out: &mut [f32]) {
    let weights: &[W] = bytemuck::cast_slice(bytes);
    assert_eq!(weights.len(), out.len());
    for (weight, out) in weights.iter().zip(out) {
        *out = weight.to_f32();
    }
}
