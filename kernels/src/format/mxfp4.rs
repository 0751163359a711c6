//! MXFP4: 32 weights of 4-bit floating point with one power of two.
//!
//! ```text
//! byte   0   1        16
//!      ┌───┬────────────┐
//!      │ e │ qs [16]    │   byte i: weight i in the low nibble,
//!      └───┴────────────┘           weight i + 16 in the high nibble
//!
//! weight = 2^(e − 127) · E2M1(nibble)
//! ```
//!
//! The element is E2M1 (sign, two bits of exponent, one of mantissa): 0, ½, 1,
//! 1½, 2, 3, 4, 6 and their negatives. The scale is E8M0 (an exponent only),
//! and 255 is NaN (OCP Microscaling Formats specification 1.0). Doubled elements are integers, so `q` is twice the element and
//! `d` is `2^(e − 128)`, subnormal for `e` of 0 and 1.
//!
//! ggml does not know the NaN and reads 255 as 2^128. A file that has it is
//! broken either way; here it shows.

use super::iq4_nl::look_up;
use super::{Block, Group, Minimum};

/// Twice the element that a nibble stands for. Integers have no −0: its nibble
/// counts as 0.
pub const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// A block of 32 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockMXFP4 {
    /// Scale, E8M0.
    pub e: u8,
    /// Nibbles.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockMXFP4>() == 17);

impl Block for BlockMXFP4 {
    const LEN: usize = 32;
    const OFFSET: u8 = 12;
    const MAX: u8 = 24;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, _: usize) -> Group {
        Group::scaled(look_up(&MXFP4_VALUES, &self.qs), half_e8m0(self.e))
    }
}

/// Half of an E8M0 scale: `2^(e − 128)`, or NaN.
#[inline(always)]
pub fn half_e8m0(e: u8) -> f32 {
    const MANTISSA_BITS: u32 = 23;
    f32::from_bits(match e {
        // 2^−128 and 2^−127 lie below the smallest normal number, 2^−126.
        0 | 1 => 1 << (MANTISSA_BITS - 2 + u32::from(e)),
        255 => f32::NAN.to_bits(),
        _ => (u32::from(e) - 1) << MANTISSA_BITS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_over_the_whole_range() {
        for e in 0..=254 {
            assert_eq!(
                f64::from(half_e8m0(e)),
                2f64.powi(i32::from(e) - 128),
                "{e}"
            );
        }
        let block = BlockMXFP4 {
            e: 255,
            qs: [0; 16],
        };
        let mut weights = [0.0; 32];
        block.dequantize(&mut weights);
        assert!(weights.iter().all(|w| w.is_nan()), "{weights:?}");
    }
}
