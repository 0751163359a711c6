//! Entries of codebooks looked up in registers, which takes AVX-512 VBMI, and GFNI for signs.
//!
//! An entry is 16 bits: the places of its values among the few that there are. Of eight
//! values of two bits, VPERMI2W finds the entries that 32 indices stand for among 64 of them;
//! of four values of three bits, which a block has twice as many of, VPERMB finds one byte of
//! 64 among 64, and then the other. The upper bits of an index say in which 64. Then
//! VPMULTISHIFTQB takes places apart, eight bits from where each begins, and VPERMB minds
//! only the lower six of those, for which a table repeats the values.
//!
//! Of a thousand entries and more it takes longer than loading one after the other.

use super::codebooks::{Unpacked, kernels};
use super::octet::{Octet, Octets};
use super::super_blocks::by_half;
use super::vector::*;
use crate::format::{AHEAD, BlockIQ2_XS, BlockIQ2_XXS, BlockIQ3_S, BlockIQ3_XXS, Codebook};
use crate::inlined;
use crate::matmul::avx2::Vectors;
use crate::matmul::avx2::super_blocks::widen;
use crate::matmul::avx2::vector::load as load_half;
use crate::prefetch;
use std::arch::x86_64::*;

/// Formats whose entries are looked up in registers.
pub trait InRegisters: Vectors {
    /// The places of a block's values in lane order, a byte each, of which as many lower bits
    /// count as a place has.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512 BW and VBMI.
    unsafe fn places(&self) -> [__m512i; 4];

    /// Signs: a byte for every eight weights.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512 VL and VBMI, and GFNI.
    #[inline]
    #[target_feature(enable = "avx512vl,avx512vbmi,gfni,avx2")]
    unsafe fn bytes_of_signs(&self) -> __m256i {
        // SAFETY: as the caller grants.
        unsafe { self.all_signs() }
    }
}

/// Whether this processor can.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("gfni")
}

impl InRegisters for BlockIQ2_XXS {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vbmi")]
    unsafe fn places(&self) -> [__m512i; 4] {
        /// Each eight bytes begin with the indices of a group.
        const BYTES: [u8; 64] = {
            let mut bytes = [0; 64];
            let mut at = 0;
            while at < 64 {
                let entry = OF_EIGHT[at / 2];
                bytes[at] = (8 * (entry / 4) + entry % 4) as u8;
                at += 1;
            }
            bytes
        };
        const LOWER: u64 = 0x5555_5555_5555_5555;
        let all = load(bytemuck::cast_ref(&self.qs));
        two_bits::<Self>(_mm512_maskz_permutexvar_epi8(LOWER, load(&BYTES), all))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512vbmi,gfni,avx2")]
    unsafe fn bytes_of_signs(&self) -> __m256i {
        let all = load(bytemuck::cast_ref(&self.qs));
        made_even(_mm512_cvtepi64_epi32(_mm512_srli_epi64(all, 32)))
    }
}

impl InRegisters for BlockIQ2_XS {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vbmi")]
    unsafe fn places(&self) -> [__m512i; 4] {
        let all = load(bytemuck::cast_ref(&self.qs));
        two_bits::<Self>(_mm512_permutexvar_epi16(load_u16(&OF_EIGHT), all))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512vbmi,gfni")]
    unsafe fn bytes_of_signs(&self) -> __m256i {
        /// Where seven bits begin, in a group.
        const SEVENS: i64 = i64::from_le_bytes([9, 25, 41, 57, 0, 0, 0, 0]);
        let all = load(bytemuck::cast_ref(&self.qs));
        let sevens = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(SEVENS), all);
        even(_mm512_cvtepi64_epi32(sevens))
    }
}

impl InRegisters for BlockIQ3_XXS {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vbmi")]
    unsafe fn places(&self) -> [__m512i; 4] {
        let indices = load(bytemuck::cast_ref(&self.qs));
        three_bits::<Self, 2>(indices, upper_two(indices))
    }

    #[inline]
    #[target_feature(enable = "avx512vl,avx512vbmi,gfni,avx2")]
    unsafe fn bytes_of_signs(&self) -> __m256i {
        made_even(load_half(bytemuck::cast_ref(&self.signs)))
    }
}

impl InRegisters for BlockIQ3_S {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vbmi")]
    unsafe fn places(&self) -> [__m512i; 4] {
        let indices = load(bytemuck::cast_ref(&self.qs));
        let [a, b] = upper_two(indices);
        three_bits::<Self, 3>(indices, [a, b, u64::from_le_bytes(self.qh)])
    }
}

/// See [`made_even`](crate::format::made_even); for eight groups.
#[inline]
#[target_feature(enable = "avx512vl,avx512vbmi,gfni")]
fn made_even(bits: __m256i) -> __m256i {
    /// Where seven bits begin, in two groups.
    const SEVENS: i64 = i64::from_le_bytes([0, 7, 14, 21, 32, 39, 46, 53]);
    even(_mm256_multishift_epi64_epi8(
        _mm256_set1_epi64x(SEVENS),
        bits,
    ))
}

/// Bytes of seven bits, and an eighth that makes their number even.
#[inline]
#[target_feature(enable = "avx512vl,gfni")]
fn even(sevens: __m256i) -> __m256i {
    /// Which bits add up to a bit, to the last first: seven stay what they are.
    const SUMS: i64 = i64::from_le_bytes([0x7f, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01]);
    _mm256_gf2p8affine_epi64_epi8::<0>(sevens, _mm256_set1_epi64x(SUMS))
}

/// Entries of eight values in the order that [`shifts`] expects.
const OF_EIGHT: [u16; 32] = order(4, 0);

/// The places of values of two bits, from indices in the order of [`OF_EIGHT`], the bits of
/// which above a codebook's are left out.
#[inline]
#[target_feature(enable = "avx512bw,avx512vbmi")]
fn two_bits<B: Codebook>(indices: __m512i) -> [__m512i; 4] {
    const SHIFTS: [[u8; 64]; 4] = [shifts(0, 2), shifts(8, 2), shifts(32, 2), shifts(40, 2)];
    const { assert!(B::BOOK.places.len() <= 8 * 64 && B::BOOK.values.len() <= 4) }
    let pieces = B::BOOK.places.as_chunks::<64>().0;
    let mut found = [indices; 8];
    for (found, piece) in inlined::zip(found.iter_mut(), pieces) {
        let [low, high]: &[[u16; 32]; 2] = bytemuck::cast_ref(piece);
        *found = _mm512_permutex2var_epi16(load_u16(low), indices, load_u16(high));
    }
    let (mut left, mut bit) = (pieces.len() / 2, 64);
    while left > 0 {
        let second = _mm512_test_epi16_mask(indices, _mm512_set1_epi16(bit));
        for i in 0..left {
            found[i] = _mm512_mask_mov_epi16(found[2 * i], second, found[2 * i + 1]);
        }
        (left, bit) = (left / 2, 2 * bit);
    }
    inlined::map(SHIFTS, |shifts| {
        _mm512_multishift_epi64_epi8(load(&shifts), found[0])
    })
}

/// Bits 6 and 7 of bytes.
#[inline]
#[target_feature(enable = "avx512bw")]
fn upper_two(bytes: __m512i) -> [u64; 2] {
    [
        _mm512_test_epi8_mask(bytes, _mm512_set1_epi8(64)),
        _mm512_movepi8_mask(bytes),
    ]
}

/// The places of values of three bits, from the lower eight bits of indices, and all bits of
/// them above the lower six.
#[inline]
#[target_feature(enable = "avx512bw,avx512vbmi")]
fn three_bits<B: Codebook, const UPPER: usize>(
    indices: __m512i,
    upper: [u64; UPPER],
) -> [__m512i; 4] {
    /// Where the bytes of entries are: those of an upper byte 64 bytes on.
    const ORDER: [[u8; 64]; 2] = [bytes_of(order(8, 0)), bytes_of(order(8, 2))];
    const SHIFTS: [[u8; 64]; 2] = [shifts(0, 3), shifts(32, 3)];
    const { assert!(B::BOOK.places.len() == 64 << UPPER && B::BOOK.values.len() <= 8) }
    let [low, high] = inlined::map(const { &split(B::BOOK.places) }.each_ref(), |bytes| {
        let mut found = [indices; 8];
        let pieces = bytes.as_chunks::<64>().0;
        for (found, piece) in inlined::zip(found.iter_mut(), &pieces[..1 << UPPER]) {
            *found = _mm512_permutexvar_epi8(indices, load(piece));
        }
        let mut left = 1 << UPPER;
        for second in upper {
            left /= 2;
            for i in 0..left {
                found[i] = _mm512_mask_mov_epi8(found[2 * i], second, found[2 * i + 1]);
            }
        }
        found[0]
    });
    let words = inlined::map(ORDER, |order| {
        _mm512_permutex2var_epi8(low, load(&order), high)
    });
    inlined::from_fn(|i| _mm512_multishift_epi64_epi8(load(&SHIFTS[i % 2]), words[i / 2]))
}

/// The lower and the upper bytes of entries, as many as there are.
const fn split(entries: &[u16]) -> [[u8; 512]; 2] {
    let mut bytes = [[0; 512]; 2];
    let mut at = 0;
    while at < entries.len() {
        let [low, high] = entries[at].to_le_bytes();
        bytes[0][at] = low;
        bytes[1][at] = high;
        at += 1;
    }
    bytes
}

/// Which bytes, of lower ones and, 64 on, of upper ones, belong to such words.
const fn bytes_of(words: [u16; 32]) -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut at = 0;
    while at < 64 {
        bytes[at] = words[at / 2] as u8 + 64 * (at % 2) as u8;
        at += 1;
    }
    bytes
}

/// Which entries, of so many that a group has, four in each 64 bits, have places of two steps:
/// of two groups one and of the same the next; of the halves of groups those from `first` on.
const fn order(per_group: usize, first: usize) -> [u16; 32] {
    let mut order = [0; 32];
    let mut at = 0;
    while at < 32 {
        let (pair, half) = (at / 4 % 4, at / 16);
        let entry = per_group / 2 * half + first + at % 4 / 2;
        order[at] = (per_group * (2 * pair + at % 2) + entry) as u16;
        at += 1;
    }
    order
}

/// Where the places of a step's values begin in each 64 bits: from `first` on those of a
/// group, 16 bits on those of another, so many bits each.
const fn shifts(first: usize, bits: usize) -> [u8; 64] {
    let mut shifts = [0; 64];
    let mut at = 0;
    while at < 64 {
        shifts[at] = (first + 16 * (at / 4 % 2) + bits * (at % 4)) as u8;
        at += 1;
    }
    shifts
}

/// Raised values, for all that the lower six bits of a byte with a place can be.
const fn raised<B: Codebook>() -> [i8; 64] {
    let values = B::BOOK.values.len().next_power_of_two();
    let mut raised = [0; 64];
    let mut at = 0;
    while at < 64 {
        if at % values < B::BOOK.values.len() {
            raised[at] = B::BOOK.values[at % values] + Unpacked::RAISED_BY as i8;
        }
        at += 1;
    }
    raised
}

/// Looks a block up.
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,gfni,f16c,avx2,fma")]
fn octet<B: InRegisters>(block: &B) -> Octet {
    /// Of steps 0 and 1 and of steps 2 and 3, which byte has their signs.
    const BYTES: [[u8; 64]; 2] = [sign_bytes(0), sign_bytes(1)];
    /// Which bits are those of even and of odd steps.
    const EVEN: u32 = 0x0804_0201;
    const { assert!(!B::SHIFTED) }
    // SAFETY: this function has the features.
    let (places, signs, subscales) = unsafe {
        (
            block.places(),
            block.bytes_of_signs(),
            block.all_subscales(),
        )
    };
    let table = load_i8(const { &raised::<B>() });
    let signs = _mm512_castsi256_si512(signs);
    let twice = _mm512_set1_epi8((2 * Unpacked::RAISED_BY) as i8);
    let mut q = places;
    for (two, bytes) in inlined::zip(q.as_chunks_mut::<2>().0, &BYTES) {
        let signs = _mm512_permutexvar_epi8(load(bytes), signs);
        for (q, bits) in inlined::zip(two.iter_mut(), [EVEN, EVEN << 4]) {
            let raised = _mm512_permutexvar_epi8(*q, table);
            let bits = _mm512_set1_epi32(bits.cast_signed());
            let negative = _mm512_test_epi8_mask(signs, bits);
            *q = _mm512_mask_sub_epi8(raised, negative, twice, raised);
        }
    }
    let d = widen(block.scale().to_le_bytes()) * B::UNIT;
    let s = _mm512_cvtepi8_epi32(by_half(subscales));
    Octet::new(q, _mm256_set1_ps(d)).with_subscales(s)
}

/// The byte, of those of eight weights each, with the sign of each weight of two steps.
const fn sign_bytes(two_steps: usize) -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut at = 0;
    while at < 64 {
        bytes[at] = (4 * (at / 4 % 8) + 2 * (at / 32) + two_steps) as u8;
        at += 1;
    }
    bytes
}

/// The octets of a matrix one after the other. One is looked up while the one before it is
/// used: a processor does not see far enough ahead to begin with it by itself.
struct Blocks<'a, B> {
    all: &'a [B],
    /// Which one comes next.
    here: usize,
    next: Octet,
}

impl<'a, B: InRegisters> Blocks<'a, B> {
    /// From the first block on.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,gfni,f16c,avx2,fma")]
    fn new(all: &'a [B]) -> Self {
        let next = match all.first() {
            Some(block) => octet(block),
            // Rows without inputs.
            None => Octet::new([_mm512_setzero_si512(); 4], _mm256_setzero_ps()),
        };
        Blocks { all, here: 0, next }
    }

    /// Looks a block up, of which there is one; asks for what is read later, to be in the
    /// first-level cache (`near`) or in the second.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,gfni,f16c,avx2,fma")]
    fn next(&mut self, near: bool) -> Octet {
        let following = &self.all[(self.here + 1).min(self.all.len() - 1)];
        prefetch::all_to_level(near, std::slice::from_ref(following), AHEAD);
        self.here += 1;
        std::mem::replace(&mut self.next, octet(following))
    }
}

kernels! {
    "avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,gfni,avx2,fma,f16c",
    InRegisters
}
