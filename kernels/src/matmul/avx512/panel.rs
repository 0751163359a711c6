//! Many tokens: a strip is unpacked ([`Pages`]) and multiplied with all tokens,
//! tile by tile ([`tile`]).
//!
//! Loops, from the outside: for the tokens of a tile, for a slice of at most
//! [`SLICE`] octets of them, which stay in the first-level cache; for each sheet, which comes from the second. Between slices, partial sums
//! wait in memory. Meanwhile tiles ask for what comes next ([`Ahead`]).

use super::octet::{Octets, PerLane};
use super::pages::Pages;
use super::tile::{Beside, ROW_PAIRS, ROWS, Sums, TOKEN_PAIRS, TOKENS, Tokens, WaitingSums, tile};
use super::vector::*;
use crate::activation::{Int8Rows, ONES, Pair};
use crate::lines::{LINE_BYTES, Lines};
use crate::matmul::Matrix;
use crate::matmul::panel::Panel;
use crate::prefetch;
use crate::team::TileMut;
use bytemuck::Zeroable;
use std::arch::x86_64::*;
use std::ops::Range;

/// Octets of a tile's tokens that stay in the first-level cache.
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
        sums: std::mem::take(&mut panel.sums),
        products: std::mem::take(&mut panel.products),
    };
    let pages = Pages::unpack::<B>(weight, panel);
    let product = Product {
        pages: &pages,
        offset: B::PANEL_OFFSET,
        x,
        weights: weight.bytes(),
    };
    match (B::HALVES_APART, B::MINIMUMS) {
        (false, 0) => product.run::<false, 0>(&mut buffers, out),
        (false, 1) => product.run::<false, 1>(&mut buffers, out),
        (true, 0) => product.run::<true, 0>(&mut buffers, out),
        (false, 2) => product.run::<false, 2>(&mut buffers, out),
        (halves, minimums) => unreachable!("halves apart: {halves}, minimums: {minimums}"),
    }
    panel.sums = buffers.sums;
    panel.products = buffers.products;
}

/// Some octets of pairs. (Loops and closures over two would not all be inlined.)
#[inline]
fn cut<'a>([x, y]: [&'a [Pair]; TOKEN_PAIRS], octets: &Range<usize>) -> [&'a [Pair]; TOKEN_PAIRS] {
    [&x[octets.clone()], &y[octets.clone()]]
}

/// What tiles ask for in passing, in two streams, to be in the second-level cache.
///
/// Of few tokens, which stay there, the weights of the next strip: unpacking them is
/// all reading, and multiplying would be none. Of many, the tokens of the next slice,
/// which come from wherever there is room for all of them.
struct Ahead([Stream; 2]);

/// Bytes of tokens that are few.
const FEW_BYTES: usize = 256 << 10;

impl Ahead {
    /// Asks for what is as long as `bytes` and lies behind.
    fn after(bytes: &[u8]) -> Ahead {
        let half = bytes.len() / 2;
        let next = bytes.as_ptr().wrapping_add(bytes.len());
        Ahead([next, next.wrapping_add(half)].map(|at| Stream { at, left: half }))
    }

    /// Asks for octets of tokens.
    fn tokens(pairs: [&[Pair]; TOKEN_PAIRS]) -> Ahead {
        Ahead(pairs.map(|pair| Stream {
            at: pair.as_ptr().cast(),
            left: size_of_val(pair),
        }))
    }

    /// Goes on by so many lines, and returns where they begin.
    #[inline(always)]
    fn lines(&mut self, lines: usize) -> [*const u8; 2] {
        let Ahead([a, b]) = self;
        [a.lines(lines), b.lines(lines)]
    }
}

/// Bytes that are asked for one after the other. Their memory is not accessed: they
/// may lie anywhere.
struct Stream {
    at: *const u8,
    left: usize,
}

impl Stream {
    /// The next lines, or the last again if there are none.
    #[inline(always)]
    fn lines(&mut self, lines: usize) -> *const u8 {
        let here = self.at;
        let bytes = lines * LINE_BYTES;
        if self.left > bytes {
            self.left -= bytes;
            self.at = here.wrapping_add(bytes);
        }
        here
    }
}

/// What the product needs of a [`Panel`] beside the pages.
struct Buffers {
    sums: Lines<f32>,
    products: Lines<f32>,
}

/// A strip's sheets times all tokens.
struct Product<'a> {
    pages: &'a Pages<'a>,
    /// What was added to the quants.
    offset: i32,
    x: Int8Rows<'a>,
    /// The strip as it lies in the file.
    weights: &'a [u8],
}

impl Product<'_> {
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    fn run<const HALVES: bool, const MINIMUMS: usize>(
        &self,
        buffers: &mut Buffers,
        out: &mut TileMut<'_>,
    ) {
        let Pages { octets, sheets, .. } = *self.pages;
        let slices = octets.div_ceil(SLICE);
        let slice = |index: usize| index * octets / slices..(index + 1) * octets / slices;
        let mut beside = [[Beside::zeroed(); TOKEN_PAIRS]; SLICE];
        // [sheet]
        let waiting = buffers
            .sums
            .resize(sheets * size_of::<WaitingSums>() / size_of::<f32>());
        let waiting: &mut [WaitingSums] = bytemuck::cast_slice_mut(waiting);
        // [token][row]
        let rows = sheets * ROWS;
        let products = buffers.products.resize(TOKENS * rows);
        let few = self.x.rows.div_ceil(2) * size_of_val(self.x.pair(0)) <= FEW_BYTES;
        let mut ahead = Ahead::after(self.weights);
        for first in (0..self.x.rows).step_by(TOKENS) {
            let tokens = first..self.x.rows.min(first + TOKENS);
            let count = tokens.len().div_ceil(2);
            let pairs = self.pairs(first);
            // The outputs of many tokens lie far apart, in no cache; until they are
            // written, there is time to bring them.
            for token in tokens.clone() {
                prefetch::all_to_first_level(out.row(out.rows().start + token), 0);
            }
            for index in 0..slices {
                let octets = slice(index);
                let pairs = cut(pairs, &octets);
                let beside = &mut beside[..octets.len()];
                for (o, beside) in beside.iter_mut().enumerate() {
                    for (pair, beside) in pairs.iter().zip(beside) {
                        self.put_beside::<HALVES, MINIMUMS>(&pair[o], beside);
                    }
                }
                if !few {
                    ahead = Ahead::tokens(match index + 1 < slices {
                        true => cut(self.pairs(first), &slice(index + 1)),
                        false => cut(self.pairs(first + TOKENS), &slice(0)),
                    });
                }
                for (sheet, waiting) in waiting.iter_mut().enumerate() {
                    let x = Tokens {
                        pairs,
                        count,
                        beside,
                        ahead: ahead.lines(octets.len()),
                    };
                    let weights = self.pages.sheet(sheet, octets.clone());
                    let mut sums = [[_mm512_setzero_ps(); 2 * ROW_PAIRS]; TOKEN_PAIRS];
                    if index > 0 {
                        sums = load_sums(waiting);
                    }
                    let sums = tile::<HALVES, MINIMUMS>(weights, x, sums);
                    if index + 1 < slices {
                        store_sums(waiting, sums);
                    } else {
                        for (products, folded) in products.chunks_exact_mut(rows).zip(fold(sums)) {
                            products[sheet * ROWS..][..ROWS].copy_from_slice(&folded);
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

    /// The pairs of the tile that begins with a token; the last stands in for those
    /// that there are not.
    fn pairs(&self, first: usize) -> [&[Pair]; TOKEN_PAIRS] {
        let last = (self.x.rows - 1) / 2;
        let pair = |p: usize| self.x.pair(last.min(first / 2 + p));
        [pair(0), pair(1)]
    }

    /// Puts beside an octet what goes with it.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx2")]
    fn put_beside<const HALVES: bool, const MINIMUMS: usize>(&self, x: &Pair, to: &mut Beside) {
        let [first, last] = [load_i32(&x.neg_sums[0]), load_i32(&x.neg_sums[1])];
        let sums = match HALVES {
            true => [first, last],
            false => [_mm512_add_epi32(first, last); 2],
        };
        for (to, sums) in to.begin.iter_mut().zip(sums).take(1 + usize::from(HALVES)) {
            let lowered = _mm512_mullo_epi32(sums, _mm512_set1_epi32(self.offset));
            let begin = _mm512_add_epi32(load_i32(&x.bits), lowered);
            store(bytemuck::cast_mut(to), begin);
        }
        match MINIMUMS {
            0 => {}
            1 => to.minimums[0] = x.xsum,
            _ => {
                // The scale, exactly.
                let d = _mm512_div_ps(load_f32(&x.ones), _mm512_set1_ps(ONES));
                for (to, half) in to.minimums.iter_mut().zip([first, last]) {
                    store_f32(to, _mm512_mul_ps(d, _mm512_cvtepi32_ps(half)));
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_sums(waiting: &WaitingSums) -> Sums {
    let mut sums = [[_mm512_setzero_ps(); 2 * ROW_PAIRS]; TOKEN_PAIRS];
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
    /// `[token][row]`, which are in lanes `[row][token]`, the tokens of a pair in the
    /// first and the third and in the second and the fourth row where they met the
    /// rows as they lie, and with places changed where those were.
    const SORTED: PerLane<u32> = [0, 1, 8, 9, 5, 4, 13, 12, 2, 3, 10, 11, 7, 6, 15, 14];
    // Of each: two vectors, whose quarters belong to four halves of vectors before.
    let mut quarters = [_mm512_setzero_ps(); 4];
    for (quarter, [a, b]) in quarters.iter_mut().zip(sums.as_flattened().as_chunks().0) {
        let low = _mm512_shuffle_f32x4(*a, *b, 0b10_00_10_00);
        let high = _mm512_shuffle_f32x4(*a, *b, 0b11_01_11_01);
        *quarter = _mm512_add_ps(low, high);
    }
    let mut by_two = [_mm512_setzero_ps(); 2];
    for (by_two, [a, b]) in by_two.iter_mut().zip(quarters.as_chunks::<2>().0) {
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
    let by_token = _mm512_permutexvar_ps(load_u32(&SORTED), folded);
    store_f32(bytemuck::cast_mut(&mut products), by_token);
    products
}
