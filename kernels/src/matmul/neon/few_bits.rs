//! Formats of one and two bits, and of three values.

use super::blocks_of_32::bits_of_bytes;
use super::octet::{Octet, Octets, PerGroup};
use super::super_blocks::{each, halves, one, two_bits};
use super::vector::*;
use crate::activation::OCTET;
use crate::format::*;
use crate::inlined;
use std::arch::aarch64::*;

impl Octets for BlockQ1_0 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; 2] = exactly(blocks);
        let q = each(|g, half| {
            let bytes = &b[g / 4].qs[g % 4][2 * half..];
            let is_set = bits_of_bytes(bytes[0], bytes[1]);
            less(vandq_u8(is_set, vdupq_n_u8(2)), Self::OFFSET)
        });
        Octet::new(q, scales_of_blocks(b, |b| b.d))
    }
}

impl Octets for BlockQ2_0 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        const EACH_BYTE: [u8; 16] = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3];
        let b: &[Self; 4] = exactly(blocks);
        // Shifts to the left: pairs of bits come down.
        let down = vreinterpretq_s8_u32(vdupq_n_u32(0xfafc_fe00));
        let q = each(|g, half| {
            let fours: &[[u8; 4]; 2] = bytemuck::cast_ref(&b[g / 2].qs[g % 2]);
            let bytes = vdupq_n_u32(u32::from_le_bytes(fours[half]));
            let bytes = vqtbl1q_u8(vreinterpretq_u8_u32(bytes), load(&EACH_BYTE));
            let pairs = vandq_u8(vshlq_u8(bytes, down), vdupq_n_u8(3));
            less(pairs, Self::OFFSET)
        });
        Octet::new(q, scales_of_blocks(b, |b| b.d))
    }
}

impl Octets for BlockTQ1_0 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        const OF_FOURS: [u8; 16] = [1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27];
        let b = one(blocks);
        let fives = halves(&b.fives);
        let q = each(|g, half| match 2 * g + half {
            0..10 => weights(load(&fives[half]), vdupq_n_u8(TQ1_0_POWERS[g])),
            15 => {
                let fours = vdupq_n_u32(u32::from_le_bytes(b.fours));
                weights(vreinterpretq_u8_u32(fours), load(&OF_FOURS))
            }
            half => weights(load(&b.more), vdupq_n_u8(TQ1_0_POWERS[half - 10])),
        });
        Octet::new(q, [vdupq_n_f32(widen_one(b.d)); 2])
    }
}

/// The digits of fractions in 256ths, to the base of three, less one, after those that the
/// power stands for.
#[inline]
#[target_feature(enable = "neon")]
fn weights(bytes: uint8x16_t, power: uint8x16_t) -> int8x16_t {
    let rest = vmulq_u8(bytes, power);
    // Where it is so, −1.
    let at_least = |least| vreinterpretq_s8_u8(vcgeq_u8(rest, vdupq_n_u8(least)));
    let negative = vaddq_s8(at_least(86), at_least(171));
    vsubq_s8(vdupq_n_s8(-1), negative)
}

impl Octets for BlockTQ2_0 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let q = each(|g, half| less(two_bits(&b.qs, g, half), Self::OFFSET));
        Octet::new(q, [vdupq_n_f32(widen_one(b.d)); 2])
    }
}

/// The scales of all groups of so many blocks.
#[inline]
#[target_feature(enable = "neon")]
fn scales_of_blocks<B, const N: usize>(blocks: &[B; N], d: impl Fn(&B) -> [u8; 2]) -> PerGroup {
    widen(inlined::from_fn(|g| d(&blocks[g / (OCTET / N)])))
}
