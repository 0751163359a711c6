//! Blocks of codebook formats spelled out, which [`crate::format::expand`] defines.
//!
//! Indices, signs and sub-scales are computed in vectors, but entries have to be looked up
//! one by one. They are loaded into all lanes of a vector, which takes nothing but a load,
//! and blended, which any of the ports does that compute on vectors; the compiler would
//! insert them lane by lane, which only one or two do. Gathers are left out: they are many
//! times slower on Intel's processors that were mended against Gather Data Sampling (2023).
//!
//! What each format's blocks say is in [`codebook_blocks`](super::codebook_blocks).

use super::level::Level;
use super::octet::{Octet, Row, add};
use super::super_blocks::widen;
use super::vector::*;
use crate::activation::Int8Rows;
use crate::format::{AHEAD, Block, Codebook, Entry, Expanded, GROUP, blocks};
use crate::inlined::zip;
use crate::matmul::Matrix;
use crate::prefetch;
use crate::team::TileMut;
use bytemuck::Pod;
use std::arch::asm;
use std::arch::x86_64::*;

/// What a block of a codebook format says, in vectors.
///
/// # Safety
///
/// All indices are less than there are entries.
pub unsafe trait Vectors: Codebook<Entry: LookUp> + Block {
    /// The indices of all groups, 16 in each vector.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    unsafe fn all_indices(&self) -> <Self::Entry as LookUp>::Vectors;

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
/// looked up, and where no vector of them crosses a line of the cache.
#[repr(align(64))]
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
        // SAFETY: [`Vectors`] promises that there are such entries.
        unsafe { E::look_up(B::BOOK.entries, &self.indices[group]) }
    }

    /// Looks up all weights, with signs: what `expand` writes, in registers.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn octet<B: Vectors<Entry = E>>(&self, (d, subscales): (f32, __m128i)) -> Octet {
        // A byte for every eight weights: those of groups 0 to 3 in the lower lane.
        let signs = load(bytemuck::cast_ref(&self.signs));
        let first_two = load_both(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
        let mut q = [_mm256_setzero_si256(); 8];
        for (i, q) in q.iter_mut().enumerate() {
            let places = _mm256_add_epi8(first_two, _mm256_set1_epi8(2 * i as i8));
            let signs = _mm256_shuffle_epi8(signs, places);
            // SAFETY: this function has AVX2; [`Vectors`] promises that there are such entries.
            let values = unsafe { E::look_up_pair(B::BOOK.entries, &self.indices, i) };
            let values = match B::SHIFTED {
                true => shifted(values, signs),
                false => signed(values, signs),
            };
            *q = _mm256_add_epi8(values, _mm256_set1_epi8(Expanded::OFFSET as i8));
        }
        Octet::new(q, _mm256_set1_ps(d)).with_subscales(_mm256_cvtepi8_epi16(subscales))
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

/// The blocks of a matrix one after the other. What the next one says is on its way into
/// memory while one is looked up: a processor does not see far enough ahead to begin with it
/// by itself.
pub struct Reading<'a, B: Vectors> {
    all: &'a [B],
    /// Which block comes next.
    here: usize,
    /// What it says, and what the one after it says, by the parity of which it is.
    found: [Found<B::Entry>; 2],
    /// Its scale and sub-scales.
    scales: (f32, __m128i),
}

impl<'a, B: Vectors> Reading<'a, B> {
    /// From the first block on.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    pub fn new(all: &'a [B]) -> Self {
        let mut found = [Found::nothing(), Found::nothing()];
        let scales = match all.first() {
            Some(block) => found[0].read(block),
            // Rows without inputs.
            None => (0.0, _mm_setzero_si128()),
        };
        let here = 0;
        Reading {
            all,
            here,
            found,
            scales,
        }
    }

    /// What a block says, of which there is one, with its scale and sub-scales; asks for
    /// what is read later, to be in the first-level cache (`near`) or in the second.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    pub fn next(&mut self, near: bool) -> (&Found<B::Entry>, (f32, __m128i)) {
        let following = &self.all[(self.here + 1).min(self.all.len() - 1)];
        prefetch::all_to_level(near, std::slice::from_ref(following), AHEAD);
        let [even, odd] = &mut self.found;
        let (now, next) = match self.here % 2 {
            0 => (even, odd),
            _ => (odd, even),
        };
        self.here += 1;
        let scales = std::mem::replace(&mut self.scales, next.read(following));
        (now, scales)
    }
}

/// Multiplies a strip with one token as blocks are looked up.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn one_token<L: Level, B: Vectors>(
    l: L,
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
) {
    let octets = weight.cols() / B::LEN;
    let row = out.rows().start;
    let x = Row::new(x.row(0));
    let mut reading = Reading::new(blocks::<B>(weight.bytes()));
    for out in out.row(row) {
        let mut acc = _mm256_setzero_ps();
        for o in 0..octets {
            let (found, scales) = reading.next(true);
            let w = found.octet::<B>(scales);
            acc = add::<L, Expanded>(l, &w, &x, o, acc);
        }
        *out = fold(acc);
    }
}

/// Writes blocks spelled out, as many as `out` holds.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn expand<B: Vectors>(bytes: &[u8], out: &mut [Expanded]) {
    let mut reading = Reading::new(blocks::<B>(bytes));
    for out in out {
        let (found, (d, subscales)) = reading.next(false);
        out.d = d.to_le_bytes();
        store_half(bytemuck::cast_mut(&mut out.s), subscales);
        let q: &mut [[u8; GROUP]; 8] = bytemuck::cast_mut(&mut out.q);
        for (group, q) in q.iter_mut().enumerate() {
            // SAFETY: this function has AVX2.
            let values = unsafe { found.group::<B>(group) };
            let signs = eight_times(*found.signs(group));
            let values = match B::SHIFTED {
                true => shifted(values, signs),
                false => signed(values, signs),
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

/// Shifts values down by one where all bits are set, and up by one where none is.
#[inline]
#[target_feature(enable = "avx2")]
fn shifted(values: __m256i, down: __m256i) -> __m256i {
    _mm256_add_epi8(values, _mm256_or_si256(down, _mm256_set1_epi8(1)))
}

/// Makes values negative whose bit is set in a byte that eight of them share.
#[inline]
#[target_feature(enable = "avx2")]
fn signed(values: __m256i, shared: __m256i) -> __m256i {
    // Each byte tries the bit of its place in its eight.
    let tried = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let signs = _mm256_cmpeq_epi8(_mm256_and_si256(shared, tried), tried);
    _mm256_sub_epi8(_mm256_xor_si256(values, signs), signs)
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

/// Entries as AVX2 looks them up.
pub trait LookUp: Entry<Indices: Pod> {
    /// Vectors of 16 indices, of a whole block.
    type Vectors: IntoIterator<Item = __m256i>;

    /// Looks up the 32 weights of a group.
    ///
    /// # Safety
    ///
    /// The processor has AVX2, and there are so many entries.
    unsafe fn look_up(entries: &[Self], indices: &Self::Indices) -> __m256i;

    /// Looks up vector `i` of an [`Octet`]: the same halves of two groups.
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn look_up_pair(entries: &[Self], indices: &[Self::Indices; 8], i: usize) -> __m256i;
}

impl LookUp for u64 {
    type Vectors = [__m256i; 2];

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn look_up(entries: &[u64], indices: &[u16; 4]) -> __m256i {
        // SAFETY: as the caller grants.
        unsafe { two_twice::<2>(entries, indices.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn look_up_pair(entries: &[u64], indices: &[[u16; 4]; 8], i: usize) -> __m256i {
        // SAFETY: as the caller grants; of the second group, indices begin four groups
        // further on.
        unsafe { two_twice::<16>(entries, indices.as_ptr().cast::<u16>().add(2 * i)) }
    }
}

/// The entries that two indices stand for, and two others, which begin `APART` further on.
///
/// # Safety
///
/// The processor has AVX2, and there are such indices and entries.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn two_twice<const APART: usize>(entries: &[u64], indices: *const u16) -> __m256i {
    let values;
    // SAFETY: reads four indices and the entries they stand for, which there are.
    unsafe {
        asm!(
            "movzx {a:e}, word ptr [{indices}]",
            "movzx {b:e}, word ptr [{indices} + 2]",
            "vmovq {x:x}, qword ptr [{entries} + 8 * {a}]",
            "vpbroadcastq {y}, qword ptr [{entries} + 8 * {b}]",
            "movzx {a:e}, word ptr [{indices} + {apart}]",
            "movzx {b:e}, word ptr [{indices} + {apart} + 2]",
            "vpblendd {x}, {x}, {y}, 0x0c",
            "vpbroadcastq {y}, qword ptr [{entries} + 8 * {a}]",
            "vpbroadcastq {z}, qword ptr [{entries} + 8 * {b}]",
            "vpblendd {y}, {y}, {z}, 0xc0",
            "vpblendd {x}, {x}, {y}, 0xf0",
            indices = in(reg) indices,
            apart = const 2 * APART,
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

impl LookUp for u32 {
    type Vectors = [__m256i; 4];

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn look_up(entries: &[u32], indices: &[u16; 8]) -> __m256i {
        // SAFETY: as the caller grants.
        unsafe { four_twice::<4>(entries, indices.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn look_up_pair(entries: &[u32], indices: &[[u16; 8]; 8], i: usize) -> __m256i {
        // SAFETY: as the caller grants; of the second group, indices begin four groups
        // further on.
        unsafe { four_twice::<32>(entries, indices.as_ptr().cast::<u16>().add(4 * i)) }
    }
}

/// The entries that four indices stand for, and four others, which begin `APART` further on.
///
/// # Safety
///
/// The processor has AVX2, and there are such indices and entries.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn four_twice<const APART: usize>(entries: &[u32], indices: *const u16) -> __m256i {
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
            "movzx {a:e}, word ptr [{indices} + {apart}]",
            "movzx {b:e}, word ptr [{indices} + {apart} + 2]",
            "vpblendd {x}, {x}, {y}, 0x08",
            "vpblendd {w}, {w}, {x}, 0x0c",
            "vpbroadcastd {x}, dword ptr [{entries} + 4 * {a}]",
            "vpbroadcastd {y}, dword ptr [{entries} + 4 * {b}]",
            "movzx {a:e}, word ptr [{indices} + {apart} + 4]",
            "movzx {b:e}, word ptr [{indices} + {apart} + 6]",
            "vpblendd {x}, {x}, {y}, 0x20",
            "vpbroadcastd {y}, dword ptr [{entries} + 4 * {a}]",
            "vpbroadcastd {z}, dword ptr [{entries} + 4 * {b}]",
            "vpblendd {y}, {y}, {z}, 0x80",
            "vpblendd {x}, {x}, {y}, 0xc0",
            "vpblendd {w}, {w}, {x}, 0xf0",
            indices = in(reg) indices,
            apart = const 2 * APART,
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
