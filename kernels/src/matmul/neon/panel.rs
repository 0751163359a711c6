//! Many tokens: a strip is unpacked into a panel, four rows side by side in a
//! *quad*, and multiplied with all tokens.
//!
//! ```text
//! q      [quad][group][half][64]       16 weights of four rows, see Level::arrange
//! d      [quad][half][group][row]      two if halves are apart
//! m      [quad][group][half][row]
//! s      [quad][group][half][row]      sub-scales
//! sums   [token][quad][residue][row]   partial sums of a chunk of tokens
//! ```
//!
//! A tile is [`QUADS`] quads by [`PAIRS`] pairs of tokens. Its outputs have
//! eight partial sums each, too many for registers: they stay in the
//! first-level cache, one load and one store per group.
//!
//! For a chunk of tokens, for each [`QUADS`] quads, for each slice of
//! [`SLICE`] octets of them, all tiles.

use super::level::{Level, Op};
use super::octet::{Octets, PerGroup, Row, minimums, zero_padded};
use super::vector::*;
use crate::activation::{Int8Rows, OCTET, OCTET_LEN, half_offset};
use crate::format::{GROUP, blocks};
use crate::inlined::{self, zip};
use crate::matmul::Matrix;
use crate::matmul::panel::Panel;
use crate::team::TileMut;
use std::arch::aarch64::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows in a quad.
const ROWS: usize = 4;
/// Quads in a tile.
const QUADS: usize = 2;
/// Pairs of tokens in a tile.
const PAIRS: usize = 2;
/// Octets of a tile's quads that stay in the first-level cache.
const SLICE: usize = 4;
/// Activations that stay in the second-level cache beside the panel.
const CHUNK_BYTES: usize = 128 << 10;

/// Quants of a group of four rows.
type Quants = [[[i8; 16]; ROWS]; 2];
/// A value for each of four rows and each group of an octet.
type Values = [[f32; ROWS]; OCTET];
/// Sub-scales of the halves of each group.
type Subscales = [[i16; 2 * ROWS]; OCTET];

/// Marks the use of an instruction.
macro_rules! simd {
    ($($body:tt)*) => {
        // SAFETY: the code runs on a level, whose token proves that the
        // processor has Advanced SIMD.
        unsafe { $($body)* }
    };
}

/// Computes a strip.
pub fn strip<L: Level, B: Octets>(
    l: L,
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    let octets = x.padded / OCTET_LEN;
    let count = weight.rows().div_ceil(ROWS) * octets;
    let per_group = count * OCTET * ROWS;
    let mut pages = Pages {
        rows: weight.rows(),
        groups: weight.cols() / GROUP,
        octets,
        minimums: minimums::<B>(),
        scales: B::SCALES,
        q: bytemuck::cast_slice_mut(panel.q.resize(per_group * GROUP)),
        d: bytemuck::cast_slice_mut(panel.d.resize(per_group * B::SCALES)),
        m: bytemuck::cast_slice_mut(panel.m.resize(per_group * minimums::<B>())),
        s: bytemuck::cast_slice_mut(panel.s.resize(2 * per_group * usize::from(B::FACTORS))),
    };
    l.call(Unpack::<B> {
        weight,
        pages: &mut pages,
        _format: PhantomData,
    });
    let chunk = (CHUNK_BYTES / x.padded)
        .next_multiple_of(2 * PAIRS)
        .min(x.rows);
    for first in (0..x.rows).step_by(chunk) {
        let tokens = first..x.rows.min(first + chunk);
        let sums = &mut panel.sums;
        let len = tokens.len() * weight.rows().div_ceil(ROWS) * OCTET * ROWS;
        let sums: &mut [Values] = bytemuck::cast_slice_mut(sums.resize(len));
        let (pages, out) = (&pages, &mut *out);
        // One copy of the multiplication for all formats of a kind.
        macro_rules! multiply {
            ($scaling:ident, $minimums:literal) => {
                l.call(Multiply::<{ $scaling }, $minimums> {
                    pages,
                    x,
                    tokens,
                    sums,
                    out,
                })
            };
        }
        match (scaling::<B>(), minimums::<B>()) {
            (GROUPS, 0) => multiply!(GROUPS, 0),
            (GROUPS, _) => multiply!(GROUPS, 1),
            (FACTORS, 0) => multiply!(FACTORS, 0),
            (FACTORS, _) => multiply!(FACTORS, 2),
            (_, _) => multiply!(HALVES, 0),
        }
    }
}

/// One scale for a group.
const GROUPS: u8 = 0;
/// And sub-scales that are factors of the quants.
const FACTORS: u8 = 1;
/// Scales for halves, which are apart.
const HALVES: u8 = 2;

/// How a format's sums are scaled.
const fn scaling<B: Octets>() -> u8 {
    if B::HALVES_APART {
        HALVES
    } else if B::FACTORS {
        FACTORS
    } else {
        GROUPS
    }
}

/// The arrays of a panel.
struct Pages<'a> {
    rows: usize,
    groups: usize,
    octets: usize,
    minimums: usize,
    /// Scales of a group.
    scales: usize,
    q: &'a mut [[Quants; OCTET]],
    d: &'a mut [Values],
    m: &'a mut [Values],
    s: &'a mut [Subscales],
}

/// Unpacks a strip; the last row stands in for those that the matrix does not
/// have.
struct Unpack<'a, 'p, 'q, B> {
    weight: Matrix<'a>,
    pages: &'p mut Pages<'q>,
    _format: PhantomData<B>,
}

impl<B: Octets> Op for Unpack<'_, '_, '_, B> {
    #[inline(always)]
    fn run<L: Level>(self, l: L) {
        let Unpack { weight, pages, .. } = self;
        let last = weight.rows() - 1;
        for quad in 0..weight.rows().div_ceil(ROWS) {
            let rows: [&[B]; ROWS] =
                inlined::from_fn(|r| blocks(weight.row(last.min(quad * ROWS + r))));
            for o in 0..pages.octets {
                let octets = inlined::map(rows, |row| {
                    let rest = &row[o * B::BLOCKS..];
                    match rest.get(..B::BLOCKS) {
                        Some(blocks) => simd! { B::octet(blocks) },
                        None => simd! { zero_padded(rest) },
                    }
                });
                let at = quad * pages.octets + o;
                for (g, q) in pages.q[at].iter_mut().enumerate() {
                    for (half, q) in q.iter_mut().enumerate() {
                        let rows =
                            l.arrange(inlined::map(octets.each_ref(), |octet| octet.q[g][half]));
                        for (to, row) in zip(q.iter_mut(), rows) {
                            simd! { store_i8(to, row) };
                        }
                    }
                }
                if B::HALVES_APART {
                    let halves = inlined::map(
                        octets.each_ref(),
                        |octet| simd! { octet.scales_of_halves() },
                    );
                    for half in 0..2 {
                        let rows = inlined::map(halves, |halves| halves[half]);
                        simd! { store_rows(&mut pages.d[2 * at + half], rows) };
                    }
                } else {
                    simd! { store_rows(&mut pages.d[at], inlined::map(octets.each_ref(), |octet| octet.d)) };
                }
                let minimums = at * pages.minimums..(at + 1) * pages.minimums;
                for (half, to) in pages.m[minimums].iter_mut().enumerate() {
                    simd! { store_rows(to, inlined::map(octets.each_ref(), |octet| octet.m[half])) };
                }
                if B::FACTORS {
                    let mut scales = [[0; 2 * OCTET]; ROWS];
                    for (scales, octet) in zip(scales.iter_mut(), &octets) {
                        let [low, high] = scales.as_chunks_mut().0 else {
                            unreachable!("sixteen are twice eight")
                        };
                        simd! {
                            store_i16(low, octet.s[0]);
                            store_i16(high, octet.s[1]);
                        }
                    }
                    for (g, to) in pages.s[at].iter_mut().enumerate() {
                        *to = inlined::from_fn(|i| scales[i % ROWS][2 * g + i / ROWS]);
                    }
                }
            }
        }
    }
}

/// Stores the values of four rows by group.
#[inline]
#[target_feature(enable = "neon")]
fn store_rows(to: &mut Values, rows: [PerGroup; ROWS]) {
    let (low, high) = to.split_at_mut(OCTET / 2);
    for (i, to) in [low, high].into_iter().enumerate() {
        let columns = transpose_f32(inlined::map(rows, |row| row[i]));
        for (to, column) in zip(to.iter_mut(), columns) {
            store_f32(to, column);
        }
    }
}

/// Multiplies a panel with a chunk of tokens.
struct Multiply<'p, 'q, 'a, 't, 'o, const SCALING: u8, const MINIMUMS: usize> {
    pages: &'p Pages<'q>,
    x: Int8Rows<'a>,
    tokens: Range<usize>,
    sums: &'t mut [Values],
    out: &'t mut TileMut<'o>,
}

impl<const SCALING: u8, const MINIMUMS: usize> Op
    for Multiply<'_, '_, '_, '_, '_, SCALING, MINIMUMS>
{
    #[inline(always)]
    fn run<L: Level>(mut self, l: L) {
        self.sums.fill([[0.0; ROWS]; OCTET]);
        let quads = self.pages.rows.div_ceil(ROWS);
        for quad in (0..quads).step_by(QUADS) {
            for slice in (0..self.pages.octets).step_by(SLICE) {
                let octets = slice..self.pages.octets.min(slice + SLICE);
                let mut token = self.tokens.start;
                while token < self.tokens.end {
                    let octets = octets.clone();
                    if quads - quad == 1 {
                        self.tile::<L, 1, 1>(l, quad, octets, token);
                        token += 2;
                    } else if self.tokens.end - token <= 2 {
                        self.tile::<L, QUADS, 1>(l, quad, octets, token);
                        token += 2;
                    } else {
                        self.tile::<L, QUADS, PAIRS>(l, quad, octets, token);
                        token += 2 * PAIRS;
                    }
                }
            }
        }
        for (token, sums) in zip(self.tokens.clone(), self.sums.chunks_exact(quads)) {
            let row = self.out.rows().start + token;
            for (outs, sums) in zip(self.out.row(row).chunks_mut(ROWS), sums) {
                outs.copy_from_slice(&simd! { fold_rows(sums) }[..outs.len()]);
            }
        }
    }
}

impl<const SCALING: u8, const MINIMUMS: usize> Multiply<'_, '_, '_, '_, '_, SCALING, MINIMUMS> {
    /// Adds the products of octets of `Q` quads with `P` pairs of tokens. The
    /// last token stands in for those that the chunk does not have; what it
    /// would add to their sums is dropped.
    #[inline(always)]
    fn tile<L: Level, const Q: usize, const P: usize>(
        &mut self,
        l: L,
        quad: usize,
        octets: Range<usize>,
        token: usize,
    ) {
        let pages = self.pages;
        let quads = pages.rows.div_ceil(ROWS);
        let last = self.tokens.end - 1;
        let x: [[Row<'_>; 2]; P] = inlined::from_fn(|p| {
            inlined::from_fn(|t| Row::new(self.x.row(last.min(token + 2 * p + t))))
        });
        for o in octets {
            let at: [usize; Q] = inlined::from_fn(|q| (quad + q) * pages.octets + o);
            let w = inlined::map(at, |at| &pages.q[at]);
            let m: [[&Values; MINIMUMS]; Q] = inlined::map(at, |at| {
                inlined::from_fn(|half| &pages.m[at * MINIMUMS + half])
            });
            let s = inlined::map(at, |at| (SCALING == FACTORS).then(|| &pages.s[at]));
            let q = inlined::map(x, |pair| inlined::map(pair, |x| &x.q[o]));
            for g in 0..OCTET.min(pages.groups - o * OCTET) {
                for part in 0..pages.scales {
                    let halves = match SCALING {
                        HALVES => part..part + 1,
                        _ => 0..2,
                    };
                    let isums = integer_sums::<L, Q, P>(l, w, s, q, g, halves);
                    let d = inlined::map(at, |at| &pages.d[at * pages.scales + part][g]);
                    for (p, pair) in x.iter().enumerate() {
                        for (t, x) in pair.iter().enumerate() {
                            let index = token - self.tokens.start + 2 * p + t;
                            if index >= self.tokens.len() {
                                continue;
                            }
                            let sums = &mut self.sums[index * quads + quad..][..Q];
                            let dx = x.d[o][g];
                            for (i, sums) in sums.iter_mut().enumerate() {
                                let sums = &mut sums[g];
                                simd! {
                                    let isum = vcvtq_f32_s32(isums[p][i][t]);
                                    let scaled = vmulq_n_f32(isum, dx);
                                    let mut acc = vfmaq_f32(load_f32(sums), load_f32(d[i]), scaled);
                                    for (half, m) in m[i].iter().enumerate() {
                                        let xsum = if MINIMUMS == 1 {
                                            x.xsum[o][g]
                                        } else {
                                            dx * f32::from(x.sums[o][2 * g + half])
                                        };
                                        acc = vfmaq_n_f32(acc, load_f32(&m[g]), xsum);
                                    }
                                    store_f32(sums, acc);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The integer sums of some halves of group `g`: for each pair of tokens and each
/// quad, those of both tokens.
///
/// In loops: the closures of `map` are not sure to be inlined.
#[inline(always)]
fn integer_sums<L: Level, const Q: usize, const P: usize>(
    l: L,
    w: [&[Quants; OCTET]; Q],
    s: [Option<&Subscales>; Q],
    x: [[&[[i8; 16]; 2 * OCTET]; 2]; P],
    g: usize,
    halves: Range<usize>,
) -> [[[int32x4_t; 2]; Q]; P] {
    let zero = simd! { [vdupq_n_s32(0); 2] };
    let mut isums = [[zero; Q]; P];
    let mut first = [[zero; Q]; P];
    for half in halves {
        for (q, w) in w.iter().enumerate() {
            let [a, b, c, d] = &w[g][half];
            let w = simd! { [load_i8(a), load_i8(b), load_i8(c), load_i8(d)] };
            for (isums, [x0, x1]) in zip(isums.iter_mut(), x) {
                let at = half_offset(2 * g + half) / 16;
                let x = simd! { [load_i8(&x0[at]), load_i8(&x1[at])] };
                isums[q] = l.add_quad(isums[q], w, x);
            }
        }
        if half == 0 && s[0].is_some() {
            first = std::mem::replace(&mut isums, [[zero; Q]; P]);
        }
    }
    for (isums, first) in zip(isums.iter_mut(), first) {
        for ((isums, first), s) in zip(zip(isums.iter_mut(), first), s) {
            *isums = l.by_token(*isums);
            if let Some(s) = s {
                let first = l.by_token(first);
                for (isum, first) in zip(isums.iter_mut(), first) {
                    simd! {
                        let s = load_i16(&s[g]);
                        let first = vmulq_s32(first, vmovl_s16(vget_low_s16(s)));
                        *isum = vmlaq_s32(first, *isum, vmovl_high_s16(s));
                    }
                }
            }
        }
    }
    isums
}

/// Folds the partial sums of four rows in halves.
#[inline]
#[target_feature(enable = "neon")]
fn fold_rows(sums: &Values) -> [f32; ROWS] {
    let mut p = [vdupq_n_f32(0.0); OCTET];
    for (p, sums) in zip(p.iter_mut(), sums) {
        *p = load_f32(sums);
    }
    for half in [4, 2, 1] {
        for i in 0..half {
            p[i] = vaddq_f32(p[i], p[i + half]);
        }
    }
    let mut folded = [0.0; ROWS];
    store_f32(&mut folded, p[0]);
    folded
}
