//! Many tokens: a strip is unpacked ([`Pages`]), part by part if rows are long
//! ([`PART`]), and multiplied with all tokens, block by block ([`block`]) and, of a
//! block, slice by slice ([`slice_octets`]). Between slices and between parts
//! partial sums wait in memory. Meanwhile tiles ask for what
//! comes next ([`Ahead`]): of few tokens, which stay in the second-level cache, the
//! weights of the next strip, since unpacking them is all reading and multiplying would
//! be none; of many, the tokens of the next slice, which come from wherever there is
//! room for all of them.

use super::block::{self, Ahead, Products, TILES, Tokens};
use super::octet::{Octets, PerLane};
use super::pages::Pages;
use super::parts::nth;
use super::tile::{Beside, FOLDED_TOKENS, Folded, ROWS, Sums, token_pairs};
use super::vector::*;
use crate::activation::{Int8Rows, OCTET_LEN, ONES, Pair, Scaling};
use crate::inlined::zip;
use crate::lines::Lines;
use crate::matmul::Matrix;
use crate::matmul::panel::{Panel, are_few};
use crate::prefetch;
use crate::team::TileMut;
use bytemuck::{Pod, Zeroable};
use std::arch::x86_64::*;
use std::mem::take;
use std::ops::Range;

/// Octets of a block's tokens that stay in the first-level cache.
const fn slice_octets(scaling: Scaling) -> usize {
    match scaling {
        Scaling::Adding => 6,
        Scaling::Multiplying => 4,
    }
}

/// What lies beside a block at most.
const MOST_BESIDE: usize = {
    let adding = token_pairs(Scaling::Adding) * slice_octets(Scaling::Adding);
    let multiplying = token_pairs(Scaling::Multiplying) * slice_octets(Scaling::Multiplying);
    TILES
        * if adding > multiplying {
            adding
        } else {
            multiplying
        }
};

/// Octets of a strip that stay in the second, with room for what else there is.
const PART: usize = 8;

/// Octets of rows that are not cut: of those, whole panels cost less than sums that wait.
const UNCUT: usize = 16;

/// Sheets whose products are stored side by side.
const SHEETS: usize = 4;

/// Computes a strip; `near`: see [`octet_and_ask`](super::octet::octet_and_ask).
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub fn strip<B: Octets>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    scaling: Scaling,
    near: bool,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    const { assert!(B::PANEL_OFFSET == 0 || B::MINIMUMS == 0) }
    let octets = weight.cols().div_ceil(OCTET_LEN);
    let sheets = weight.rows().div_ceil(ROWS);
    let few = are_few(x.rows, weight.cols());
    let parts = match few || octets <= UNCUT {
        true => 1,
        false => octets.div_ceil(PART),
    };
    // Between parts the sums of all blocks wait, between slices those of one.
    let of_tile = token_pairs(scaling);
    let kept = match parts {
        1 => TILES,
        _ => x.rows.div_ceil(2 * of_tile),
    };
    let mut lines = [take(&mut panel.sums), take(&mut panel.products)];
    let [sums, folded] = &mut lines;
    let sums = of_lines::<Sums>(sums, sheets * kept * of_tile);
    let folded = of_lines::<Folded>(folded, sheets * TILES * of_tile.div_ceil(2));
    for part in (0..parts).map(|index| nth(index, parts, 0..octets)) {
        let product = Product {
            pages: &Pages::unpack::<B>(weight, part, near, panel),
            offset: B::PANEL_OFFSET,
            x,
            scaling,
            weights: weight.bytes(),
            few,
        };
        match (B::HALVES_APART, B::MINIMUMS) {
            (false, 0) => product.run::<false, 0>(sums, folded, out),
            (false, 1) => product.run::<false, 1>(sums, folded, out),
            (true, 0) => product.run::<true, 0>(sums, folded, out),
            (false, 2) => product.run::<false, 2>(sums, folded, out),
            (halves, minimums) => unreachable!("halves apart: {halves}, minimums: {minimums}"),
        }
    }
    [panel.sums, panel.products] = lines;
}

/// So many values that fill whole lines.
fn of_lines<T: Pod>(lines: &mut Lines<f32>, count: usize) -> &mut [T] {
    bytemuck::cast_slice_mut(lines.resize(count * size_of::<T>() / size_of::<f32>()))
}

/// The pairs of tokens, of so many, that go through the sheets together, from one on:
/// whole tiles, or at the end what is left.
fn block_of(first: usize, pairs: usize, of_tile: usize) -> Range<usize> {
    let left = (pairs - first).min(TILES * of_tile);
    let whole = left / of_tile * of_tile;
    first..first + if whole > 0 { whole } else { left }
}

/// A part of a strip's inputs, times all tokens.
struct Product<'a> {
    pages: &'a Pages<'a>,
    /// What was added to the quants.
    offset: i32,
    x: Int8Rows<'a>,
    /// How sums are scaled with what is prepared in `x`.
    scaling: Scaling,
    /// The strip as it lies in the file.
    weights: &'a [u8],
    /// Tokens are few.
    few: bool,
}

impl Product<'_> {
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    fn run<const HALVES: bool, const MINIMUMS: usize>(
        &self,
        all_sums: &mut [Sums],
        folded: &mut [Folded],
        out: &mut TileMut<'_>,
    ) {
        let Pages { octets, sheets, .. } = *self.pages;
        let part = &self.pages.part;
        let (whole, ends) = (part.len() == octets, part.end == octets);
        let slices = part.len().div_ceil(slice_octets(self.scaling));
        let slice = |index: usize| nth(index, slices, part.clone());
        let mut beside = [Beside::zeroed(); MOST_BESIDE];
        let of_tile = token_pairs(self.scaling);
        let pairs = self.x.rows.div_ceil(2);
        let mut ahead = Ahead::after(self.weights, self.scaling);
        let mut block = block_of(0, pairs, of_tile);
        while !block.is_empty() {
            let next = block_of(block.end, pairs, of_tile);
            let tiles = block.len().div_ceil(of_tile);
            let tokens = 2 * block.start..self.x.rows.min(2 * block.end);
            let first_kept = if whole { 0 } else { block.start };
            let sums = &mut all_sums[sheets * first_kept..][..sheets * tiles * of_tile];
            let folded = &mut folded[..sheets * tiles * of_tile.div_ceil(2)];
            if ends {
                // The outputs of many tokens lie far apart, in no cache; until they are
                // written, there is time to bring them.
                for token in tokens.clone() {
                    prefetch::all_to_level(true, out.row(out.rows().start + token), 0);
                }
            }
            let pairs = self.x.pairs(block.clone());
            for index in 0..slices {
                let range = slice(index);
                let beside = &mut beside[..tiles * range.len() * of_tile];
                self.put_beside_block::<HALVES, MINIMUMS>(pairs, range.clone(), beside);
                if !self.few && index + 1 < slices {
                    ahead = Ahead::tokens(pairs, self.scaling, octets, slice(index + 1));
                } else if !self.few && !next.is_empty() {
                    let pairs = self.x.pairs(next.clone());
                    ahead = Ahead::tokens(pairs, self.scaling, octets, slice(0));
                }
                let tokens = Tokens { pairs, beside };
                let products = Products { sums, folded };
                let weights = self.pages.slice(range);
                block::multiply::<HALVES, MINIMUMS>(
                    self.scaling,
                    weights,
                    tokens,
                    products,
                    &mut ahead,
                );
            }
            if ends {
                put_out(folded, of_tile, tokens, out);
            }
            block = next;
        }
    }

    /// Puts beside some octets of a block's tiles what goes with them; the last pair
    /// stands in for those that there are not.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx2")]
    fn put_beside_block<const HALVES: bool, const MINIMUMS: usize>(
        &self,
        pairs: &[Pair],
        range: Range<usize>,
        beside: &mut [Beside],
    ) {
        let octets = self.pages.octets;
        let last = pairs.len() / octets - 1;
        let of_tile = token_pairs(self.scaling);
        for (tile, beside) in beside.chunks_exact_mut(range.len() * of_tile).enumerate() {
            for (octet, beside) in zip(range.clone(), beside.chunks_exact_mut(of_tile)) {
                for (pair, beside) in beside.iter_mut().enumerate() {
                    let pair = last.min(of_tile * tile + pair);
                    self.put_beside::<HALVES, MINIMUMS>(&pairs[pair * octets + octet], beside);
                }
            }
        }
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
        for (to, sums) in zip(to.begin.iter_mut(), sums).take(1 + usize::from(HALVES)) {
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
                for (to, half) in zip(to.minimums.iter_mut(), [first, last]) {
                    store_f32(to, _mm512_mul_ps(d, _mm512_cvtepi32_ps(half)));
                }
            }
        }
    }
}

/// Brings the products of each sheet with tiles of so many pairs to where those of their
/// tokens go.
#[target_feature(enable = "avx512f")]
fn put_out(folded: &[Folded], of_tile: usize, tokens: Range<usize>, out: &mut TileMut<'_>) {
    let per_tile = of_tile.div_ceil(2);
    let per_sheet = tokens.len().div_ceil(2 * of_tile) * per_tile;
    for (sheets, folded) in folded.chunks(SHEETS * per_sheet).enumerate() {
        for (tile, first) in tokens.clone().step_by(2 * of_tile).enumerate() {
            let last = tokens.end.min(first + 2 * of_tile);
            for (index, first) in (first..last).step_by(FOLDED_TOKENS).enumerate() {
                let rows = by_token(folded, tile * per_tile + index, per_sheet);
                for (token, rows) in zip(first..last, &rows) {
                    let to = &mut out.row(out.rows().start + token)[sheets * SHEETS * ROWS..];
                    match to.first_chunk_mut() {
                        Some(to) => store_f32(to, load_f32(rows)),
                        None => to.copy_from_slice(&rows[..to.len()]),
                    }
                }
            }
        }
    }
}

/// What the tokens of one of so many products with a sheet have of up to four sheets side
/// by side: `[token][row]`.
#[inline]
#[target_feature(enable = "avx512f")]
fn by_token(folded: &[Folded], index: usize, per_sheet: usize) -> [PerLane<f32>; FOLDED_TOKENS] {
    let sheets = folded.len() / per_sheet;
    let sheet = |sheet: usize| {
        let Folded(folded) = &folded[sheet.min(sheets - 1) * per_sheet + index];
        load_f32(bytemuck::cast_ref(folded))
    };
    let (a, b, c, d) = (sheet(0), sheet(1), sheet(2), sheet(3));
    let first = [
        _mm512_shuffle_f32x4(a, b, 0b01_00_01_00),
        _mm512_shuffle_f32x4(c, d, 0b01_00_01_00),
    ];
    let last = [
        _mm512_shuffle_f32x4(a, b, 0b11_10_11_10),
        _mm512_shuffle_f32x4(c, d, 0b11_10_11_10),
    ];
    let mut by_token = [[0.0; 16]; FOLDED_TOKENS];
    for (two, [ab, cd]) in zip(by_token.as_chunks_mut::<2>().0.iter_mut(), [first, last]) {
        let [even, odd] = two;
        store_f32(even, _mm512_shuffle_f32x4(ab, cd, 0b10_00_10_00));
        store_f32(odd, _mm512_shuffle_f32x4(ab, cd, 0b11_01_11_01));
    }
    by_token
}
