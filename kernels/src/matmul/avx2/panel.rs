//! Many tokens: a strip is unpacked into a panel, eight rows side by side in a
//! *sheet*, and multiplied with all tokens.
//!
//! ```text
//! q   [sheet][octet][group][step][row][4]      steps of 4 weights, see crate::matmul::panel
//! d   [sheet][octet][group][row]
//! m   [half][sheet][octet][group][row]
//! s   [sheet][octet][group][row][2]            sub-scales of the two halves
//! ```
//!
//! 8-bit quants stand as two planes of 4 bits, `q + OFFSET = 16 · high + low`,
//! first the 8 steps of the low ones: eight products of each fit in 16 bits,
//! two of the whole.
//!
//! A tile is [`SHEETS`] sheets by [`TOKENS`] tokens. Its outputs have eight
//! partial sums each, too many for registers: they stay in the first-level
//! cache, one load and one store per group.
//!
//! Three levels of cache: for a stretch of [`CHUNK_BYTES`] of activations, for
//! each pair of sheets, for each slice of [`SLICE`] octets of it, all tiles.

use super::in_place::zero_padded;
use super::octet::{Octet, Octets, Quants, Row, load, load_f32};
use crate::activation::{Int8Rows, OCTET, OCTET_LEN};
use crate::format::{GROUP, Minimum, blocks};
use crate::matmul::Matrix;
use crate::matmul::panel::Panel;
use crate::team::TileMut;
use std::arch::x86_64::*;

/// Rows in a sheet.
const ROWS: usize = 8;
/// Sheets in a tile.
const SHEETS: usize = 2;
/// Tokens in a tile.
const TOKENS: usize = 4;
/// Octets of a pair of sheets that stay in the first-level cache.
const SLICE: usize = 4;
/// Activations that stay in the second-level cache beside the panel.
const CHUNK_BYTES: usize = 128 << 10;

/// Four weights of eight rows.
type Step = [u8; 32];
/// A value for each row of a sheet.
type Lane<T> = [T; ROWS];

/// Steps of a group.
const fn steps<B: Octets>() -> usize {
    match B::QUANTS {
        Quants::Bits8 => 16,
        _ => 8,
    }
}

/// Computes a strip.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn strip<B: Octets>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    let sheets = weight.rows().div_ceil(ROWS);
    let octets = x.padded / OCTET_LEN;
    let groups = weight.cols() / GROUP;
    let mut parts = Parts {
        octets,
        q: panel.q.get(sheets * octets * OCTET * steps::<B>()),
        d: panel.d.get(sheets * octets * OCTET),
        m: panel.m.get(if B::MINIMUM == Minimum::None {
            0
        } else {
            2 * sheets * octets * OCTET
        }),
        s: panel.s.get(if B::SUBSCALES {
            sheets * octets * OCTET
        } else {
            0
        }),
    };
    for sheet in 0..sheets {
        parts.unpack::<B>(weight, sheet);
    }

    let chunk = (CHUNK_BYTES / x.padded)
        .next_multiple_of(TOKENS)
        .min(x.rows);
    let sums = panel.sums.get(chunk * SHEETS * OCTET);
    for first in (0..x.rows).step_by(chunk) {
        let count = chunk.min(x.rows - first);
        for sheet in (0..sheets).step_by(SHEETS) {
            let tokens = first..first + count;
            match sheets - sheet {
                1 => tiles::<B, 1>(&parts, sheet, groups, x, tokens, sums, out),
                _ => tiles::<B, SHEETS>(&parts, sheet, groups, x, tokens, sums, out),
            }
        }
    }
}

/// The arrays of a panel.
struct Parts<'a> {
    octets: usize,
    q: &'a mut [Step],
    d: &'a mut [Lane<f32>],
    m: &'a mut [Lane<f32>],
    s: &'a mut [Lane<[i16; 2]>],
}

/// An octet of a sheet.
#[derive(Clone, Copy)]
struct Piece<'a> {
    q: &'a [Step],
    d: &'a [Lane<f32>; OCTET],
    m: [&'a [Lane<f32>; OCTET]; 2],
    s: &'a [Lane<[i16; 2]>; OCTET],
}

impl Parts<'_> {
    /// Unpacks the rows of a sheet; the last row stands in for those that the
    /// matrix does not have.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn unpack<B: Octets>(&mut self, weight: Matrix<'_>, sheet: usize) {
        let last = weight.rows() - 1;
        let mut rows = [&[][..]; ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = blocks::<B>(weight.row(last.min(sheet * ROWS + i)));
        }
        let half = self.m.len() / 2;
        for o in 0..self.octets {
            let mut octets = [Octet::new([_mm256_setzero_si256(); 8], _mm256_setzero_ps()); ROWS];
            for (octet, row) in octets.iter_mut().zip(rows) {
                let rest = &row[o * B::BLOCKS..];
                *octet = match rest.get(..B::BLOCKS) {
                    // SAFETY: this function has the features.
                    Some(blocks) => unsafe { B::octet(blocks) },
                    None => zero_padded(rest),
                };
            }
            let at = (sheet * self.octets + o) * OCTET;
            let q = &mut self.q[at * steps::<B>()..][..OCTET * steps::<B>()];
            for i in 0..8 {
                let mut column = [_mm256_setzero_si256(); ROWS];
                for (c, octet) in column.iter_mut().zip(&octets) {
                    *c = octet.q[i];
                }
                // Half `i % 2` of the groups `i / 2` and `i / 2 + 4`.
                for (j, step) in transpose(column).into_iter().enumerate() {
                    let group = i / 2 + j / 4 * 4;
                    let q = &mut q[group * steps::<B>()..][..steps::<B>()];
                    let at = i % 2 * 4 + j % 4;
                    if B::QUANTS == Quants::Bits8 {
                        let mask = _mm256_set1_epi8(15);
                        let step = _mm256_add_epi8(step, _mm256_set1_epi8(B::OFFSET as i8));
                        store(&mut q[at], _mm256_and_si256(step, mask));
                        let high = _mm256_and_si256(_mm256_srli_epi16(step, 4), mask);
                        store(&mut q[at + 8], high);
                    } else {
                        store(&mut q[at], step);
                    }
                }
            }
            let mut column = [_mm256_setzero_si256(); ROWS];
            for (c, octet) in column.iter_mut().zip(&octets) {
                *c = _mm256_castps_si256(octet.d);
            }
            store_lanes(&mut self.d[at..][..OCTET], transpose(column));
            if B::MINIMUM != Minimum::None {
                for h in 0..2 {
                    for (c, octet) in column.iter_mut().zip(&octets) {
                        *c = _mm256_castps_si256(octet.m[h]);
                    }
                    store_lanes(&mut self.m[h * half + at..][..OCTET], transpose(column));
                }
            }
            if B::SUBSCALES {
                for (c, octet) in column.iter_mut().zip(&octets) {
                    *c = octet.s;
                }
                store_lanes(&mut self.s[at..][..OCTET], transpose(column));
            }
        }
    }

    fn piece<B: Octets>(&self, sheet: usize, octet: usize) -> Piece<'_> {
        static NO_MINIMUMS: [Lane<f32>; OCTET] = [[0.0; ROWS]; OCTET];
        static NO_SUBSCALES: [Lane<[i16; 2]>; OCTET] = [[[1; 2]; ROWS]; OCTET];
        let at = (sheet * self.octets + octet) * OCTET;
        let half = self.m.len() / 2;
        Piece {
            q: &self.q[at * steps::<B>()..][..OCTET * steps::<B>()],
            d: self.d[at..].first_chunk().expect("an octet"),
            m: match B::MINIMUM {
                Minimum::None => [&NO_MINIMUMS; 2],
                _ => [
                    self.m[at..].first_chunk().expect("an octet"),
                    self.m[half + at..].first_chunk().expect("an octet"),
                ],
            },
            s: match B::SUBSCALES {
                false => &NO_SUBSCALES,
                true => self.s[at..].first_chunk().expect("an octet"),
            },
        }
    }
}

/// The eight partial sums of eight rows and a token.
type Sums = [Lane<f32>; OCTET];

/// Multiplies `S` sheets with a stretch of tokens.
#[target_feature(enable = "avx2,fma,f16c")]
fn tiles<B: Octets, const S: usize>(
    parts: &Parts<'_>,
    sheet: usize,
    groups: usize,
    x: Int8Rows<'_>,
    tokens: std::ops::Range<usize>,
    sums: &mut [Lane<f32>],
    out: &mut TileMut<'_>,
) {
    let (sums, _) = sums.as_chunks_mut::<OCTET>();
    let (sums, _) = sums.as_chunks_mut::<S>();
    let sums: &mut [[Sums; S]] = &mut sums[..tokens.len()];
    sums.fill([[[0.0; ROWS]; OCTET]; S]);
    for slice in (0..parts.octets).step_by(SLICE) {
        let (quads, rest) = sums.as_chunks_mut::<TOKENS>();
        let octets = slice..parts.octets.min(slice + SLICE);
        for (i, sums) in quads.iter_mut().enumerate() {
            let mut rows = [Row::EMPTY; TOKENS];
            for (t, row) in rows.iter_mut().enumerate() {
                *row = Row::new(x.row(tokens.start + i * TOKENS + t));
            }
            tile::<B, S, TOKENS>(parts, sheet, octets.clone(), groups, &rows, sums);
        }
        let done = quads.len() * TOKENS;
        for (i, sums) in rest.iter_mut().enumerate() {
            let row = Row::new(x.row(tokens.start + done + i));
            let sums = std::array::from_mut(sums);
            tile::<B, S, 1>(parts, sheet, octets.clone(), groups, &[row], sums);
        }
    }
    let cols = out.cols();
    for (sums, token) in sums.iter().zip(tokens) {
        let row = out.rows().start + token;
        let outs = &mut out.row(row)[sheet * ROWS..cols.len().min((sheet + S) * ROWS)];
        for (outs, sums) in outs.chunks_mut(ROWS).zip(sums) {
            let folded = fold(sums);
            outs.copy_from_slice(&folded[..outs.len()]);
        }
    }
}

/// Adds the products of octets of `S` sheets with `T` tokens.
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<B: Octets, const S: usize, const T: usize>(
    parts: &Parts<'_>,
    sheet: usize,
    octets: std::ops::Range<usize>,
    groups: usize,
    x: &[Row<'_>; T],
    sums: &mut [[Sums; S]; T],
) {
    for o in octets {
        let mut pieces = [parts.piece::<B>(sheet, o); S];
        for (s, piece) in pieces.iter_mut().enumerate() {
            *piece = parts.piece::<B>(sheet + s, o);
        }
        for g in 0..OCTET.min(groups - o * OCTET) {
            group::<B, S, T>(&pieces, x, o, g, sums);
        }
    }
}

/// Adds the products of one group.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn group<B: Octets, const S: usize, const T: usize>(
    pieces: &[Piece<'_>; S],
    x: &[Row<'_>; T],
    o: usize,
    g: usize,
    sums: &mut [[Sums; S]; T],
) {
    let mut isums = [[_mm256_setzero_si256(); S]; T];
    let ones = _mm256_set1_epi16(1);
    let offset = _mm256_set1_epi16(i16::from(B::OFFSET));
    // Steps whose products fit in 16 bits.
    let fit = match B::QUANTS {
        Quants::Bits4 | Quants::Bits8 => 8,
        Quants::Bits5 => 4,
        Quants::Bits6 => 2,
    };
    let fit = if B::SUBSCALES && fit == 8 { 4 } else { fit };
    for run in 0..steps::<B>() / fit {
        let mut products = [[_mm256_setzero_si256(); S]; T];
        for step in 0..fit {
            let step = run * fit + step;
            let mut w = [_mm256_setzero_si256(); S];
            for (w, piece) in w.iter_mut().zip(pieces) {
                *w = load(&piece.q[g * steps::<B>() + step]);
            }
            // In the paired order of activations.
            let at = 16 * (g % 4) + 4 * (g / 4) + 8 * (step / 4 % 2) + step % 4;
            for (products, x) in products.iter_mut().zip(x) {
                let four: &[[i8; 4]; OCTET_LEN / 4] = bytemuck::cast_ref(&x.q[o]);
                let four = _mm256_set1_epi32(i32::from_le_bytes(four[at].map(|x| x as u8)));
                for (product, w) in products.iter_mut().zip(w) {
                    *product = _mm256_add_epi16(*product, _mm256_maddubs_epi16(w, four));
                }
            }
        }
        let half = run * fit / 4;
        let weights = if B::QUANTS == Quants::Bits8 && run == 1 {
            _mm256_set1_epi16(16)
        } else {
            ones
        };
        for t in 0..T {
            for s in 0..S {
                let weights = if B::SUBSCALES {
                    let scales = load(bytemuck::cast_ref(&pieces[s].s[g]));
                    pick(scales, half)
                } else {
                    weights
                };
                let sum = _mm256_madd_epi16(products[t][s], weights);
                isums[t][s] = _mm256_add_epi32(isums[t][s], sum);
            }
        }
    }
    for t in 0..T {
        let x_sums: &[i32; OCTET] = bytemuck::cast_ref(&x[t].sums[o]);
        let x_sums = _mm256_set1_epi32(x_sums[g]);
        let x_offset = _mm256_madd_epi16(offset, x_sums);
        let dx = _mm256_set1_ps(x[t].d[o][g]);
        for s in 0..S {
            let mut isum = isums[t][s];
            if B::SUBSCALES {
                let scales = load(bytemuck::cast_ref(&pieces[s].s[g]));
                let scales = _mm256_mullo_epi16(scales, offset);
                isum = _mm256_sub_epi32(isum, _mm256_madd_epi16(scales, x_sums));
            } else if B::OFFSET != 0 {
                isum = _mm256_sub_epi32(isum, x_offset);
            }
            let sums = &mut sums[t][s][g];
            let d = _mm256_mul_ps(load_f32(&pieces[s].d[g]), dx);
            let mut acc = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(isum), load_f32(sums));
            match B::MINIMUM {
                Minimum::None => {}
                Minimum::Per32 => {
                    let xsum = _mm256_set1_ps(x[t].xsum[o][g]);
                    acc = _mm256_fmadd_ps(load_f32(&pieces[s].m[0][g]), xsum, acc);
                }
                Minimum::Per16 => {
                    for h in 0..2 {
                        let xsum = x[t].d[o][g] * f32::from(x[t].sums[o][2 * g + h]);
                        let m = load_f32(&pieces[s].m[h][g]);
                        acc = _mm256_fmadd_ps(m, _mm256_set1_ps(xsum), acc);
                    }
                }
            }
            store(bytemuck::cast_mut(sums), _mm256_castps_si256(acc));
        }
    }
}

/// The sub-scales of one half, in both 16-bit places of each row.
#[inline]
#[target_feature(enable = "avx2")]
fn pick(scales: __m256i, half: usize) -> __m256i {
    let first = _mm256_setr_epi8(
        0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13, 0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12,
        13, 12, 13,
    );
    let bytes = _mm256_add_epi8(first, _mm256_set1_epi8(2 * half as i8));
    _mm256_shuffle_epi8(scales, bytes)
}

/// Folds the partial sums of eight rows in halves.
#[inline]
#[target_feature(enable = "avx2")]
fn fold(sums: &Sums) -> Lane<f32> {
    let mut p = [_mm256_setzero_ps(); OCTET];
    for (p, sums) in p.iter_mut().zip(sums) {
        *p = load_f32(sums);
    }
    for half in [4, 2, 1] {
        for i in 0..half {
            p[i] = _mm256_add_ps(p[i], p[i + half]);
        }
    }
    let mut folded = [0.0; ROWS];
    store(bytemuck::cast_mut(&mut folded), _mm256_castps_si256(p[0]));
    folded
}

/// Transposes eight rows of eight 32-bit elements.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    let quad = |a, b, c, d| {
        let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab_low, cd_low),
            _mm256_unpackhi_epi64(ab_low, cd_low),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ]
    };
    let (upper, lower) = (quad(a, b, c, d), quad(e, f, g, h));
    let mut out = [_mm256_setzero_si256(); 8];
    for i in 0..4 {
        out[i] = _mm256_permute2x128_si256(upper[i], lower[i], 0x20);
        out[i + 4] = _mm256_permute2x128_si256(upper[i], lower[i], 0x31);
    }
    out
}

/// Stores 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn store(to: &mut [u8; 32], value: __m256i) {
    // SAFETY: 32 bytes are writable; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

/// Stores eight vectors of 32-bit elements.
#[inline]
#[target_feature(enable = "avx2")]
fn store_lanes<T: bytemuck::Pod>(to: &mut [Lane<T>], values: [__m256i; 8])
where
    Lane<T>: bytemuck::Pod,
{
    for (to, value) in to.iter_mut().zip(values) {
        store(bytemuck::cast_mut(to), value);
    }
}
