//! Many tokens: a strip is unpacked ([`Pages`]) and multiplied with all tokens.
//!
//! A tile is a sheet of four rows by four tokens. For one octet it is
//!
//! ```text
//! 4 steps of   4 loads of a row, 4 loads of a token, 16 VPDPBUSD
//! then         for each two rows and a token
//!              3 moves and additions       [row a | row b], halves of groups added
//!              convert, multiply, FMA      isum · d · dx
//! ```
//!
//! with one more multiplication for each sum if there are sub-scales, and one
//! or two more FMA for each two if there are minimums. Of ten operations that
//! multiply, eight are VPDPBUSD.
//!
//! Loops, from the outside: for a stretch of [`TOKENS`] tokens, for a stretch of
//! [`SLICE`] octets of them, which stay in the first-level cache; for each
//! sheet, which comes from the second; for each tile. Between slices, partial
//! sums wait in memory.

use super::octet::{Octets, PerLane, Row, Scales};
use super::pages::{Pages, ROWS};
use super::vector::*;
use crate::activation::Int8Rows;
use crate::matmul::Matrix;
use crate::matmul::panel::Panel;
use crate::team::TileMut;
use std::arch::x86_64::*;
use std::ops::Range;

/// Tokens that stay in the first-level cache.
const TOKENS: usize = 8;
/// Octets of them that do.
const SLICE: usize = 8;
/// Pairs of rows in a sheet.
const PAIRS: usize = ROWS / 2;

/// The eight partial sums of two rows each, of a sheet and a token.
type Sums = [PerLane<f32>; PAIRS];

/// Computes a strip.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub fn strip<B: Octets>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    const { assert!(B::RAISE == 0 || B::MINIMUMS == 0) }
    let mut sums = std::mem::take(&mut panel.sums);
    let pages = Pages::unpack::<B>(weight, panel);
    let product = Product {
        pages: &pages,
        raise: B::RAISE,
        x,
    };
    match (B::SUBSCALES, B::MINIMUMS) {
        (false, 0) => product.run::<false, 0>(&mut sums, out),
        (false, 1) => product.run::<false, 1>(&mut sums, out),
        (true, 0) => product.run::<true, 0>(&mut sums, out),
        (true, 2) => product.run::<true, 2>(&mut sums, out),
        (subscales, minimums) => {
            unreachable!("sub-scales: {subscales}, minimums: {minimums}")
        }
    }
    panel.sums = sums;
}

/// A strip's sheets times all tokens.
struct Product<'a> {
    pages: &'a Pages<'a>,
    /// Quants were raised by two to this power; 0 if they were not.
    raise: u32,
    x: Int8Rows<'a>,
}

impl Product<'_> {
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    fn run<const SUBSCALES: bool, const MINIMUMS: usize>(
        &self,
        sums: &mut crate::lines::Lines<f32>,
        out: &mut TileMut<'_>,
    ) {
        let Pages { octets, sheets, .. } = *self.pages;
        for first in (0..self.x.rows).step_by(TOKENS) {
            let tokens = first..self.x.rows.min(first + TOKENS);
            let sums = sums.resize(tokens.len() * sheets * size_of::<Sums>() / size_of::<f32>());
            // [sheet][token]
            let sums: &mut [Sums] = bytemuck::cast_slice_mut(sums);
            for slice in (0..octets).step_by(SLICE) {
                let slice = slice..octets.min(slice + SLICE);
                let mut x = [Row::EMPTY; TOKENS];
                for (x, token) in x.iter_mut().zip(tokens.clone()) {
                    *x = Row::new(self.x.row(token)).slice(slice.clone());
                }
                let x = &x[..tokens.len()];
                for (sheet, sums) in sums.chunks_exact_mut(tokens.len()).enumerate() {
                    self.sheet::<SUBSCALES, MINIMUMS>(sheet, slice.clone(), x, sums);
                    if slice.end == octets {
                        store_sheet(sums, sheet * ROWS, first, out);
                    }
                }
            }
        }
    }

    /// Adds the products of a sheet with octets of the tokens `x`.
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    fn sheet<const SUBSCALES: bool, const MINIMUMS: usize>(
        &self,
        sheet: usize,
        octets: Range<usize>,
        x: &[Row<'_>],
        sums: &mut [Sums],
    ) {
        let (x_fours, x_rest) = x.as_chunks::<4>();
        let (fours, rest) = sums.as_chunks_mut::<4>();
        for (x, sums) in x_fours.iter().zip(fours) {
            self.tile::<SUBSCALES, MINIMUMS, 4>(sheet, octets.clone(), x, sums);
        }
        let (x_pairs, x_single) = x_rest.as_chunks::<2>();
        let (pairs, single) = rest.as_chunks_mut::<2>();
        for (x, sums) in x_pairs.iter().zip(pairs) {
            self.tile::<SUBSCALES, MINIMUMS, 2>(sheet, octets.clone(), x, sums);
        }
        let (x_single, single) = (x_single.as_chunks().0, single.as_chunks_mut().0);
        for (x, sums) in x_single.iter().zip(single) {
            self.tile::<SUBSCALES, MINIMUMS, 1>(sheet, octets.clone(), x, sums);
        }
    }

    /// Adds the products of octets of a sheet with `T` tokens; the first octets
    /// begin the sums.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    fn tile<const SUBSCALES: bool, const MINIMUMS: usize, const T: usize>(
        &self,
        sheet: usize,
        octets: Range<usize>,
        x: &[Row<'_>; T],
        sums: &mut [Sums; T],
    ) {
        let pages = self.pages;
        let first = sheet * pages.octets + octets.start;
        let here = first..first + octets.len();
        let q = &pages.q[here.clone()];
        let d = &pages.d[here.clone()];
        let m = &pages.m[first * MINIMUMS..][..octets.len() * MINIMUMS];
        let s = if SUBSCALES { &pages.s[here] } else { &[][..] };
        let mut acc = [[_mm512_setzero_ps(); PAIRS]; T];
        if octets.start > 0 {
            for (acc, sums) in acc.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                *acc = load_f32(sums);
            }
        }
        for o in 0..octets.len() {
            let mut isums = [[_mm512_setzero_si512(); ROWS]; T];
            if MINIMUMS == 0 {
                let raise = _mm512_set1_epi32(self.raise as i32);
                for t in 0..T {
                    isums[t] = [_mm512_sllv_epi32(load_i32(&x[t].neg_sums[o]), raise); ROWS];
                }
            }
            for i in 0..4 {
                let mut w = [_mm512_setzero_si512(); ROWS];
                for (w, q) in w.iter_mut().zip(&q[o]) {
                    *w = load(&q[i]);
                }
                for (isums, x) in isums.iter_mut().zip(x) {
                    let steps: &[[i8; 64]; 4] = bytemuck::cast_ref(&x.q[o]);
                    let x = load_i8(&steps[i]);
                    for (isum, w) in isums.iter_mut().zip(w) {
                        *isum = _mm512_dpbusd_epi32(*isum, w, x);
                    }
                }
            }
            for t in 0..T {
                let mut isums = isums[t];
                if SUBSCALES {
                    for (isum, s) in isums.iter_mut().zip(&s[o]) {
                        *isum = _mm512_mullo_epi32(*isum, load_i32(s));
                    }
                }
                let x = Scales::<MINIMUMS>::new(&x[t], o);
                for p in 0..PAIRS {
                    let d: &[PerLane<f32>; PAIRS] = bytemuck::cast_ref(&d[o]);
                    let mut minimums = [_mm512_setzero_ps(); MINIMUMS];
                    for (minimum, m) in minimums.iter_mut().zip(&m[o * MINIMUMS..]) {
                        let m: &[PerLane<f32>; PAIRS] = bytemuck::cast_ref(m);
                        *minimum = load_f32(&m[p]);
                    }
                    let isums = [isums[2 * p], isums[2 * p + 1]];
                    acc[t][p] = x.add(isums, load_f32(&d[p]), &minimums, acc[t][p]);
                }
            }
        }
        for (acc, sums) in acc.as_flattened().iter().zip(sums.as_flattened_mut()) {
            store_f32(sums, *acc);
        }
    }
}

/// Folds the partial sums of a sheet and stores the products of its rows, from
/// `row` of the strip on, with the tokens from `token` on.
#[target_feature(enable = "avx512f,avx512dq")]
fn store_sheet(sums: &[Sums], row: usize, mut token: usize, out: &mut TileMut<'_>) {
    let rows = row..out.cols().len().min(row + ROWS);
    for sums in sums.chunks(4) {
        let mut four = [[[0.0; 16]; PAIRS]; 4];
        let four: &[Sums; 4] = match sums.first_chunk() {
            Some(four) => four,
            None => {
                four[..sums.len()].copy_from_slice(sums);
                &four
            }
        };
        let mut products = [[0.0; ROWS]; 4];
        store_f32(bytemuck::cast_mut(&mut products), fold(four));
        for products in &products[..sums.len()] {
            let to = &mut out.row(out.rows().start + token)[rows.clone()];
            match to.as_chunks_mut::<ROWS>() {
                ([all], []) => *all = *products,
                (_, some) => some.copy_from_slice(&products[..some.len()]),
            }
            token += 1;
        }
    }
}

/// Folds the partial sums of a sheet and four tokens in halves: `[token][row]`.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold(sums: &[Sums; 4]) -> __m512 {
    /// From `[row][token]` to `[token][row]`.
    const TRANSPOSED: PerLane<u32> = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];
    // The quarters of a vector belong to the four rows.
    let mut by_row = [_mm512_setzero_ps(); 4];
    for (by_row, [a, b]) in by_row.iter_mut().zip(sums) {
        let (a, b) = (load_f32(a), load_f32(b));
        let low = _mm512_shuffle_f32x4(a, b, 0b10_00_10_00);
        let high = _mm512_shuffle_f32x4(a, b, 0b11_01_11_01);
        *by_row = _mm512_add_ps(low, high);
    }
    let mut by_two = [_mm512_setzero_ps(); 2];
    for (by_two, [a, b]) in by_two.iter_mut().zip(by_row.as_chunks::<2>().0) {
        let (a, b) = (_mm512_castps_pd(*a), _mm512_castps_pd(*b));
        let low = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        let high = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        *by_two = _mm512_add_ps(low, high);
    }
    let [a, b] = by_two;
    let low = _mm512_shuffle_ps(a, b, 0b10_00_10_00);
    let high = _mm512_shuffle_ps(a, b, 0b11_01_11_01);
    let folded = _mm512_add_ps(low, high);
    _mm512_permutexvar_ps(load_u32(&TRANSPOSED), folded)
}
