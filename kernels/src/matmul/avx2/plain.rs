//! AVX2 alone: there is no instruction that multiplies bytes into 32-bit sums.
//!
//! `vpmaddubsw` multiplies unsigned by signed bytes and adds neighbours in 16
//! bits, which holds as many products as the weights are small:
//!
//! | weights     | largest | products that fit in 16 bits |
//! |-------------|---------|------------------------------|
//! | up to 4 bits| 15      | 16                           |
//! | 5 bits      | 31      | 8                            |
//! | 6 bits      | 63      | 4                            |
//! | 7 bits      | 127     | 2                            |
//! | 8 bits      | 128     | 2, as magnitude and sign     |
//!
//! (products of at most 127 times the weight, sums below 32768).
//!
//! In panels, 8-bit quants and what they meet are `i16`, which VPMADDWD multiplies
//! and adds in 32 bits. Sub-scales are the pairs of `i16` of each row.

use super::level::Level;
use super::octet::{Octet, Octets, Quants, quad, subscale};
use super::pages::{Pages, Step, Sums, Weights, minimums};
use super::tokens::{AsBytes, AsWords, Beside, Piece, Tokens, begin, words};
use super::vector::*;
use crate::activation::{OCTET, OCTET_LEN};
use crate::inlined::zip;
use crate::isa::Isa;
use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub struct Plain(());

impl Level for Plain {
    const ISA: Isa = Isa::Avx2;

    #[inline]
    fn new() -> Option<Plain> {
        Isa::Avx2.is_available().then_some(Plain(()))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn prepare<B: Octets>(self, octet: Octet) -> Octet {
        octet
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn dot<B: Octets>(self, w: &Octet, x: &[i8; OCTET_LEN], sums: __m256i) -> __m256i {
        dot::<B>(w, x, sums)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn halves(self, w: &Octet, x: &[i8; OCTET_LEN]) -> [__m256i; 2] {
        let ones = _mm256_set1_epi16(1);
        let x: &[[i8; 32]; 8] = bytemuck::cast_ref(x);
        let mut pairs = [[_mm256_setzero_si256(); 4]; 2];
        for (i, x) in x.iter().enumerate() {
            let products = _mm256_maddubs_epi16(w.q[i], load_i8(x));
            pairs[i % 2][i / 2] = _mm256_madd_epi16(products, ones);
        }
        [quad(pairs[0]), quad(pairs[1])]
    }

    #[inline(always)]
    fn steps<B: Octets>() -> usize {
        match B::QUANTS {
            Quants::Bits8 => 16,
            _ => 8,
        }
    }

    #[inline(always)]
    fn has_subscales<B: Octets>() -> bool {
        B::FACTORS
    }

    #[inline(always)]
    fn multiplies_words<B: Octets>() -> bool {
        B::QUANTS == Quants::Bits8
    }

    #[inline(always)]
    fn takes_half<B: Octets>() -> bool {
        // Sums of 32 bits wait beside those of 16.
        B::HALVES_APART
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn prepare_for_panel<B: Octets>(self, octet: Octet) -> Octet {
        octet
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn store_step<B: Octets>(self, group: &mut [Step], index: usize, step: __m256i) {
        if Self::multiplies_words::<B>() {
            let [first, second] = words(step);
            store(&mut group[index], first);
            store(&mut group[index + 8], second);
        } else {
            store(&mut group[index], step);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn beside<B: Octets>(self, sums: __m256i, to: &mut [Beside; 2]) {
        let beside = match B::FACTORS {
            true => [sums; 2],
            false => begin::<B>(sums, B::OFFSET),
        };
        for (to, beside) in zip(to.iter_mut(), beside) {
            store(bytemuck::cast_mut(to), beside);
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
            let w = Weights::<Plain, B, S>::new(pages, sheet, o);
            let groups = 0..OCTET.min(pages.groups - o * OCTET);
            if Self::multiplies_words::<B>() {
                let x = x.octet(o, token);
                for g in groups {
                    let isums = sums_of_words(&w, x, g);
                    add_scaled::<B, AsWords, S, T, 0>(&w, x, g, isums, sums);
                }
            } else {
                let x = x.octet(o, token);
                for g in groups {
                    add_group(&w, x, g, sums);
                }
            }
        }
    }
}

/// Steps whose products fit in 16 bits and have a factor in common.
const fn fit<B: Octets>() -> usize {
    match B::QUANTS {
        Quants::Bits4 if !B::SUBSCALES => 8,
        Quants::Bits4 | Quants::Bits5 => 4,
        Quants::Bits6 => 2,
        Quants::Bits7 | Quants::Bits8 => 1,
    }
}

/// The integer sums of the eight groups, in their order.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub fn dot<B: Octets>(w: &Octet, x: &[i8; OCTET_LEN], sums: __m256i) -> __m256i {
    let ones = _mm256_set1_epi16(1);
    let offset = _mm256_set1_epi16(i16::from(B::OFFSET));
    let x: &[[i8; 32]; 8] = bytemuck::cast_ref(x);
    // Sums of pair p: its lanes hold four sums each of groups p and p + 4,
    // 32 bits wide; two of 16 bits in their place where that is possible.
    let mut pairs = [_mm256_setzero_si256(); 4];
    for (p, pair) in pairs.iter_mut().enumerate() {
        let (first, last) = (w.q[2 * p], w.q[2 * p + 1]);
        let (x_first, x_last) = (load_i8(&x[2 * p]), load_i8(&x[2 * p + 1]));
        *pair = if B::QUANTS == Quants::Bits8 {
            let first = maddubs_signed(first, x_first);
            let last = maddubs_signed(last, x_last);
            _mm256_add_epi32(
                _mm256_madd_epi16(first, ones),
                _mm256_madd_epi16(last, ones),
            )
        } else {
            let first = _mm256_maddubs_epi16(first, x_first);
            let last = _mm256_maddubs_epi16(last, x_last);
            if B::SUBSCALES {
                let first = _mm256_madd_epi16(first, subscale(w.s, 2 * p));
                let last = _mm256_madd_epi16(last, subscale(w.s, 2 * p + 1));
                _mm256_add_epi32(first, last)
            } else {
                _mm256_add_epi16(first, last)
            }
        };
    }
    if B::QUANTS == Quants::Bits8 {
        quad(pairs)
    } else if B::SUBSCALES {
        let sums = _mm256_madd_epi16(_mm256_mullo_epi16(w.s, offset), sums);
        _mm256_sub_epi32(quad(pairs), sums)
    } else {
        let isum = match B::QUANTS {
            Quants::Bits4 => {
                let low = halve_i16(pairs[0], pairs[1]);
                let high = halve_i16(pairs[2], pairs[3]);
                _mm256_madd_epi16(quarter_i16(low, high), ones)
            }
            Quants::Bits5 => {
                let low = halve_i16(pairs[0], pairs[1]);
                let high = halve_i16(pairs[2], pairs[3]);
                quarter_i32(_mm256_madd_epi16(low, ones), _mm256_madd_epi16(high, ones))
            }
            Quants::Bits6 | Quants::Bits7 | Quants::Bits8 => {
                for pair in &mut pairs {
                    *pair = _mm256_madd_epi16(*pair, ones);
                }
                quad(pairs)
            }
        };
        if B::OFFSET == 0 {
            isum
        } else {
            _mm256_sub_epi32(isum, _mm256_madd_epi16(offset, sums))
        }
    }
}

/// Sums of neighbouring products of signed bytes; `x` is not −128.
#[inline]
#[target_feature(enable = "avx2")]
fn maddubs_signed(w: __m256i, x: __m256i) -> __m256i {
    _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
}

/// Adds the products of one group.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_group<B: Octets, const S: usize, const T: usize>(
    w: &Weights<'_, Plain, B, S>,
    x: &[Piece<AsBytes>; T],
    g: usize,
    sums: &mut [[Sums; S]; T],
) {
    let isums = integer_sums::<B, S, T, 0>(w, x, g);
    add_scaled::<B, AsBytes, S, T, 0>(w, x, g, isums, sums);
    if B::HALVES_APART {
        let isums = integer_sums::<B, S, T, 1>(w, x, g);
        add_scaled::<B, AsBytes, S, T, 1>(w, x, g, isums, sums);
    }
}

/// Adds the integer sums of a group, scaled, or those of half `PART` if halves are apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_scaled<B: Octets, Q, const S: usize, const T: usize, const PART: usize>(
    w: &Weights<'_, Plain, B, S>,
    x: &[Piece<Q>; T],
    g: usize,
    isums: [[__m256i; S]; T],
    sums: &mut [[Sums; S]; T],
) {
    let raised = B::OFFSET != 0 && !Plain::multiplies_words::<B>();
    let offset = _mm256_set1_epi16(i16::from(B::OFFSET));
    for t in 0..T {
        // The sums of the halves of the group, or what `begin` says.
        let beside = _mm256_set1_epi32(x[t].beside(PART, g));
        let (dx, d_ones) = (_mm256_set1_ps(x[t].d[g]), _mm256_set1_ps(x[t].ones[g]));
        for s in 0..S {
            let mut isum = isums[t][s];
            let scaled = if raised && !Plain::has_subscales::<B>() {
                isum = _mm256_add_epi32(isum, beside);
                _mm256_fmsub_ps(_mm256_castsi256_ps(isum), dx, d_ones)
            } else {
                if raised {
                    let scales = _mm256_mullo_epi16(w.subscales(s, g), offset);
                    isum = _mm256_sub_epi32(isum, _mm256_madd_epi16(scales, beside));
                }
                _mm256_mul_ps(dx, _mm256_cvtepi32_ps(isum))
            };
            let sums = &mut sums[t][s][g];
            let mut acc = _mm256_fmadd_ps(w.scale(s, g, PART), scaled, load_f32(sums));
            for half in 0..minimums::<B>() {
                let xsum = _mm256_set1_ps(x[t].xsum(half, g));
                acc = _mm256_fmadd_ps(w.minimum(s, g, half), xsum, acc);
            }
            store_f32(sums, acc);
        }
    }
}

/// The sums of the products of a group, or of half `PART` if halves are apart, of
/// quants with their offset.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn integer_sums<B: Octets, const S: usize, const T: usize, const PART: usize>(
    w: &Weights<'_, Plain, B, S>,
    x: &[Piece<AsBytes>; T],
    g: usize,
) -> [[__m256i; S]; T] {
    let fit = fit::<B>();
    let steps = Plain::steps::<B>() / B::SCALES;
    let mut isums = [[_mm256_setzero_si256(); S]; T];
    for run in 0..steps / fit {
        let first = PART * steps + run * fit;
        let mut products = [[_mm256_setzero_si256(); S]; T];
        // Unrolled by hand: the compiler would stop short of it for 8 steps.
        macro_rules! steps {
            ($($i:literal)*) => {
                $(if $i < fit {
                    add_step(w, x, g, first + $i, $i == 0, &mut products);
                })*
            };
        }
        steps!(0 1 2 3 4 5 6 7);
        for s in 0..S {
            let factors = if Plain::has_subscales::<B>() {
                pick_subscale(w.subscales(s, g), first / 4)
            } else {
                _mm256_set1_epi16(1)
            };
            for t in 0..T {
                let sum = _mm256_madd_epi16(products[t][s], factors);
                isums[t][s] = if run == 0 {
                    sum
                } else {
                    _mm256_add_epi32(isums[t][s], sum)
                };
            }
        }
    }
    isums
}

/// Adds the products of a step, or sets them if it is the first of a run.
#[inline]
#[target_feature(enable = "avx2")]
fn add_step<B: Octets, const S: usize, const T: usize>(
    w: &Weights<'_, Plain, B, S>,
    x: &[Piece<AsBytes>; T],
    g: usize,
    step: usize,
    is_first: bool,
    products: &mut [[__m256i; S]; T],
) {
    let mut steps = [_mm256_setzero_si256(); S];
    for (s, w_step) in steps.iter_mut().enumerate() {
        *w_step = w.step(s, g, step);
    }
    for (t, products) in products.iter_mut().enumerate() {
        let four = broadcast(&x[t].q[g][step]);
        for (product, step) in zip(products.iter_mut(), steps) {
            let sum = _mm256_maddubs_epi16(step, four);
            *product = if is_first {
                sum
            } else {
                opaque(_mm256_add_epi16(*product, sum))
            };
        }
    }
}

/// Step `$step` of [`sums_of_words`]: loads it of both sheets, and `$add`s its products with
/// each token.
#[rustfmt::skip]
macro_rules! words_step {
    ($step:literal $add:ident [$($t:literal $a:literal $b:literal),*]) => {
        concat!(
            "vmovdqu {w0}, [{sheet0} + 32*", $step, "]\n",
            "vmovdqu {w1}, [{sheet1} + 32*", $step, "]\n",
            $(
                "vpbroadcastd {two}, dword ptr [{x} + {piece}*", $t, " + 4*", $step, "]\n",
                $add!("w0" $a),
                $add!("w1" $b),
            )*
        )
    };
}

/// Sets sums to the products of a step.
#[rustfmt::skip]
macro_rules! set_products {
    ($w:literal $sums:literal) => {
        concat!("vpmaddwd {", $sums, "}, {", $w, "}, {two}\n")
    };
}

/// Adds them.
#[rustfmt::skip]
macro_rules! add_products {
    ($w:literal $sums:literal) => {
        concat!(
            "vpmaddwd {products}, {", $w, "}, {two}\n",
            "vpaddd {", $sums, "}, {", $sums, "}, {products}\n",
        )
    };
}

/// The sums of the products of a group of `T` tokens.
///
/// Assembly, because the compiler loads ahead of what registers can hold, and stores sums.
#[inline]
#[target_feature(enable = "avx2")]
fn sums_of_words<B: Octets, const S: usize, const T: usize>(
    w: &Weights<'_, Plain, B, S>,
    x: &[Piece<AsWords>; T],
    g: usize,
) -> [[__m256i; S]; T] {
    const { assert!(S == 2) }
    let sheets = [w.steps::<16>(0, g, 0), w.steps::<16>(1, g, 0)];
    let x = Piece::quants(x, g);
    let mut sums = [[_mm256_setzero_si256(); S]; T];
    macro_rules! words {
        ($tokens:tt: $($t:literal $a:ident $b:ident)*) => {
            asm!(
                words_step!(0 set_products $tokens), words_step!(1 add_products $tokens),
                words_step!(2 add_products $tokens), words_step!(3 add_products $tokens),
                words_step!(4 add_products $tokens), words_step!(5 add_products $tokens),
                words_step!(6 add_products $tokens), words_step!(7 add_products $tokens),
                words_step!(8 add_products $tokens), words_step!(9 add_products $tokens),
                words_step!(10 add_products $tokens), words_step!(11 add_products $tokens),
                words_step!(12 add_products $tokens), words_step!(13 add_products $tokens),
                words_step!(14 add_products $tokens), words_step!(15 add_products $tokens),
                sheet0 = in(reg) sheets[0],
                sheet1 = in(reg) sheets[1],
                x = in(reg) x,
                piece = const size_of::<Piece<AsWords>>(),
                w0 = out(ymm_reg) _,
                w1 = out(ymm_reg) _,
                two = out(ymm_reg) _,
                products = out(ymm_reg) _,
                $($a = out(ymm_reg) sums[$t][0], $b = out(ymm_reg) sums[$t][1],)*
                options(pure, readonly, nostack, preserves_flags),
            )
        };
    }
    // SAFETY: reads the steps of both sheets and the quants of a group of `T` tokens, and
    // writes the named registers only.
    unsafe {
        match T {
            1 => words!([0 "a0" "b0"]: 0 a0 b0),
            2 => words!([0 "a0" "b0", 1 "a1" "b1"]: 0 a0 b0 1 a1 b1),
            6 => words!(
                [0 "a0" "b0", 1 "a1" "b1", 2 "a2" "b2", 3 "a3" "b3", 4 "a4" "b4", 5 "a5" "b5"]:
                0 a0 b0 1 a1 b1 2 a2 b2 3 a3 b3 4 a4 b4 5 a5 b5
            ),
            _ => unreachable!("tiles of {T} tokens"),
        }
    }
    sums
}

/// The sub-scale of one half, in both 16-bit places of each row.
#[inline]
#[target_feature(enable = "avx2")]
fn pick_subscale(scales: __m256i, half: usize) -> __m256i {
    if half == 0 {
        _mm256_blend_epi16(scales, _mm256_slli_epi32(scales, 16), 0b10101010)
    } else {
        _mm256_blend_epi16(_mm256_srli_epi32(scales, 16), scales, 0b10101010)
    }
}
