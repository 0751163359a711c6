//! Many tokens: a strip is unpacked ([`Pages`]), eight rows side by side in a
//! *sheet*, and multiplied with all tokens.
//!
//! A tile ([`Level::tile`]) is [`SHEETS`] sheets by [`TOKENS`] tokens. Its
//! outputs have eight partial sums each, too many for registers: they stay in
//! the first-level cache, one load and one store per group.
//!
//! Three levels of cache: for a stretch of [`CHUNK_BYTES`] of activations, for
//! each pair of sheets, for each slice of [`SLICE`] octets of it, all tiles.

use super::level::Level;
use super::octet::Octets;
use super::pages::{Pages, ROWS, Sums};
use super::tokens::Tokens;
use super::vector::*;
use crate::activation::{Int8Rows, OCTET};
use crate::inlined::zip;
use crate::matmul::Matrix;
use crate::matmul::panel::Panel;
use crate::prefetch;
use crate::team::TileMut;
use std::arch::x86_64::*;
use std::ops::Range;

/// Sheets in a tile.
const SHEETS: usize = 2;
/// Tokens in a tile.
const TOKENS: usize = 6;
/// Octets of a pair of sheets that stay in the first-level cache.
const SLICE: usize = 8;
/// Quants of activations that stay in the second-level cache beside the panel.
const CHUNK_BYTES: usize = 128 << 10;

/// Computes a strip.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn strip<L: Level, B: Octets>(
    l: L,
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    // Whole tiles: fewer kinds of tiles are less code to compile.
    let sheets = weight.rows().div_ceil(ROWS).next_multiple_of(SHEETS);
    let mut sums = std::mem::take(&mut panel.sums);
    let mut arranged = std::mem::take(&mut panel.x);
    let pages = Pages::unpack::<L, B>(l, weight, sheets, panel);
    let quant_bytes = if L::multiplies_words::<B>() { 2 } else { 1 };
    let chunk = (CHUNK_BYTES / (quant_bytes * x.padded))
        .next_multiple_of(2 * TOKENS)
        .min(x.rows);
    for first in (0..x.rows).step_by(chunk) {
        let tokens = first..x.rows.min(first + chunk);
        let len = tokens.len() * SHEETS * OCTET * ROWS;
        let sums: &mut [[Sums; SHEETS]] = bytemuck::cast_slice_mut(sums.resize(len));
        let x = Tokens::arrange::<L, B>(l, x, tokens.clone(), &mut arranged);
        for sheet in (0..sheets).step_by(SHEETS) {
            sweep::<L, B>(l, &pages, sheet, &x, tokens.clone(), sums, out);
        }
    }
    (panel.x, panel.sums) = (arranged, sums);
}

/// Multiplies the sheets of a tile with a stretch of tokens; what is left over
/// from [`TOKENS`] is done in pairs, then alone.
#[target_feature(enable = "avx2,fma,f16c")]
fn sweep<L: Level, B: Octets>(
    l: L,
    pages: &Pages<'_>,
    sheet: usize,
    x: &Tokens<'_>,
    tokens: Range<usize>,
    sums: &mut [[Sums; SHEETS]],
    out: &mut TileMut<'_>,
) {
    let width = out.cols().len();
    let outs = sheet * ROWS..width.min((sheet + SHEETS) * ROWS);
    for token in tokens.clone() {
        // Outputs lie far apart and in no cache.
        let row = out.rows().start + token;
        prefetch::all_to_level(false, &out.row(row)[outs.clone()], 0);
    }
    sums.fill([[[0.0; ROWS]; OCTET]; SHEETS]);
    for slice in (0..pages.octets).step_by(SLICE) {
        let octets = slice..pages.octets.min(slice + SLICE);
        let (many, rest) = sums.as_chunks_mut::<TOKENS>();
        let (pairs, single) = rest.as_chunks_mut::<2>();
        let mut token = 0;
        for sums in many {
            if L::takes_half::<B>() {
                for half in sums.as_chunks_mut::<{ TOKENS / 2 }>().0 {
                    tile::<L, B, { TOKENS / 2 }>(l, pages, sheet, octets.clone(), x, token, half);
                    token += TOKENS / 2;
                }
                continue;
            }
            tile::<L, B, TOKENS>(l, pages, sheet, octets.clone(), x, token, sums);
            token += TOKENS;
        }
        for sums in pairs {
            tile::<L, B, 2>(l, pages, sheet, octets.clone(), x, token, sums);
            token += 2;
        }
        for sums in single {
            let sums = std::array::from_mut(sums);
            tile::<L, B, 1>(l, pages, sheet, octets.clone(), x, token, sums);
            token += 1;
        }
    }
    for (sums, token) in zip(sums.iter(), tokens) {
        let row = out.rows().start + token;
        let outs = &mut out.row(row)[outs.clone()];
        for (outs, sums) in zip(outs.chunks_mut(ROWS), sums) {
            let folded = fold_rows(sums);
            match outs.first_chunk_mut() {
                Some(outs) => store_f32(outs, folded),
                None => {
                    let mut rows = [0.0; ROWS];
                    store_f32(&mut rows, folded);
                    outs.copy_from_slice(&rows[..outs.len()]);
                }
            }
        }
    }
}

/// The tile as a function of its own.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<L: Level, B: Octets, const T: usize>(
    l: L,
    pages: &Pages<'_>,
    sheet: usize,
    octets: Range<usize>,
    x: &Tokens<'_>,
    token: usize,
    sums: &mut [[Sums; SHEETS]; T],
) {
    // SAFETY: this function has the features.
    unsafe { l.tile::<B, SHEETS, T>(pages, sheet, octets, x, token, sums) }
}

/// Folds the partial sums of eight rows in halves.
#[inline]
#[target_feature(enable = "avx2")]
fn fold_rows(sums: &Sums) -> __m256 {
    let mut p = [_mm256_setzero_ps(); OCTET];
    for (p, sums) in zip(p.iter_mut(), sums) {
        *p = load_f32(sums);
    }
    for half in [4, 2, 1] {
        for i in 0..half {
            p[i] = _mm256_add_ps(p[i], p[i + half]);
        }
    }
    p[0]
}
