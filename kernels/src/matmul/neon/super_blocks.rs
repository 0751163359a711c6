//! Formats of 256-weight blocks: an octet is one of them.

use super::octet::{Octet, Octets, PerGroup};
use super::vector::*;
use crate::activation::OCTET;
use crate::format::*;
use crate::inlined;
use std::arch::aarch64::*;

impl Octets for BlockQ2_K {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let q = each(|g, half| less(two_bits(&b.qs, g, half), Self::OFFSET));
        let [scales, minimums] = nibbles(load(&b.scales));
        let dmin = -widen_one(b.dmin);
        let first = vget_low_u8(vuzp1q_u8(minimums, minimums));
        let last = vget_low_u8(vuzp2q_u8(minimums, minimums));
        let m = inlined::map([first, last], |m| scale(bytes_to_float(m), dmin));
        Octet::new(q, [vdupq_n_f32(widen_one(b.d)); 2])
            .with_subscales(vreinterpretq_s8_u8(scales))
            .with_minimums(m)
    }
}

impl Octets for BlockQ3_K {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let third = halves(&b.hmask);
        let q = each(|g, half| {
            let third = vandq_u8(shift_right(load(&third[half]), g), vdupq_n_u8(1));
            let q = vorrq_u8(two_bits(&b.qs, g, half), vshlq_n_u8::<2>(third));
            less(q, Self::OFFSET)
        });

        // Four scales in each word, see `BlockQ3_K::scale`.
        let [a, b_, c] = words(&b.scales);
        let (low, high) = (0x0f0f_0f0f, 0x3030_3030);
        let scales = [
            a & low | c << 4 & high,
            b_ & low | c << 2 & high,
            a >> 4 & low | c & high,
            b_ >> 4 & low | c >> 2 & high,
        ];
        let s = less(
            load(&bytemuck::cast(inlined::map(scales, u32::to_le_bytes))),
            32,
        );
        Octet::new(q, [vdupq_n_f32(widen_one(b.d)); 2]).with_subscales(s)
    }
}

impl Octets for BlockQ4_K {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let q = each(|g, half| less(four_bits(&b.qs, g, half), Self::OFFSET));
        let (d, m) = scales_and_minimums(b.d, b.dmin, &b.scales);
        Octet::new(q, d).with_minimum(m)
    }
}

impl Octets for BlockQ5_K {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let fifth = halves(&b.qh);
        let q = each(|g, half| {
            let fifth = vandq_u8(shift_right(load(&fifth[half]), g), vdupq_n_u8(1));
            let q = vorrq_u8(four_bits(&b.qs, g, half), vshlq_n_u8::<4>(fifth));
            less(q, Self::OFFSET)
        });
        let (d, m) = scales_and_minimums(b.d, b.dmin, &b.scales);
        Octet::new(q, d).with_minimum(m)
    }
}

impl Octets for BlockQ6_K {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let (low, high) = (halves(&b.ql), halves(&b.qh));
        let q = each(|g, half| {
            let (h, j) = (g / 4, g % 4);
            let low = shift_right(load(&low[4 * h + 2 * (j % 2) + half]), j / 2 * 4);
            let low = vandq_u8(low, vdupq_n_u8(15));
            let high = shift_right(load(&high[2 * h + half]), 2 * j);
            let high = vandq_u8(high, vdupq_n_u8(3));
            less(vorrq_u8(low, vshlq_n_u8::<4>(high)), Self::OFFSET)
        });
        Octet::new(q, [vdupq_n_f32(widen_one(b.d)); 2]).with_subscales(load_i8(&b.scales))
    }
}

impl Octets for BlockIQ4_XS {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let bytes = halves(&b.qs);
        let values = load_i8(&IQ4_VALUES);
        let q = each(|g, half| vqtbl1q_s8(values, nibbles(load(&bytes[g]))[half]));
        let scales = inlined::from_fn(|g| f32::from(b.scale(g)));
        Octet::new(q, scale(load_eight(&scales), widen_one(b.d)))
    }
}

impl Octets for Expanded {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let q = each(|g, half| load_i8(&b.q[2 * g + half]));
        let d = vdupq_n_f32(f32::from_le_bytes(b.d));
        Octet::new(q, [d; 2]).with_subscales(load_i8(&b.s))
    }
}

#[inline]
pub fn one<B>(blocks: &[B]) -> &B {
    let [block] = blocks else {
        panic!("{} blocks are not one", blocks.len())
    };
    block
}

/// Pieces of 16 bytes.
#[inline]
pub fn halves(bytes: &[u8]) -> &[[u8; 16]] {
    bytes.as_chunks().0
}

/// Three little-endian words.
#[inline]
fn words(bytes: &[u8; 12]) -> [u32; 3] {
    inlined::map(
        bytemuck::cast::<_, [[u8; 4]; 3]>(*bytes),
        u32::from_le_bytes,
    )
}

/// The quants of all groups, by group and half.
#[inline]
#[target_feature(enable = "neon")]
pub fn each(quants: impl Fn(usize, usize) -> int8x16_t) -> [[int8x16_t; 2]; OCTET] {
    inlined::from_fn(|g| [quants(g, 0), quants(g, 1)])
}

/// Quants of Q4_K and the low four bits of those of Q5_K: the nibbles of 32
/// bytes are two groups.
#[inline]
#[target_feature(enable = "neon")]
fn four_bits(bytes: &[u8; 128], g: usize, half: usize) -> uint8x16_t {
    let bytes = load(&halves(bytes)[g / 2 * 2 + half]);
    vandq_u8(shift_right(bytes, g % 2 * 4), vdupq_n_u8(15))
}

/// Quants of Q2_K and the low two bits of those of Q3_K: 32 bytes are four
/// groups.
#[inline]
#[target_feature(enable = "neon")]
pub fn two_bits(bytes: &[u8; 64], g: usize, half: usize) -> uint8x16_t {
    let bytes = load(&halves(bytes)[g / 4 * 2 + half]);
    vandq_u8(shift_right(bytes, g % 4 * 2), vdupq_n_u8(3))
}

/// The scales and minimums of Q4_K and Q5_K.
#[inline]
#[target_feature(enable = "neon")]
fn scales_and_minimums(d: [u8; 2], dmin: [u8; 2], scales: &[u8; 12]) -> (PerGroup, PerGroup) {
    // Four in each word, see `scale_min`.
    let [a, b, c] = words(scales);
    let (all, low, high) = (0x3f3f_3f3f, 0x0f0f_0f0f, 0x3030_3030);
    let eight = |first: u32, last: u32| vcreate_u8(u64::from(last) << 32 | u64::from(first));
    let scales = eight(a & all, a >> 2 & high | c & low);
    let minimums = eight(b & all, b >> 2 & high | c >> 4 & low);
    (
        scale(bytes_to_float(scales), widen_one(d)),
        scale(bytes_to_float(minimums), -widen_one(dmin)),
    )
}
