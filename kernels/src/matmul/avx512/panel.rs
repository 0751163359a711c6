//! Many tokens: a strip is unpacked ([`Pages`]), part by part if rows are long
//! ([`PART`]), and multiplied with all tokens, block by block ([`block`]) and, of a
//! block, slice by slice: at most [`SLICE`] octets. Between slices and between parts
//! partial sums wait in memory. Meanwhile tiles ask for what
//! comes next ([`Ahead`]): of few tokens, which stay in the second-level cache, the
//! weights of the next strip, since unpacking them is all reading and multiplying would
//! be none; of many, the tokens of the next slice, which come from wherever there is
//! room for all of them.

use super::block::{self, Ahead, Products, TILES, Tokens};
use super::octet::{Octets, PerLane};
use super::pages::Pages;
use super::tile::{Beside, Folded, ROWS, Sums, TOKEN_PAIRS, TOKENS};
use super::vector::*;
use crate::activation::{Int8Rows, OCTET_LEN, ONES, Pair};
use crate::lines::Lines;
use crate::matmul::Matrix;
use crate::matmul::panel::{Panel, are_few, nth};
use crate::prefetch;
use crate::team::TileMut;
use bytemuck::{Pod, Zeroable};
use std::arch::x86_64::*;
use std::ops::Range;

/// Octets of a block's tokens that stay in the first-level cache.
const SLICE: usize = 6;

/// Octets of a strip that stay in the second, with room for what else there is.
const PART: usize = 8;

/// Sheets whose products are stored side by side.
const SHEETS: usize = 4;

/// Computes a strip; `near`: see [`octet_and_ask`](super::octet::octet_and_ask).
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub fn strip<B: Octets>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    near: bool,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    const { assert!(B::PANEL_OFFSET == 0 || B::MINIMUMS == 0) }
    let octets = weight.cols().div_ceil(OCTET_LEN);
    let sheets = weight.rows().div_ceil(ROWS);
    let few = are_few(x.rows, weight.cols());
    let parts = if few { 1 } else { octets.div_ceil(PART) };
    // Between parts the sums of all blocks wait, between slices those of one.
    let kept = match parts {
        1 => TILES,
        _ => x.rows.div_ceil(TOKENS),
    };
    let mut lines = [&mut panel.sums, &mut panel.products].map(std::mem::take);
    let [sums, folded] = &mut lines;
    let sums = of_lines::<Sums>(sums, sheets * kept);
    let folded = of_lines::<Folded>(folded, sheets * TILES);
    for part in (0..parts).map(|index| nth(index, parts, 0..octets)) {
        let product = Product {
            pages: &Pages::unpack::<B>(weight, part, near, panel),
            offset: B::PANEL_OFFSET,
            x,
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
/// whole tiles, or at the end the one pair that is left.
fn block_of(first: usize, pairs: usize) -> Range<usize> {
    let left = (pairs - first).min(TILES * TOKEN_PAIRS);
    let whole = left / TOKEN_PAIRS * TOKEN_PAIRS;
    first..first + if whole > 0 { whole } else { left }
}

/// A part of a strip's inputs, times all tokens.
struct Product<'a> {
    pages: &'a Pages<'a>,
    /// What was added to the quants.
    offset: i32,
    x: Int8Rows<'a>,
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
        let slices = part.len().div_ceil(SLICE);
        let slice = |index: usize| nth(index, slices, part.clone());
        let mut beside = [[Beside::zeroed(); TOKEN_PAIRS]; TILES * SLICE];
        let pairs = self.x.rows.div_ceil(2);
        let mut ahead = Ahead::after(self.weights);
        let mut block = block_of(0, pairs);
        while !block.is_empty() {
            let next = block_of(block.end, pairs);
            let tiles = block.len().div_ceil(TOKEN_PAIRS);
            let tokens = 2 * block.start..self.x.rows.min(2 * block.end);
            let first_kept = if whole { 0 } else { block.start / TOKEN_PAIRS };
            let sums = &mut all_sums[sheets * first_kept..][..sheets * tiles];
            let folded = &mut folded[..sheets * tiles];
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
                let beside = &mut beside[..tiles * range.len()];
                self.put_beside_block::<HALVES, MINIMUMS>(pairs, range.clone(), beside);
                if !self.few && index + 1 < slices {
                    ahead = Ahead::tokens(pairs, octets, slice(index + 1));
                } else if !self.few && !next.is_empty() {
                    ahead = Ahead::tokens(self.x.pairs(next.clone()), octets, slice(0));
                }
                let tokens = Tokens { pairs, beside };
                let products = Products { sums, folded };
                let weights = self.pages.slice(range);
                block::multiply::<HALVES, MINIMUMS>(weights, tokens, products, &mut ahead);
            }
            if ends {
                put_out(folded, tiles, tokens, out);
            }
            block = next;
        }
    }

    /// Puts beside some octets of a block's tiles what goes with them; the last pair
    /// stands in for one that there is not.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx2")]
    fn put_beside_block<const HALVES: bool, const MINIMUMS: usize>(
        &self,
        pairs: &[Pair],
        range: Range<usize>,
        beside: &mut [[Beside; TOKEN_PAIRS]],
    ) {
        let octets = self.pages.octets;
        let last = pairs.len() / octets - 1;
        for (tile, beside) in beside.chunks_exact_mut(range.len()).enumerate() {
            for (octet, beside) in range.clone().zip(beside) {
                for (pair, beside) in beside.iter_mut().enumerate() {
                    let pair = last.min(TOKEN_PAIRS * tile + pair);
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

/// Brings the products of so many tiles, of each sheet, to where those of their tokens
/// go.
#[target_feature(enable = "avx512f")]
fn put_out(folded: &[Folded], tiles: usize, tokens: Range<usize>, out: &mut TileMut<'_>) {
    for (sheets, folded) in folded.chunks(SHEETS * tiles).enumerate() {
        for (tile, first) in tokens.clone().step_by(TOKENS).enumerate() {
            let rows = by_token(folded, tile, tiles);
            for (token, rows) in (first..tokens.end).zip(&rows) {
                let to = &mut out.row(out.rows().start + token)[sheets * SHEETS * ROWS..];
                match to.first_chunk_mut() {
                    Some(to) => store_f32(to, load_f32(rows)),
                    None => to.copy_from_slice(&rows[..to.len()]),
                }
            }
        }
    }
}

/// What a tile's tokens have of up to four sheets side by side, of products with so
/// many tiles: `[token][row]`.
#[inline]
#[target_feature(enable = "avx512f")]
fn by_token(folded: &[Folded], tile: usize, tiles: usize) -> [PerLane<f32>; TOKENS] {
    let sheets = folded.len() / tiles;
    let sheet = |sheet: usize| {
        let Folded(folded) = &folded[sheet.min(sheets - 1) * tiles + tile];
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
    let mut by_token = [[0.0; 16]; TOKENS];
    for (two, [ab, cd]) in by_token
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip([first, last])
    {
        let [even, odd] = two;
        store_f32(even, _mm512_shuffle_f32x4(ab, cd, 0b10_00_10_00));
        store_f32(odd, _mm512_shuffle_f32x4(ab, cd, 0b11_01_11_01));
    }
    by_token
}
