//! Many tokens: a strip is unpacked ([`Pages`]) and multiplied with all tokens,
//! tile by tile ([`tile`]).
//!
//! Loops, from the outside: for a stretch of [`STRETCH`] tokens, for a slice of
//! [`SLICE`] octets of them, which stay in the first-level cache; for each sheet,
//! which comes from the second; for each tile. Between slices, partial sums wait
//! in memory.

use super::octet::{Octets, PerLane, Row, scaled_sums};
use super::pages::Pages;
use super::tile::{PAIRS, ROWS, Scales, Sums, TOKENS, Tokens, WaitingSums, tile};
use super::vector::*;
use crate::activation::{Int8Rows, OCTET_LEN};
use crate::lines::Lines;
use crate::matmul::Matrix;
use crate::matmul::avx2::vector::{load_f32 as load_eight_f32, store_f32 as store_eight_f32};
use crate::matmul::panel::Panel;
use crate::team::TileMut;
use std::arch::x86_64::*;
use std::ops::Range;

/// Tokens that stay in the first-level cache.
const STRETCH: usize = 8;
/// Octets of them that do.
const SLICE: usize = 8;

/// Computes a strip.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub fn strip<B: Octets>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    const { assert!(B::PANEL_OFFSET == 0 || B::MINIMUMS == 0) }
    let mut buffers = Buffers {
        scales: std::mem::take(&mut panel.x),
        sums: std::mem::take(&mut panel.sums),
        products: std::mem::take(&mut panel.products),
    };
    let pages = Pages::unpack::<B>(weight, panel);
    let product = Product {
        pages: &pages,
        offset: B::PANEL_OFFSET,
        x,
    };
    match (B::PANEL_SUBSCALES, B::MINIMUMS) {
        (false, 0) => product.run::<false, 0>(&mut buffers, out),
        (false, 1) => product.run::<false, 1>(&mut buffers, out),
        (true, 0) => product.run::<true, 0>(&mut buffers, out),
        (false, 2) => product.run::<false, 2>(&mut buffers, out),
        (subscales, minimums) => {
            unreachable!("sub-scales: {subscales}, minimums: {minimums}")
        }
    }
    panel.x = buffers.scales;
    panel.sums = buffers.sums;
    panel.products = buffers.products;
}

/// What the product needs of a [`Panel`] beside the pages.
struct Buffers {
    scales: Lines<u8>,
    sums: Lines<f32>,
    products: Lines<f32>,
}

/// A strip's sheets times all tokens.
struct Product<'a> {
    pages: &'a Pages<'a>,
    /// What was added to the quants.
    offset: i32,
    x: Int8Rows<'a>,
}

impl Product<'_> {
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    fn run<const SUBSCALES: bool, const MINIMUMS: usize>(
        &self,
        buffers: &mut Buffers,
        out: &mut TileMut<'_>,
    ) {
        let Pages { octets, sheets, .. } = *self.pages;
        let Buffers {
            scales,
            sums,
            products,
        } = buffers;
        let rows = sheets * ROWS;
        // [token][row]
        let products = products.resize(STRETCH * rows);
        for first in (0..self.x.rows).step_by(STRETCH) {
            let tokens = first..self.x.rows.min(first + STRETCH);
            let tiles = tokens.len().div_ceil(TOKENS);
            // [sheet][tile]
            let waiting = sums.resize(sheets * tiles * size_of::<WaitingSums>() / size_of::<f32>());
            let waiting: &mut [WaitingSums] = bytemuck::cast_slice_mut(waiting);
            for slice in (0..octets).step_by(SLICE) {
                let slice = slice..octets.min(slice + SLICE);
                // [tile][octet][token]
                let scales = scales.resize(tiles * slice.len() * size_of::<[Scales; TOKENS]>());
                let scales: &mut [[Scales; TOKENS]] = bytemuck::cast_slice_mut(scales);
                self.scales::<SUBSCALES, MINIMUMS>(tokens.clone(), slice.clone(), scales);
                for (sheet, waiting) in waiting.chunks_exact_mut(tiles).enumerate() {
                    let weights = self.pages.sheet(sheet, slice.clone());
                    let scales = scales.chunks_exact(slice.len());
                    for (i, (scales, waiting)) in scales.zip(waiting).enumerate() {
                        let here = tokens.start + TOKENS * i..tokens.end;
                        let x = self.tokens(here, slice.start, scales);
                        let mut sums = [[_mm512_setzero_ps(); PAIRS]; TOKENS];
                        if slice.start > 0 {
                            sums = load_sums(waiting);
                        }
                        let sums = tile::<SUBSCALES, MINIMUMS>(weights, x, sums);
                        if slice.end < octets {
                            store_sums(waiting, sums);
                        } else {
                            let products = products[i * TOKENS * rows..].chunks_exact_mut(rows);
                            for (products, folded) in products.zip(fold(sums)) {
                                products[sheet * ROWS..][..ROWS].copy_from_slice(&folded);
                            }
                        }
                    }
                }
            }
            for (token, products) in tokens.zip(products.chunks_exact(rows)) {
                let to = out.row(out.rows().start + token);
                to.copy_from_slice(&products[..to.len()]);
            }
        }
    }

    /// The tile of the first of `tokens`, from `octet` on.
    #[inline]
    fn tokens<'a>(
        &'a self,
        tokens: Range<usize>,
        octet: usize,
        scales: &'a [[Scales; TOKENS]],
    ) -> Tokens<'a> {
        let stride = self.x.stride;
        Tokens {
            count: tokens.len(),
            q: &self.x.q[tokens.start * stride + octet * OCTET_LEN..],
            stride,
            scales,
        }
    }

    /// Puts what goes with the quants of some tokens side by side,
    /// `[tile][octet][token]`; the last token stands in for those that the last
    /// tile does not have.
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx2")]
    fn scales<const SUBSCALES: bool, const MINIMUMS: usize>(
        &self,
        tokens: Range<usize>,
        octets: Range<usize>,
        to: &mut [[Scales; TOKENS]],
    ) {
        let offset = _mm512_set1_epi32(self.offset);
        for (i, tile) in to.chunks_exact_mut(octets.len()).enumerate() {
            for t in 0..TOKENS {
                let token = (tokens.start + TOKENS * i + t).min(tokens.end - 1);
                let x = Row::new(self.x.row(token)).slice(octets.clone());
                for (o, to) in tile.iter_mut().enumerate() {
                    let to = &mut to[t];
                    store_eight_f32(&mut to.d, load_eight_f32(&x.d[o]));
                    let neg_sums = load_i32(&x.neg_sums[o]);
                    let beside = match (SUBSCALES, MINIMUMS) {
                        (false, 0) => {
                            let sums = _mm512_castsi256_si512(add_halves(neg_sums));
                            _mm512_mullo_epi32(sums, offset)
                        }
                        (true, 0) => _mm512_mullo_epi32(neg_sums, offset),
                        (_, 1) => _mm512_castps_si512(load_f32_twice(&x.xsum[o])),
                        _ => _mm512_castps_si512(scaled_sums(&x.d[o], &x.neg_sums[o])),
                    };
                    store(bytemuck::cast_mut(&mut to.beside), beside);
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_sums(waiting: &WaitingSums) -> Sums {
    let mut sums = [[_mm512_setzero_ps(); PAIRS]; TOKENS];
    for (sums, waiting) in sums
        .as_flattened_mut()
        .iter_mut()
        .zip(waiting.as_flattened())
    {
        *sums = load_f32(waiting);
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_sums(waiting: &mut WaitingSums, sums: Sums) {
    for (waiting, sums) in waiting
        .as_flattened_mut()
        .iter_mut()
        .zip(sums.as_flattened())
    {
        store_f32(waiting, *sums);
    }
}

/// Folds the partial sums of a sheet and four tokens in halves: `[token][row]`.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold(sums: Sums) -> [[f32; ROWS]; TOKENS] {
    /// From `[row][token]` to `[token][row]`.
    const TRANSPOSED: PerLane<u32> = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];
    // The quarters of a vector belong to the four rows.
    let mut by_row = [_mm512_setzero_ps(); 4];
    for (by_row, [a, b]) in by_row.iter_mut().zip(sums) {
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
    let mut products = [[0.0; ROWS]; TOKENS];
    let by_token = _mm512_permutexvar_ps(load_u32(&TRANSPOSED), folded);
    store_f32(bytemuck::cast_mut(&mut products), by_token);
    products
}
