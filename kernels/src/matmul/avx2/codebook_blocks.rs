//! What blocks of codebook formats say, in vectors: see [`codebooks`](super::codebooks).

use super::codebooks::Vectors;
use super::vector::*;
use crate::format::{
    BlockIQ1_M, BlockIQ1_S, BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS, BlockIQ3_S, BlockIQ3_XXS,
};
use crate::inlined::zip;
use std::arch::x86_64::*;

// SAFETY: indices are bytes, of 256 entries.
unsafe impl Vectors for BlockIQ3_XXS {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 4] {
        let [low, high] = halves_of(&self.qs);
        let ([a, b], [c, d]) = (words(low), words(high));
        [a, b, c, d]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_signs(&self) -> __m256i {
        made_even(load(bytemuck::cast_ref(&self.signs)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_subscales(&self) -> __m128i {
        upper_nibbles(load(bytemuck::cast_ref(&self.signs)))
    }
}

// SAFETY: indices are bytes and a bit, of 512 entries.
unsafe impl Vectors for BlockIQ3_S {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 4] {
        let [low, high] = halves_of(&self.qs);
        let ([a, b], [c, d]) = (words(low), words(high));
        // Bit i comes to be bit 8 of index i.
        const BY: [i16; 16] = [256, 128, 64, 32, 16, 8, 4, 2, 256, 128, 64, 32, 16, 8, 4, 2];
        const PLACES: [[u8; 32]; 4] = [
            bytes_in_words(0, 8),
            bytes_in_words(2, 8),
            bytes_in_words(4, 8),
            bytes_in_words(6, 8),
        ];
        let mut all = [a, b, c, d];
        add_bits(&mut all, times(eight(&self.qh), &PLACES, &BY), 256);
        all
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_signs(&self) -> __m256i {
        load(bytemuck::cast_ref(&self.signs))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_subscales(&self) -> __m128i {
        let scales = _mm_cvtsi32_si128(i32::from_le_bytes(self.scales));
        let pairs = _mm_cvtepu8_epi16(odd_nibbles(scales));
        _mm_or_si128(pairs, _mm_slli_epi16(pairs, 8))
    }
}

// SAFETY: indices are bytes, of 256 entries.
unsafe impl Vectors for BlockIQ2_XXS {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 2] {
        let [indices, _] = self.fours();
        words(indices)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_signs(&self) -> __m256i {
        let [_, signs] = self.fours();
        made_even(signs)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_subscales(&self) -> __m128i {
        let [_, signs] = self.fours();
        upper_nibbles(signs)
    }
}

impl BlockIQ2_XXS {
    /// The first and the last four bytes of all groups.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn fours(&self) -> [__m256i; 2] {
        let [low, high] = halves_of(&self.qs);
        let (first, last) = deal(low, high);
        [in_order(first), in_order(last)]
    }
}

// SAFETY: indices are nine bits, of 512 entries.
unsafe impl Vectors for BlockIQ2_XS {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 2] {
        let nine = _mm256_set1_epi16(511);
        let [low, high] = halves_of(&self.qs);
        [_mm256_and_si256(low, nine), _mm256_and_si256(high, nine)]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_signs(&self) -> __m256i {
        let [low, high] = halves_of(&self.qs);
        let sevens = _mm256_packus_epi16(_mm256_srli_epi16(low, 9), _mm256_srli_epi16(high, 9));
        even(in_order(sevens))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_subscales(&self) -> __m128i {
        odd_nibbles(eight(&self.scales))
    }
}

// SAFETY: indices are bytes and two bits, of 1024 entries.
unsafe impl Vectors for BlockIQ2_S {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 2] {
        // Two bits of each come to be bits 8 and 9.
        const BY: [i16; 16] = four_times([256, 64, 16, 4]);
        const PLACES: [[u8; 32]; 2] = [bytes_in_words(0, 4), bytes_in_words(4, 4)];
        let mut all = words(load(bytemuck::cast_ref(&self.qs)));
        add_bits(&mut all, times(eight(&self.qh), &PLACES, &BY), 0x300);
        all
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_signs(&self) -> __m256i {
        load(bytemuck::cast_ref(&self.signs))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_subscales(&self) -> __m128i {
        odd_nibbles(eight(&self.scales))
    }
}

// SAFETY: indices are bytes and three bits, of 2048 entries.
unsafe impl Vectors for BlockIQ1_S {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 2] {
        // Three bits of each come to be bits 8 to 10; those of the last go down.
        const BY: [i16; 16] = four_times([256, 32, 4, 0]);
        const PLACES: [[u8; 32]; 2] = [words_four_times(0), words_four_times(4)];
        let mut all = words(load(bytemuck::cast_ref(&self.qs)));
        let rest = _mm256_broadcastsi128_si256(load_half(bytemuck::cast_ref(&self.qh)));
        let mut upper = [rest; 2];
        for (upper, places) in zip(upper.iter_mut(), &PLACES) {
            let rest = _mm256_shuffle_epi8(rest, load(places));
            let up = _mm256_mullo_epi16(rest, load_i16(&BY));
            *upper = _mm256_blend_epi16(up, _mm256_srli_epi16(rest, 1), 0b1000_1000);
        }
        add_bits(&mut all, upper, 0x700);
        all
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_signs(&self) -> __m256i {
        let rest = load_half(bytemuck::cast_ref(&self.qh));
        _mm256_srai_epi32(_mm256_cvtepi16_epi32(rest), 31)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_subscales(&self) -> __m128i {
        let rest = load_half(bytemuck::cast_ref(&self.qh));
        let twice = _mm_and_si128(_mm_srli_epi16(rest, 11), _mm_set1_epi16(0xe));
        let both = _mm_or_si128(twice, _mm_slli_epi16(twice, 8));
        _mm_or_si128(both, _mm_set1_epi8(1))
    }
}

// SAFETY: indices are bytes and three bits, of 2048 entries.
unsafe impl Vectors for BlockIQ1_M {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 2] {
        let mut all = words(load(bytemuck::cast_ref(&self.qs)));
        add_bits(&mut all, self.nibbles(), 0x700);
        all
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_signs(&self) -> __m256i {
        let [mut low, mut high] = self.nibbles();
        for nibbles in [&mut low, &mut high] {
            *nibbles = _mm256_srai_epi16(_mm256_slli_epi16(*nibbles, 4), 15);
        }
        in_order(_mm256_packs_epi16(low, high))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_subscales(&self) -> __m128i {
        // Three bits of each come to be bits 9 to 11.
        const BY: [i16; 16] = four_times([512, 64, 8, 1]);
        const PLACES: [u8; 32] = words_four_times(0);
        let scales = _mm256_broadcastsi128_si256(eight(bytemuck::cast_ref(&self.scales)));
        let up = _mm256_mullo_epi16(_mm256_shuffle_epi8(scales, load(&PLACES)), load_i16(&BY));
        let twice = _mm256_and_si256(_mm256_srli_epi16(up, 8), _mm256_set1_epi16(0xe));
        let odd = _mm256_or_si256(twice, _mm256_set1_epi16(1));
        let bytes = in_order(_mm256_packus_epi16(odd, odd));
        _mm256_castsi256_si128(bytes)
    }
}

impl BlockIQ1_M {
    /// The nibbles beside each index, in bits 8 to 11.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn nibbles(&self) -> [__m256i; 2] {
        const BY: [i16; 16] = four_times([256, 16, 256, 16]);
        const PLACES: [[u8; 32]; 2] = [bytes_in_words(0, 2), bytes_in_words(8, 2)];
        times(load_half(bytemuck::cast_ref(&self.qh)), &PLACES, &BY)
    }
}

/// Bytes, each in the words of its indices, times `by`.
#[inline]
#[target_feature(enable = "avx2")]
fn times<const N: usize>(bytes: __m128i, places: &[[u8; 32]; N], by: &[i16; 16]) -> [__m256i; N] {
    let mut products = [_mm256_broadcastsi128_si256(bytes); N];
    for (product, places) in zip(products.iter_mut(), places) {
        *product = _mm256_mullo_epi16(_mm256_shuffle_epi8(*product, load(places)), load_i16(by));
    }
    products
}

/// Adds the bits of `mask` to indices.
#[inline]
#[target_feature(enable = "avx2")]
fn add_bits<const N: usize>(indices: &mut [__m256i; N], bits: [__m256i; N], mask: i16) {
    for (indices, bits) in zip(indices.iter_mut(), bits) {
        *indices = _mm256_or_si256(*indices, _mm256_and_si256(bits, _mm256_set1_epi16(mask)));
    }
}

/// Two vectors of 64 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn halves_of<T: bytemuck::Pod>(bytes: &T) -> [__m256i; 2] {
    let [low, high]: &[[u8; 32]; 2] = bytemuck::cast_ref(bytes);
    [load(low), load(high)]
}

/// Eight bytes, in the lower half.
#[inline]
#[target_feature(enable = "avx2")]
fn eight(bytes: &[u8; 8]) -> __m128i {
    _mm_cvtsi64_si128(i64::from_le_bytes(*bytes))
}

/// Bytes as words.
#[inline]
#[target_feature(enable = "avx2")]
fn words(bytes: __m256i) -> [__m256i; 2] {
    [
        _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes)),
        _mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes, 1)),
    ]
}

/// Puts in order what instructions on halves of 128 bits made of two vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(of_two: __m256i) -> __m256i {
    _mm256_permute4x64_epi64(of_two, 0b11_01_10_00)
}

/// See [`made_even`](crate::format::made_even); for eight groups.
#[inline]
#[target_feature(enable = "avx2")]
fn made_even(bits: __m256i) -> __m256i {
    let seven = |shifted, place| _mm256_and_si256(shifted, _mm256_set1_epi32(0x7f << (8 * place)));
    let [low, high] = [
        _mm256_or_si256(seven(bits, 0), seven(_mm256_slli_epi32(bits, 1), 1)),
        _mm256_or_si256(
            seven(_mm256_slli_epi32(bits, 2), 2),
            seven(_mm256_slli_epi32(bits, 3), 3),
        ),
    ];
    even(_mm256_or_si256(low, high))
}

/// Bytes of seven bits, and an eighth that makes their number even.
#[inline]
#[target_feature(enable = "avx2")]
fn even(sevens: __m256i) -> __m256i {
    const EIGHTH: [u8; 16] = {
        let mut eighth = [0; 16];
        let mut nibble = 0;
        while nibble < 16 {
            eighth[nibble] = (nibble.count_ones() as u8 & 1) << 7;
            nibble += 1;
        }
        eighth
    };
    let both = _mm256_xor_si256(sevens, _mm256_srli_epi16(sevens, 4));
    let nibble = _mm256_and_si256(both, _mm256_set1_epi8(15));
    _mm256_or_si256(sevens, _mm256_shuffle_epi8(load_both(&EIGHTH), nibble))
}

/// Sub-scales of both halves of groups, from the upper four bits of each 32.
#[inline]
#[target_feature(enable = "avx2")]
fn upper_nibbles(groups: __m256i) -> __m128i {
    const LOWEST_TWICE: [u8; 16] = [0, 0, 4, 4, 8, 8, 12, 12, 0, 0, 4, 4, 8, 8, 12, 12];
    let odd = _mm256_or_si256(_mm256_srli_epi32(groups, 27), _mm256_set1_epi32(1));
    let bytes = _mm256_shuffle_epi8(odd, load_both(&LOWEST_TWICE));
    _mm256_castsi256_si128(_mm256_permute4x64_epi64(bytes, 0b10_00))
}

/// Sub-scales from nibbles: of eight bytes, the low one of each first.
#[inline]
#[target_feature(enable = "avx2")]
fn odd_nibbles(bytes: __m128i) -> __m128i {
    let bytes = _mm_cvtepu8_epi16(bytes);
    let low = _mm_and_si128(_mm_slli_epi16(bytes, 1), _mm_set1_epi16(0x1e));
    let high = _mm_and_si128(_mm_slli_epi16(bytes, 5), _mm_set1_epi16(0x1e00));
    _mm_or_si128(_mm_or_si128(low, high), _mm_set1_epi8(1))
}

/// Where bytes are found of which each is the lower half of some words.
const fn bytes_in_words(first: u8, words: usize) -> [u8; 32] {
    const NONE: u8 = 0x80;
    let mut places = [NONE; 32];
    let mut word = 0;
    while word < 16 {
        places[2 * word] = first + (word / words) as u8;
        word += 1;
    }
    places
}

/// Where words are found that come four times each.
const fn words_four_times(first: u8) -> [u8; 32] {
    let mut places = [0; 32];
    let mut byte = 0;
    while byte < 32 {
        places[byte] = 2 * (first + (byte / 8) as u8) + (byte % 2) as u8;
        byte += 1;
    }
    places
}

/// Four numbers, four times.
const fn four_times([a, b, c, d]: [i16; 4]) -> [i16; 16] {
    [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d]
}
