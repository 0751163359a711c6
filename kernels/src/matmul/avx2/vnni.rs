//! AVX2 and VPDPBUSD, which adds four products of an unsigned and a signed byte
//! to each 32-bit sum, and nothing is ever too large.
//!
//! Quants of all formats are unsigned here, those of 8 bits too. In panels, sums
//! begin with what the offset adds to them, negative.
//!
//! There, sub-scales are multiplied into the quants where the products are
//! bytes (Q2_K, Q3_K): what is left is a format without.

use super::level::Level;
use super::octet::{Octet, Octets, Quants, quad, subscale};
use super::pages::{Pages, Step, Sums, Weights, minimums};
use super::plain;
use super::tokens::{AsBytes, Beside, Piece, Tokens, begin, ones};
use super::vector::*;
use crate::activation::{OCTET, OCTET_LEN};
use crate::inlined::zip;
use crate::isa::Isa;
use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Where VPDPBUSD on 256 bits comes from.
///
/// AVX-VNNI and AVX-512 VNNI both have it, in encodings that most processors
/// know only one of; the kernels are otherwise the same to the instruction.
pub trait Encoding: Copy + 'static {
    /// Whether the processor has it.
    fn is_available() -> bool;

    /// `acc` and in each 32-bit lane the products of four unsigned bytes of `w`
    /// with four signed ones of `x`.
    ///
    /// # Safety
    ///
    /// The processor has AVX2 and the instruction in this encoding.
    unsafe fn dot(acc: __m256i, w: __m256i, x: __m256i) -> __m256i;

    /// As [`Encoding::dot`], with the 32 bytes of an octet from `AT` on.
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn dot_at<const AT: usize>(acc: __m256i, w: __m256i, x: &[i8; OCTET_LEN]) -> __m256i;
}

/// The methods of an encoding.
macro_rules! vpdpbusd {
    ($encoding:literal) => {
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn dot(mut acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
            // Not `pure`, so that the compiler leaves the order as it is: it
            // would load ahead of what registers can hold.
            // SAFETY: reads and writes the named registers only; the processor
            // has the instruction, as the caller grants.
            unsafe {
                asm!(
                    concat!("{{", $encoding, "}} vpdpbusd {acc}, {w}, {x}"),
                    acc = inout(ymm_reg) acc,
                    w = in(ymm_reg) w,
                    x = in(ymm_reg) x,
                    options(nomem, nostack, preserves_flags),
                )
            }
            acc
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn dot_at<const AT: usize>(
            mut acc: __m256i,
            w: __m256i,
            x: &[i8; OCTET_LEN],
        ) -> __m256i {
            const { assert!(AT + 32 <= OCTET_LEN) }
            // SAFETY: as in `dot`; the bytes lie in `x` (asserted).
            unsafe {
                asm!(
                    concat!("{{", $encoding, "}} vpdpbusd {acc}, {w}, [{x} + {at}]"),
                    acc = inout(ymm_reg) acc,
                    w = in(ymm_reg) w,
                    x = in(reg) x,
                    at = const AT,
                    options(pure, readonly, nostack, preserves_flags),
                )
            }
            acc
        }
    };
}

/// That of AVX-VNNI.
#[derive(Clone, Copy)]
pub struct Vex;

impl Encoding for Vex {
    fn is_available() -> bool {
        Isa::AvxVnni.is_available()
    }

    vpdpbusd! { "vex" }
}

/// That of AVX-512, so that the kernels can be tested on processors that have
/// only this one.
#[cfg(test)]
#[derive(Clone, Copy)]
pub struct Evex;

#[cfg(test)]
impl Encoding for Evex {
    fn is_available() -> bool {
        Isa::Avx512.is_available()
    }

    vpdpbusd! { "evex" }
}

/// AVX2, FMA, F16C and VPDPBUSD.
#[derive(Clone, Copy)]
pub struct Vnni<E>(PhantomData<E>);

/// What is added to the quants of a panel.
const fn offset<B: Octets>() -> u8 {
    match B::PRODUCT_OFFSET {
        Some(offset) => offset,
        None => B::OFFSET,
    }
}

impl<E: Encoding> Level for Vnni<E> {
    const ISA: Isa = Isa::AvxVnni;

    #[inline]
    fn new() -> Option<Self> {
        (Isa::Avx2.is_available() && E::is_available()).then_some(Vnni(PhantomData))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn prepare<B: Octets>(self, mut octet: Octet) -> Octet {
        if B::QUANTS == Quants::Bits8 {
            for q in &mut octet.q {
                *q = _mm256_add_epi8(*q, _mm256_set1_epi8(B::OFFSET as i8));
            }
        }
        octet
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn dot<B: Octets>(self, w: &Octet, x: &[i8; OCTET_LEN], sums: __m256i) -> __m256i {
        if B::QUANTS == Quants::Bits4 && !B::SUBSCALES {
            // Adding the lanes of 16-bit sums takes fewer instructions.
            return plain::dot::<B>(w, x, sums);
        }
        let offset = _mm256_set1_epi16(i16::from(B::OFFSET));
        let zero = _mm256_setzero_si256();
        // Four sums of group p, four of group p + 4, of the first and the last
        // halves.
        let (mut first, mut last) = ([zero; 4], [zero; 4]);
        macro_rules! pairs {
            ($($p:literal)*) => {
                $(
                    // SAFETY: a token exists only where the encoding does.
                    unsafe {
                        first[$p] = E::dot_at::<{ 64 * $p }>(zero, w.q[2 * $p], x);
                        let acc = if B::SUBSCALES { zero } else { first[$p] };
                        last[$p] = E::dot_at::<{ 64 * $p + 32 }>(acc, w.q[2 * $p + 1], x);
                    }
                )*
            };
        }
        pairs!(0 1 2 3);
        if !B::SUBSCALES {
            let isum = quad(last);
            return if B::OFFSET == 0 {
                isum
            } else {
                _mm256_sub_epi32(isum, _mm256_madd_epi16(offset, sums))
            };
        }
        // Of formats whose halves are not apart, sums of halves fit in 16 bits.
        let mut halves = [zero; 4];
        for p in 0..4 {
            halves[p] = halve_i32(first[p], last[p]);
        }
        let low = quarter_i32(halves[0], halves[1]);
        let high = quarter_i32(halves[2], halves[3]);
        let isum = _mm256_madd_epi16(_mm256_packs_epi32(low, high), w.s);
        if B::OFFSET == 0 {
            return isum;
        }
        let offset = _mm256_mullo_epi16(w.s, offset);
        _mm256_sub_epi32(isum, _mm256_madd_epi16(offset, sums))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn halves(self, w: &Octet, x: &[i8; OCTET_LEN]) -> [__m256i; 2] {
        let zero = _mm256_setzero_si256();
        let mut pairs = [[zero; 4]; 2];
        macro_rules! halves {
            ($($i:literal)*) => {
                $(
                    // SAFETY: a token exists only where the encoding does.
                    pairs[$i % 2][$i / 2] = unsafe { E::dot_at::<{ 32 * $i }>(zero, w.q[$i], x) };
                )*
            };
        }
        halves!(0 1 2 3 4 5 6 7);
        [quad(pairs[0]), quad(pairs[1])]
    }

    #[inline(always)]
    fn steps<B: Octets>() -> usize {
        8
    }

    #[inline(always)]
    fn has_subscales<B: Octets>() -> bool {
        false
    }

    #[inline(always)]
    fn multiplies_words<B: Octets>() -> bool {
        false
    }

    #[inline(always)]
    fn takes_half<B: Octets>() -> bool {
        false
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn prepare_for_panel<B: Octets>(self, octet: Octet) -> Octet {
        if B::PRODUCT_OFFSET.is_some() {
            return multiply_subscales::<B>(octet);
        }
        // SAFETY: this function has the features.
        unsafe { self.prepare::<B>(octet) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn store_step<B: Octets>(self, group: &mut [Step], index: usize, step: __m256i) {
        store(&mut group[index], step);
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn beside<B: Octets>(self, sums: __m256i, to: &mut [Beside; 2]) {
        for (to, begin) in zip(to.iter_mut(), begin::<B>(sums, offset::<B>())) {
            store(bytemuck::cast_mut(to), begin);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn tile<B: Octets, const S: usize, const T: usize>(
        self,
        pages: &Pages<'_>,
        sheet: usize,
        octets: Range<usize>,
        x: &Tokens<'_>,
        token: usize,
        sums: &mut [[Sums; S]; T],
    ) {
        for o in octets {
            let w = Weights::<Self, B, S>::new(pages, sheet, o);
            let x = x.octet::<_, T>(o, token);
            for g in 0..OCTET.min(pages.groups - o * OCTET) {
                self.add_group(&w, x, g, sums);
            }
        }
    }
}

/// Multiplies quants by their sub-scales.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply_subscales<B: Octets>(mut octet: Octet) -> Octet {
    let offset = _mm256_set1_epi16(i16::from(offset::<B>()));
    // What quants can be.
    let values = _mm256_sub_epi16(
        _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7),
        _mm256_set1_epi16(i16::from(B::OFFSET)),
    );
    for p in 0..4 {
        // Their products with the sub-scales of the first and the last halves.
        let mut tables = [offset; 2];
        for (half, table) in tables.iter_mut().enumerate() {
            let s = subscale(octet.s, 2 * p + half);
            *table = _mm256_add_epi16(_mm256_mullo_epi16(s, values), offset);
        }
        let table = _mm256_packus_epi16(tables[0], tables[1]);
        let last = _mm256_or_si256(octet.q[2 * p + 1], _mm256_set1_epi8(8));
        octet.q[2 * p] = _mm256_shuffle_epi8(table, octet.q[2 * p]);
        octet.q[2 * p + 1] = _mm256_shuffle_epi8(table, last);
    }
    octet
}

impl<E: Encoding> Vnni<E> {
    /// Adds the products of one group.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn add_group<B: Octets, const S: usize, const T: usize>(
        self,
        w: &Weights<'_, Self, B, S>,
        x: &[Piece<AsBytes>; T],
        g: usize,
        sums: &mut [[Sums; S]; T],
    ) {
        const { assert!(offset::<B>() == 0 || minimums::<B>() == 0) }
        self.add_part::<B, S, T, 0>(w, x, g, sums);
        if B::HALVES_APART {
            self.add_part::<B, S, T, 1>(w, x, g, sums);
        }
    }

    /// Adds the products of a group, scaled, or of half `PART` if halves are apart.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn add_part<B: Octets, const S: usize, const T: usize, const PART: usize>(
        self,
        w: &Weights<'_, Self, B, S>,
        x: &[Piece<AsBytes>; T],
        g: usize,
        sums: &mut [[Sums; S]; T],
    ) {
        let isums = self.integer_sums::<B, S, T, PART>(w, x, g);
        for t in 0..T {
            let (dx, d_ones) = (_mm256_set1_ps(x[t].d[g]), _mm256_set1_ps(x[t].ones[g]));
            for s in 0..S {
                let sums = &mut sums[t][s][g];
                let raised = _mm256_castsi256_ps(isums[t][s]);
                let scaled = _mm256_fmsub_ps(raised, dx, d_ones);
                let mut acc = _mm256_fmadd_ps(w.scale(s, g, PART), scaled, load_f32(sums));
                for half in 0..minimums::<B>() {
                    let xsum = _mm256_set1_ps(x[t].xsum(half, g));
                    acc = _mm256_fmadd_ps(w.minimum(s, g, half), xsum, acc);
                }
                store_f32(sums, acc);
            }
        }
    }

    /// The sums of the products of a group, or of half `PART` if halves are apart, as the
    /// bits of floats that are those plus [`ONES`].
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn integer_sums<B: Octets, const S: usize, const T: usize, const PART: usize>(
        self,
        w: &Weights<'_, Self, B, S>,
        x: &[Piece<AsBytes>; T],
        g: usize,
    ) -> [[__m256i; S]; T] {
        let steps = Self::steps::<B>() / B::SCALES;
        let steps = PART * steps..(PART + 1) * steps;
        let mut isums = [[_mm256_setzero_si256(); S]; T];
        // Unrolled by hand: the compiler would stop short of it for 8 steps.
        macro_rules! steps {
            ($($step:literal)*) => {
                $(if steps.contains(&$step) {
                    let begin = ($step == steps.start).then_some(PART);
                    self.add_step(w, x, g, $step, begin, &mut isums);
                })*
            };
        }
        steps!(0 1 2 3 4 5 6 7);
        isums
    }

    /// Adds the products of a step; the first begins with what stands beside the group in
    /// place `begin`, if there is an offset.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn add_step<B: Octets, const S: usize, const T: usize>(
        self,
        w: &Weights<'_, Self, B, S>,
        x: &[Piece<AsBytes>; T],
        g: usize,
        step: usize,
        begin: Option<usize>,
        isums: &mut [[__m256i; S]; T],
    ) {
        let mut w_step = [_mm256_setzero_si256(); S];
        for (s, w_step) in w_step.iter_mut().enumerate() {
            *w_step = w.step(s, g, step);
        }
        for (x, isums) in zip(x.iter(), isums) {
            if let Some(part) = begin {
                let begin = match offset::<B>() {
                    0 => ones(),
                    _ => _mm256_set1_epi32(x.beside(part, g)),
                };
                *isums = [begin; S];
            }
            let four = broadcast(&x.q[g][step]);
            for (isum, w_step) in zip(isums.iter_mut(), w_step) {
                // SAFETY: a token exists only where the encoding does.
                *isum = unsafe { E::dot(*isum, w_step, four) };
            }
        }
    }
}
