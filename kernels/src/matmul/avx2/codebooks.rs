//! Blocks of codebook formats spelled out, which [`crate::format::expand`] defines.
//!
//! Indices, signs and sub-scales are computed in vectors, but entries have to be looked up
//! one by one. They are loaded into all lanes of a vector, which takes nothing but a load,
//! and blended, which any of the ports does that compute on vectors; the compiler would
//! insert them lane by lane, which only one or two do. Gathering is no faster where it is
//! fast, and many times slower on processors that were mended against leaking what others
//! gathered.

use super::super_blocks::widen;
use super::vector::*;
use crate::format::{
    AHEAD, Block, BlockIQ1_M, BlockIQ1_S, BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS, BlockIQ3_S,
    BlockIQ3_XXS, Codebook, Entry, Expanded, GROUP, blocks,
};
use crate::inlined::zip;
use crate::prefetch;
use bytemuck::Pod;
use std::arch::asm;
use std::arch::x86_64::*;

/// What a block of a codebook format says, in vectors.
pub trait Vectors: Codebook<Entry: LookUp> + Block {
    /// The indices of all groups, 16 in each vector and as many as there are; each is less
    /// than there are entries.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    unsafe fn all_indices(&self) -> [__m256i; 4];

    /// Signs: a byte for every eight weights.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    unsafe fn all_signs(&self) -> __m256i;

    /// Sub-scales.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    unsafe fn all_subscales(&self) -> __m128i;
}

/// What a block of a codebook format says; indices and signs in memory, from where they are
/// looked up.
pub struct Found<E: LookUp> {
    indices: [E::Indices; 8],
    signs: [u64; 4],
}

impl<E: LookUp> Found<E> {
    /// Room for a block.
    #[inline]
    pub fn nothing() -> Self {
        Found {
            indices: bytemuck::Zeroable::zeroed(),
            signs: [0; 4],
        }
    }

    /// Finds out what a block says, and returns its scale and sub-scales. (What is looked up
    /// must not be moved: it is written and read in other pieces.)
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    pub fn read<B: Vectors<Entry = E>>(&mut self, block: &B) -> (f32, __m128i) {
        // SAFETY: this function has AVX2.
        let (all, signs, subscales) = unsafe {
            (
                block.all_indices(),
                block.all_signs(),
                block.all_subscales(),
            )
        };
        let stored: &mut [[u8; 32]] = bytemuck::cast_slice_mut(&mut self.indices);
        for (stored, indices) in zip(stored, all) {
            store(stored, indices);
        }
        store(bytemuck::cast_mut(&mut self.signs), signs);
        in_memory(&mut self.signs);
        (widen(block.scale().to_le_bytes()) * B::UNIT, subscales)
    }

    /// Looks up the 32 weights of a group, without signs.
    ///
    /// # Safety
    ///
    /// The processor has AVX2, and what was read is a block of the format.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn group<B: Vectors<Entry = E>>(&self, group: usize) -> __m256i {
        // SAFETY: all indices are within the codebook.
        unsafe { E::look_up(B::ENTRIES, &self.indices[group]) }
    }

    /// The signs of two groups, one bit each.
    #[inline]
    pub fn signs_of_two(&self, pair: usize) -> u64 {
        self.signs[pair]
    }

    /// The signs of a group.
    #[inline]
    fn signs(&self, group: usize) -> &i32 {
        let signs: &[i32; 8] = bytemuck::cast_ref(&self.signs);
        &signs[group]
    }
}

/// Writes blocks spelled out, as many as `out` holds.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn expand<B: Vectors, S: Signs>(bytes: &[u8], out: &mut [Expanded]) {
    let mut found = Found::nothing();
    for (block, out) in zip(blocks::<B>(bytes).iter(), out) {
        prefetch::all_to_level(false, std::slice::from_ref(block), AHEAD);
        let (d, subscales) = found.read(block);
        out.d = d.to_le_bytes();
        store_half(bytemuck::cast_mut(&mut out.s), subscales);
        let q: &mut [[u8; GROUP]; 8] = bytemuck::cast_mut(&mut out.q);
        for (group, q) in q.iter_mut().enumerate() {
            // SAFETY: this function has AVX2, and the caller has chosen what else the
            // processor can do.
            let values = unsafe {
                let values = found.group::<B>(group);
                match B::SHIFTED {
                    true => shifted(values, *found.signs(group)),
                    false => S::signed(values, found.signs(group)),
                }
            };
            store(q, values);
        }
    }
}

/// Leaves a value in memory, from where it is loaded into all lanes: the compiler would take
/// it apart where it was before, which takes shuffles.
#[inline]
#[target_feature(enable = "avx2")]
fn in_memory<T>(value: &mut T) {
    // SAFETY: a comment, which changes nothing.
    unsafe {
        asm!("/* {} */", in(reg) std::ptr::from_mut(value), options(nostack, preserves_flags));
    }
}

/// Shifts eight values at a time, whose bits are all the same, up or down by one.
#[inline]
#[target_feature(enable = "avx2")]
fn shifted(values: __m256i, bits: i32) -> __m256i {
    let down = eight_times(bits);
    _mm256_add_epi8(values, _mm256_or_si256(down, _mm256_set1_epi8(1)))
}

/// Each byte eight times.
#[inline]
#[target_feature(enable = "avx2")]
fn eight_times(bytes: i32) -> __m256i {
    let places = _mm256_setr_epi64x(
        0,
        0x0101_0101_0101_0101,
        0x0202_0202_0202_0202,
        0x0303_0303_0303_0303,
    );
    _mm256_shuffle_epi8(_mm256_set1_epi32(bytes), places)
}

/// How bits become signs.
pub trait Signs {
    /// Makes values negative where a bit is set.
    ///
    /// # Safety
    ///
    /// The processor has the instructions.
    unsafe fn signed(values: __m256i, bits: &i32) -> __m256i;
}

/// Bits become bytes.
pub struct Bytes;

impl Signs for Bytes {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn signed(values: __m256i, bits: &i32) -> __m256i {
        // Each byte tries the bit of its place in its eight.
        let tried = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
        let signs = _mm256_cmpeq_epi8(_mm256_and_si256(eight_times(*bits), tried), tried);
        _mm256_sub_epi8(_mm256_xor_si256(values, signs), signs)
    }
}

/// Bits are a mask of AVX-512: in assembly, so that code for AVX2 can hold it.
pub struct Masks;

impl Signs for Masks {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn signed(mut values: __m256i, bits: &i32) -> __m256i {
        // SAFETY: reads 32 bits.
        unsafe {
            asm!(
                "kmovd k1, dword ptr [{bits}]",
                "vpsubb {values}{{k1}}, {zero}, {values}",
                bits = in(reg) bits,
                zero = in(ymm_reg) _mm256_setzero_si256(),
                values = inout(ymm_reg) values,
                out("k1") _,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        values
    }
}

/// Entries as AVX2 looks them up.
pub trait LookUp: Entry<Indices: Pod> {
    /// Looks up the 32 weights of a group.
    ///
    /// # Safety
    ///
    /// The processor has AVX2, and there are so many entries.
    unsafe fn look_up(entries: &[Self], indices: &Self::Indices) -> __m256i;
}

impl LookUp for u64 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn look_up(entries: &[u64], indices: &[u16; 4]) -> __m256i {
        let values;
        // SAFETY: reads four indices and the entries they stand for, which there are.
        unsafe {
            asm!(
                "movzx {a:e}, word ptr [{indices}]",
                "movzx {b:e}, word ptr [{indices} + 2]",
                "vmovq {x:x}, qword ptr [{entries} + 8 * {a}]",
                "vpbroadcastq {y}, qword ptr [{entries} + 8 * {b}]",
                "movzx {a:e}, word ptr [{indices} + 4]",
                "movzx {b:e}, word ptr [{indices} + 6]",
                "vpblendd {x}, {x}, {y}, 0x0c",
                "vpbroadcastq {y}, qword ptr [{entries} + 8 * {a}]",
                "vpbroadcastq {z}, qword ptr [{entries} + 8 * {b}]",
                "vpblendd {y}, {y}, {z}, 0xc0",
                "vpblendd {x}, {x}, {y}, 0xf0",
                indices = in(reg) indices,
                entries = in(reg) entries.as_ptr(),
                a = out(reg) _,
                b = out(reg) _,
                x = out(ymm_reg) values,
                y = out(ymm_reg) _,
                z = out(ymm_reg) _,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        values
    }
}

impl LookUp for u32 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn look_up(entries: &[u32], indices: &[u16; 8]) -> __m256i {
        let values;
        // SAFETY: reads eight indices and the entries they stand for, which there are.
        unsafe {
            asm!(
                "movzx {a:e}, word ptr [{indices}]",
                "movzx {b:e}, word ptr [{indices} + 2]",
                "vmovd {w:x}, dword ptr [{entries} + 4 * {a}]",
                "vpbroadcastd {x}, dword ptr [{entries} + 4 * {b}]",
                "movzx {a:e}, word ptr [{indices} + 4]",
                "movzx {b:e}, word ptr [{indices} + 6]",
                "vpblendd {w}, {w}, {x}, 0x02",
                "vpbroadcastd {x}, dword ptr [{entries} + 4 * {a}]",
                "vpbroadcastd {y}, dword ptr [{entries} + 4 * {b}]",
                "movzx {a:e}, word ptr [{indices} + 8]",
                "movzx {b:e}, word ptr [{indices} + 10]",
                "vpblendd {x}, {x}, {y}, 0x08",
                "vpblendd {w}, {w}, {x}, 0x0c",
                "vpbroadcastd {x}, dword ptr [{entries} + 4 * {a}]",
                "vpbroadcastd {y}, dword ptr [{entries} + 4 * {b}]",
                "movzx {a:e}, word ptr [{indices} + 12]",
                "movzx {b:e}, word ptr [{indices} + 14]",
                "vpblendd {x}, {x}, {y}, 0x20",
                "vpbroadcastd {y}, dword ptr [{entries} + 4 * {a}]",
                "vpbroadcastd {z}, dword ptr [{entries} + 4 * {b}]",
                "vpblendd {y}, {y}, {z}, 0x80",
                "vpblendd {x}, {x}, {y}, 0xc0",
                "vpblendd {w}, {w}, {x}, 0xf0",
                indices = in(reg) indices,
                entries = in(reg) entries.as_ptr(),
                a = out(reg) _,
                b = out(reg) _,
                w = out(ymm_reg) values,
                x = out(ymm_reg) _,
                y = out(ymm_reg) _,
                z = out(ymm_reg) _,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        values
    }
}

impl Vectors for BlockIQ3_XXS {
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

impl Vectors for BlockIQ3_S {
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
        let qh = _mm256_broadcastsi128_si256(eight(&self.qh));
        let mut all = [a, b, c, d];
        for (all, places) in zip(all.iter_mut(), &PLACES) {
            let upper = _mm256_mullo_epi16(_mm256_shuffle_epi8(qh, load(places)), load_i16(&BY));
            *all = _mm256_or_si256(*all, _mm256_and_si256(upper, _mm256_set1_epi16(256)));
        }
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

impl Vectors for BlockIQ2_XXS {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 4] {
        let [indices, _] = self.fours();
        let [a, b] = words(indices);
        [a, b, a, b]
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

impl Vectors for BlockIQ2_XS {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 4] {
        let nine = _mm256_set1_epi16(511);
        let [low, high] = halves_of(&self.qs);
        let [low, high] = [_mm256_and_si256(low, nine), _mm256_and_si256(high, nine)];
        [low, high, low, high]
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

impl Vectors for BlockIQ2_S {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 4] {
        // Two bits of each come to be bits 8 and 9.
        const BY: [i16; 16] = four_times([256, 64, 16, 4]);
        const PLACES: [[u8; 32]; 2] = [bytes_in_words(0, 4), bytes_in_words(4, 4)];
        let mut all = words(load(bytemuck::cast_ref(&self.qs)));
        let qh = _mm256_broadcastsi128_si256(eight(&self.qh));
        for (all, places) in zip(all.iter_mut(), &PLACES) {
            let upper = _mm256_mullo_epi16(_mm256_shuffle_epi8(qh, load(places)), load_i16(&BY));
            *all = _mm256_or_si256(*all, _mm256_and_si256(upper, _mm256_set1_epi16(0x300)));
        }
        let [low, high] = all;
        [low, high, low, high]
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

impl Vectors for BlockIQ1_S {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 4] {
        // Three bits of each come to be bits 8 to 10; those of the last go down.
        const BY: [i16; 16] = four_times([256, 32, 4, 0]);
        const PLACES: [[u8; 32]; 2] = [words_four_times(0), words_four_times(4)];
        let mut all = words(load(bytemuck::cast_ref(&self.qs)));
        let rest = _mm256_broadcastsi128_si256(load_half(bytemuck::cast_ref(&self.qh)));
        for (all, places) in zip(all.iter_mut(), &PLACES) {
            let rest = _mm256_shuffle_epi8(rest, load(places));
            let up = _mm256_mullo_epi16(rest, load_i16(&BY));
            let upper = _mm256_blend_epi16(up, _mm256_srli_epi16(rest, 1), 0b1000_1000);
            *all = _mm256_or_si256(*all, _mm256_and_si256(upper, _mm256_set1_epi16(0x700)));
        }
        let [low, high] = all;
        [low, high, low, high]
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

impl Vectors for BlockIQ1_M {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all_indices(&self) -> [__m256i; 4] {
        let mut all = words(load(bytemuck::cast_ref(&self.qs)));
        for (all, nibbles) in zip(all.iter_mut(), self.nibbles()) {
            *all = _mm256_or_si256(*all, _mm256_and_si256(nibbles, _mm256_set1_epi16(0x700)));
        }
        let [low, high] = all;
        [low, high, low, high]
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
        let qh = _mm256_broadcastsi128_si256(load_half(bytemuck::cast_ref(&self.qh)));
        let mut nibbles = [qh; 2];
        for (nibbles, places) in zip(nibbles.iter_mut(), &PLACES) {
            *nibbles =
                _mm256_mullo_epi16(_mm256_shuffle_epi8(*nibbles, load(places)), load_i16(&BY));
        }
        nibbles
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
