//! Formats of 32-weight blocks: an octet is eight of them.

use super::octet::{Octet, Octets};
use super::vector::*;
use crate::activation::OCTET;
use crate::format::*;
use crate::inlined;
use std::arch::aarch64::*;

impl Octets for BlockQ4_0 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let q = each(b, |b| {
            inlined::map(nibbles(load(&b.qs)), |q| less(q, Self::OFFSET))
        });
        Octet::new(q, widen(inlined::from_fn(|i| b[i].d)))
    }
}

impl Octets for BlockQ4_1 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let q = each(b, |b| {
            inlined::map(nibbles(load(&b.qs)), |q| less(q, Self::OFFSET))
        });
        Octet::new(q, widen(inlined::from_fn(|i| b[i].d)))
            .with_minimum(widen(inlined::from_fn(|i| b[i].m)))
    }
}

impl Octets for BlockQ5_0 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let q = each(b, |b| {
            inlined::map(five_bits(&b.qs, b.qh), |q| less(q, Self::OFFSET))
        });
        Octet::new(q, widen(inlined::from_fn(|i| b[i].d)))
    }
}

impl Octets for BlockQ5_1 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let q = each(b, |b| {
            inlined::map(five_bits(&b.qs, b.qh), |q| less(q, Self::OFFSET))
        });
        Octet::new(q, widen(inlined::from_fn(|i| b[i].d)))
            .with_minimum(widen(inlined::from_fn(|i| b[i].m)))
    }
}

impl Octets for BlockQ8_0 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let q = each(b, |b| {
            let [first, last]: &[[i8; 16]; 2] = bytemuck::cast_ref(&b.qs);
            [load_i8(first), load_i8(last)]
        });
        Octet::new(q, widen(inlined::from_fn(|i| b[i].d)))
    }
}

impl Octets for BlockIQ4_NL {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let values = load_i8(&IQ4_VALUES);
        let q = each(b, |b| {
            inlined::map(nibbles(load(&b.qs)), |q| vqtbl1q_s8(values, q))
        });
        Octet::new(q, widen(inlined::from_fn(|i| b[i].d)))
    }
}

impl Octets for BlockMXFP4 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b: &[Self; OCTET] = exactly(blocks);
        let values = load_i8(&MXFP4_VALUES);
        let q = each(b, |b| {
            inlined::map(nibbles(load(&b.qs)), |q| vqtbl1q_s8(values, q))
        });
        Octet::new(q, load_eight(&inlined::from_fn(|i| half_e8m0(b[i].e))))
    }
}

/// The quants of eight blocks.
#[inline]
#[target_feature(enable = "neon")]
fn each<B>(blocks: &[B; OCTET], quants: impl Fn(&B) -> [int8x16_t; 2]) -> [[int8x16_t; 2]; OCTET] {
    inlined::map(blocks.each_ref(), quants)
}

/// Joins nibbles and fifth bits.
#[inline]
#[target_feature(enable = "neon")]
fn five_bits(qs: &[u8; 16], qh: [u8; 4]) -> [uint8x16_t; 2] {
    let fifth = |first, last| vandq_u8(bits_of_bytes(first, last), vdupq_n_u8(16));
    let [low, high] = nibbles(load(qs));
    [
        vorrq_u8(low, fifth(qh[0], qh[1])),
        vorrq_u8(high, fifth(qh[2], qh[3])),
    ]
}

/// Bits as bytes of all bits or none, eight of one byte and eight of another.
#[inline]
#[target_feature(enable = "neon")]
pub fn bits_of_bytes(first: u8, last: u8) -> uint8x16_t {
    let bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    vtstq_u8(vcombine_u8(vdup_n_u8(first), vdup_n_u8(last)), bit)
}
