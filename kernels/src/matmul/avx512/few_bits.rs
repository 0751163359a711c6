//! Formats of one and two bits, and of three values.

use super::blocks_of_32::{each_quarter, load_quarters};
use super::octet::{Octet, Octets, PerLane};
use super::super_blocks::two_bits;
use super::vector::*;
use crate::activation::OCTET;
use crate::format::*;
use crate::inlined;
use crate::matmul::avx2::few_bits::scales_of_blocks;
use crate::matmul::avx2::super_blocks::{one, widen};
use crate::matmul::avx2::vector::{load as load_32, load_half, load_pair};
use std::arch::x86_64::*;

impl Octets for BlockQ1_0 {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        /// Of the byte that a lane's bits are in, the lower and the upper four.
        const TESTED: [i32; 2] = [0x0804_0201, 0x8040_2010_u32.cast_signed()];
        let [a, b]: &[Self; 2] = exactly(blocks);
        let bits = load_pair(bytemuck::cast_ref(&a.qs), bytemuck::cast_ref(&b.qs));
        let bits = _mm512_broadcast_i64x4(bits);
        let q = inlined::from_fn(|step| {
            // Steps 0 and 1 are in the first byte of each half, 2 and 3 in the second.
            let bytes = _mm512_shuffle_epi8(bits, load_u32(&BYTES_OF_HALVES[step / 2]));
            let is_set = _mm512_test_epi8_mask(bytes, _mm512_set1_epi32(TESTED[step % 2]));
            _mm512_maskz_set1_epi8(is_set, 2)
        });
        Octet::new(q, scales_of_blocks([a.d, b.d]))
    }
}

/// Four times the first byte of each lane's half of its group, and the second; a lane's
/// group is in the same lane.
const BYTES_OF_HALVES: [PerLane<u32>; 2] = [each_byte([0, 2]), each_byte([1, 3])];

/// Four times a byte of each lane, which one depends on the half.
const fn each_byte(of_half: [u32; 2]) -> PerLane<u32> {
    let mut bytes = [0; 16];
    let mut lane = 0;
    while lane < bytes.len() {
        bytes[lane] = 0x0101_0101 * (4 * (lane as u32 % 4) + of_half[lane / OCTET]);
        lane += 1;
    }
    bytes
}

impl Octets for BlockQ2_0 {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        /// Half `h` of group `g` is word `2g + h`.
        const HALVES: PerLane<u32> = [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15];
        /// Two bits where even bytes have them, and two bits further up, where odd ones do.
        const PAIRS: [u8; 16] = [0, 1, 2, 3, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
        let b: &[Self; 4] = exactly(blocks);
        let bytes = load_quarters(inlined::map(b.each_ref(), |b| bytemuck::cast_ref(&b.qs)));
        let halves = _mm512_permutexvar_epi32(load_u32(&HALVES), bytes);
        let q = inlined::from_fn(|step| {
            // Four times a byte with four weights; for the last two its upper half comes down.
            let bytes = _mm512_shuffle_epi8(
                halves,
                each_quarter(0x0c08_0400 + 0x0101_0101 * step as i32),
            );
            let bytes = _mm512_srlv_epi16(bytes, _mm512_set1_epi32(4 << 16));
            let pairs = _mm512_and_si512(bytes, _mm512_set1_epi16(0x0c03));
            _mm512_shuffle_epi8(load_four_times(&PAIRS), pairs)
        });
        Octet::new(q, scales_of_blocks(inlined::map(b.each_ref(), |b| b.d)))
    }
}

impl Octets for BlockTQ1_0 {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        /// Of fives, of more, which are 8 words further on, and of fours, the last group's.
        const WORDS: [PerLane<u32>; 4] = [words_of(0), words_of(1), words_of(2), words_of(3)];
        const POWERS: [PerLane<u32>; 4] = [powers(0), powers(1), powers(2), powers(3)];
        let b = one(blocks);
        let fours = _mm_cvtsi32_si128(i32::from_le_bytes(b.fours));
        let rest = _mm256_set_m128i(fours, load_half(&b.more));
        let words = _mm512_inserti64x4(_mm512_castsi256_si512(load_32(&b.fives)), rest, 1);
        let q = inlined::from_fn(|step| {
            let words = _mm512_permutexvar_epi32(load_u32(&WORDS[step]), words);
            digits(times(words, load_u32(&POWERS[step])))
        });
        Octet::new(q, _mm256_set1_ps(widen(b.d)))
    }
}

/// The words that step `step` takes its digits from.
const fn words_of(step: u32) -> PerLane<u32> {
    let mut words = [0; 16];
    let mut lane = 0;
    while lane < words.len() {
        let (group, half) = (lane % OCTET, lane / OCTET);
        words[lane] = match 2 * group + half {
            0..10 => 4 * half as u32 + step,
            10..15 => 8 + step,
            _ => 12,
        };
        lane += 1;
    }
    words
}

/// What brings those digits to the front, in both 16-bit halves of a lane.
const fn powers(step: u32) -> PerLane<u32> {
    let mut powers = [0; 16];
    let mut lane = 0;
    while lane < powers.len() {
        let (group, half) = (lane % OCTET, lane / OCTET);
        let digit = match 2 * group + half {
            0..10 => group as u32,
            half @ 10..15 => half as u32 - 10,
            _ => step,
        };
        powers[lane] = 3_u32.pow(digit) * 0x1_0001;
        lane += 1;
    }
    powers
}

/// Products of bytes with small numbers of 16 bits, cut off to bytes.
#[inline]
#[target_feature(enable = "avx512bw")]
fn times(bytes: __m512i, by: __m512i) -> __m512i {
    let odd = _mm512_set1_epi16(0xff00_u16.cast_signed());
    let even_products = _mm512_mullo_epi16(bytes, by);
    let odd_products = _mm512_mullo_epi16(_mm512_and_si512(bytes, odd), by);
    // Where a bit of `odd` is set, that of the second, else that of the first.
    _mm512_ternarylogic_epi32(odd, odd_products, even_products, 0b1100_1010)
}

/// The first digits of fractions in 256ths, to the base of three.
#[inline]
#[target_feature(enable = "avx512bw")]
fn digits(bytes: __m512i) -> __m512i {
    let one = _mm512_set1_epi8(1);
    let not_zero = _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(86));
    let two = _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(171_u8.cast_signed()));
    let digits = _mm512_maskz_mov_epi8(not_zero, one);
    _mm512_mask_add_epi8(digits, two, digits, one)
}

impl Octets for BlockTQ2_0 {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        Octet::new(two_bits(&b.qs), _mm256_set1_ps(widen(b.d)))
    }
}
