//! Many tokens: a strip is unpacked ([`Pages`]) and multiplied with all tokens.
//!
//! A tile is [`SHEETS`] sheets by six tokens, or by four where sub-scales need
//! registers. For one group it is
//!
//! ```text
//! 8 steps of   2 loads of 16 rows, 6 broadcasts of 4 activations, 12 VPDPBUSD
//! then         6 × (broadcast, VPMADDWD)            what the sums begin with: − offset · Σ x
//!              12 × (convert, multiply, FMA)        isum · d · dx
//! ```
//!
//! where minimums, if there are any, take the place of the second line with one
//! FMA for each sum. Counted as compiled, with what moves the partial sums, 96
//! of 243 vector instructions are VPDPBUSD (of 283 with minimums, some spilled).
//!
//! Sums with sub-scales, `s[0] · Σ₀ + s[1] · Σ₁`, are made of floats: both
//! products are integers below 2²⁴, so the multiplication is exact and the FMA
//! rounds the exact sum once, as the conversion of the integer would.
//!
//! The 12 partial sums of one residue modulo eight stay in registers through a
//! slice of [`SLICE`] octets and in the second-level cache between slices.
//!
//! Three levels of cache: for a stretch of [`CHUNK_BYTES`] of activations, for
//! each pair of sheets, for each slice of it, all tiles.

use super::pages::{Pages, PerRow, ROWS, SHEETS, Step, minimums};
use super::vector::*;
use crate::activation::{Int8Rows, OCTET, OCTET_LEN};
use crate::matmul::Matrix;
use crate::matmul::avx2::octet::Octets;
use crate::matmul::panel::Panel;
use crate::team::TileMut;
use std::arch::x86_64::*;
use std::ops::Range;

/// Octets of a pair of sheets that stay in the first-level cache.
const SLICE: usize = 2;
/// Activations that stay in the second-level cache beside the panel.
const CHUNK_BYTES: usize = 128 << 10;

/// The eight partial sums of sixteen rows and a token.
type Sums = [PerRow; OCTET];

/// Computes a strip.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
pub fn strip<B: Octets>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    const { assert!(B::OFFSET == 0 || minimums::<B>() == 0) }
    let mut sums = std::mem::take(&mut panel.sums);
    let pages = Pages::unpack::<B>(weight, panel);
    let chunk = (CHUNK_BYTES / x.padded).next_multiple_of(12).min(x.rows);
    let buffer = sums.resize(chunk * SHEETS * OCTET * ROWS);
    for first in (0..x.rows).step_by(chunk) {
        let tokens = first..x.rows.min(first + chunk);
        for sheet in (0..pages.sheets).step_by(SHEETS) {
            let place = Place {
                pages: &pages,
                offset: B::OFFSET,
                sheet,
                x,
            };
            let tokens = tokens.clone();
            match (B::SUBSCALES, minimums::<B>()) {
                (false, 0) => sweep::<false, 0, SHEETS, 6>(place, tokens, buffer, out),
                (false, 1) => sweep::<false, 1, SHEETS, 6>(place, tokens, buffer, out),
                (true, 0) => sweep::<true, 0, SHEETS, 4>(place, tokens, buffer, out),
                (true, 2) => sweep::<true, 2, SHEETS, 4>(place, tokens, buffer, out),
                (subscales, minimums) => {
                    unreachable!("sub-scales: {subscales}, minimums: {minimums}")
                }
            }
        }
    }
    panel.sums = sums;
}

/// What a sweep multiplies: some sheets from `sheet` on, with rows of `x`.
#[derive(Clone, Copy)]
struct Place<'a> {
    pages: &'a Pages<'a>,
    /// What was added to quants.
    offset: u8,
    sheet: usize,
    x: Int8Rows<'a>,
}

/// Multiplies `S` sheets with a stretch of tokens, `T` at a time; what is left
/// over is done in pairs, then alone.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn sweep<const SUBSCALES: bool, const MINIMUMS: usize, const S: usize, const T: usize>(
    place: Place<'_>,
    tokens: Range<usize>,
    sums: &mut [f32],
    out: &mut TileMut<'_>,
) {
    let sums: &mut [Sums] = bytemuck::cast_slice_mut(sums);
    let sums: &mut [[Sums; S]] = &mut sums.as_chunks_mut().0[..tokens.len()];
    sums.fill([[[0.0; ROWS]; OCTET]; S]);
    for slice in (0..place.pages.octets).step_by(SLICE) {
        let octets = slice..place.pages.octets.min(slice + SLICE);
        let (many, rest) = sums.as_chunks_mut::<T>();
        let (pairs, single) = rest.as_chunks_mut::<2>();
        let mut token = tokens.start;
        for sums in many {
            tile::<SUBSCALES, MINIMUMS, S, T>(place, octets.clone(), token, sums);
            token += T;
        }
        for sums in pairs {
            tile::<SUBSCALES, MINIMUMS, S, 2>(place, octets.clone(), token, sums);
            token += 2;
        }
        for sums in single {
            let sums = std::array::from_mut(sums);
            tile::<SUBSCALES, MINIMUMS, S, 1>(place, octets.clone(), token, sums);
            token += 1;
        }
    }
    let width = out.cols().len();
    for (sums, token) in sums.iter().zip(tokens) {
        let row = out.rows().start + token;
        let first = place.sheet * ROWS;
        let outs = &mut out.row(row)[first..width.min(first + S * ROWS)];
        for (outs, sums) in outs.chunks_mut(ROWS).zip(sums) {
            outs.copy_from_slice(&fold_rows(sums)[..outs.len()]);
        }
    }
}

/// Folds the partial sums of sixteen rows in halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold_rows(sums: &Sums) -> PerRow {
    let mut p = [_mm512_setzero_ps(); OCTET];
    for (p, sums) in p.iter_mut().zip(sums) {
        *p = load_f32(sums);
    }
    for half in [4, 2, 1] {
        for i in 0..half {
            p[i] = _mm512_add_ps(p[i], p[i + half]);
        }
    }
    let mut folded = [0.0; ROWS];
    store_f32(&mut folded, p[0]);
    folded
}

/// Adds the products of octets of `S` sheets with `T` tokens.
#[inline(never)]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn tile<const SUBSCALES: bool, const MINIMUMS: usize, const S: usize, const T: usize>(
    place: Place<'_>,
    octets: Range<usize>,
    token: usize,
    sums: &mut [[Sums; S]; T],
) {
    for g in 0..OCTET {
        let mut acc = [[_mm512_setzero_ps(); S]; T];
        for (acc, sums) in acc.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *acc = load_f32(&sums[g]);
        }
        for o in octets.clone() {
            if o * OCTET + g < place.pages.groups {
                let w = Weights::<MINIMUMS, S>::new(&place, o, g);
                let x = Tokens::<T>::new(&place, token, o, g);
                add_group::<SUBSCALES, MINIMUMS, S, T>(&w, &x, place.offset, &mut acc);
            }
        }
        for (acc, sums) in acc.as_flattened().iter().zip(sums.as_flattened_mut()) {
            store_f32(&mut sums[g], *acc);
        }
    }
}

/// One group of `S` sheets.
struct Weights<'a, const MINIMUMS: usize, const S: usize> {
    q: [&'a [Step; 8]; S],
    d: [&'a PerRow; S],
    m: [&'a [PerRow; MINIMUMS]; S],
    /// Empty for formats without sub-scales.
    s: [&'a [[PerRow; 2]]; S],
}

impl<'a, const MINIMUMS: usize, const S: usize> Weights<'a, MINIMUMS, S> {
    #[inline]
    fn new(place: &Place<'a>, octet: usize, g: usize) -> Self {
        let pages = place.pages;
        let at = |s: usize| (place.sheet + s) * pages.octets + octet;
        let group = |s: usize| at(s) * OCTET + g;
        Weights {
            q: std::array::from_fn(|s| &pages.q[at(s)][g]),
            d: std::array::from_fn(|s| &pages.d[at(s)][g]),
            m: std::array::from_fn(|s| {
                let all = &pages.m[group(s) * MINIMUMS..];
                all.first_chunk().expect("minimums of every group")
            }),
            s: std::array::from_fn(|s| pages.s.get(group(s)..).unwrap_or(&[])),
        }
    }
}

/// One group of `T` tokens, `stride` octets apart.
struct Tokens<'a, const T: usize> {
    stride: usize,
    q: &'a [[i8; 4]],
    d: &'a [f32],
    xsum: &'a [f32],
    sums: &'a [[i16; 2]],
}

impl<'a, const T: usize> Tokens<'a, T> {
    #[inline]
    fn new(place: &Place<'a>, token: usize, octet: usize, g: usize) -> Self {
        let x = place.x;
        let stride = x.padded / OCTET_LEN;
        let at = token * stride + octet;
        // In the paired order, steps 4 to 7 lie 32 bytes behind 0 to 3.
        let q = at * (OCTET_LEN / 4) + 16 * (g % 4) + 4 * (g / 4);
        let first = at * OCTET + g;
        let all = first..first + (T - 1) * stride * OCTET + 1;
        Tokens {
            stride,
            q: &x.q.as_chunks().0[q..q + (T - 1) * stride * (OCTET_LEN / 4) + 12],
            d: &x.d[all.clone()],
            xsum: &x.xsum[all.clone()],
            sums: &x.sums.as_chunks().0[all],
        }
    }

    /// The four quants that meet step `step`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn four(&self, t: usize, step: usize) -> __m512i {
        debug_assert!(t < T && step < 8);
        let at = t * self.stride * (OCTET_LEN / 4) + 2 * (step & 4) + (step & 3);
        // SAFETY: `new` cut `q` to the 12 fours from the first of token 0 to
        // the last of token `T - 1`; `t` and `step` are in range.
        broadcast(unsafe { self.q.get_unchecked(at) })
    }

    #[inline]
    fn scale(&self, t: usize) -> f32 {
        debug_assert!(t < T);
        // SAFETY: `new` cut `d` to the values of tokens 0 to `T - 1`.
        unsafe { *self.d.get_unchecked(t * self.stride * OCTET) }
    }

    /// `Σ q` of the two halves.
    #[inline]
    fn sums(&self, t: usize) -> &'a [i16; 2] {
        debug_assert!(t < T);
        // SAFETY: `new` cut `sums` to the values of tokens 0 to `T - 1`.
        unsafe { self.sums.get_unchecked(t * self.stride * OCTET) }
    }

    /// `d · Σ q`.
    #[inline]
    fn xsum(&self, t: usize) -> f32 {
        debug_assert!(t < T);
        // SAFETY: `new` cut `xsum` to the values of tokens 0 to `T - 1`.
        unsafe { *self.xsum.get_unchecked(t * self.stride * OCTET) }
    }
}

/// Adds the products of one group.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn add_group<const SUBSCALES: bool, const MINIMUMS: usize, const S: usize, const T: usize>(
    w: &Weights<'_, MINIMUMS, S>,
    x: &Tokens<'_, T>,
    offset: u8,
    acc: &mut [[__m512; S]; T],
) {
    let isums = float_sums::<SUBSCALES, MINIMUMS, S, T>(w, x, offset);
    for t in 0..T {
        let dx = _mm512_set1_ps(x.scale(t));
        for s in 0..S {
            let d = _mm512_mul_ps(load_f32(w.d[s]), dx);
            acc[t][s] = _mm512_fmadd_ps(d, isums[t][s], acc[t][s]);
        }
        for half in 0..MINIMUMS {
            let xsum = match MINIMUMS {
                1 => x.xsum(t),
                _ => x.scale(t) * f32::from(x.sums(t)[half]),
            };
            let xsum = _mm512_set1_ps(xsum);
            for (acc, m) in acc[t].iter_mut().zip(&w.m) {
                *acc = _mm512_fmadd_ps(load_f32(&m[half]), xsum, *acc);
            }
        }
    }
}

/// The integer sums of a group with their sub-scales, rounded to floats.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn float_sums<const SUBSCALES: bool, const MINIMUMS: usize, const S: usize, const T: usize>(
    w: &Weights<'_, MINIMUMS, S>,
    x: &Tokens<'_, T>,
    offset: u8,
) -> [[__m512; S]; T] {
    let offset = -i32::from(offset);
    let (first, last) = (offset & 0xffff, offset << 16);
    let mut sums = [[_mm512_setzero_ps(); S]; T];
    if SUBSCALES {
        let ends = integer_sums::<MINIMUMS, S, T, 4>(w, x, 4, last);
        for (sums, ends) in sums.iter_mut().zip(ends) {
            for s in 0..S {
                sums[s] = _mm512_mul_ps(_mm512_cvtepi32_ps(ends[s]), load_f32(&w.s[s][0][1]));
            }
        }
        let begins = integer_sums::<MINIMUMS, S, T, 4>(w, x, 0, first);
        for (sums, begins) in sums.iter_mut().zip(begins) {
            for s in 0..S {
                let factor = load_f32(&w.s[s][0][0]);
                sums[s] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(begins[s]), factor, sums[s]);
            }
        }
    } else {
        let isums = integer_sums::<MINIMUMS, S, T, 8>(w, x, 0, first | last);
        for (sums, isums) in sums.iter_mut().zip(isums) {
            for s in 0..S {
                sums[s] = _mm512_cvtepi32_ps(isums[s]);
            }
        }
    }
    sums
}

/// The sums of the products of `N` steps from `first` on, of quants without
/// their offset; `offsets` are, as two 16-bit numbers, what the sums of the two
/// halves of the activations are multiplied with to take it off.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn integer_sums<const MINIMUMS: usize, const S: usize, const T: usize, const N: usize>(
    w: &Weights<'_, MINIMUMS, S>,
    x: &Tokens<'_, T>,
    first: usize,
    offsets: i32,
) -> [[__m512i; S]; T] {
    let mut isums = [[_mm512_setzero_si512(); S]; T];
    if MINIMUMS == 0 {
        for (t, isums) in isums.iter_mut().enumerate() {
            let sums = broadcast_pair(x.sums(t));
            *isums = [_mm512_madd_epi16(sums, _mm512_set1_epi32(offsets)); S];
        }
    }
    for step in first..first + N {
        let mut steps = [_mm512_setzero_si512(); S];
        for (steps, q) in steps.iter_mut().zip(w.q) {
            *steps = load(&q[step]);
        }
        for (t, isums) in isums.iter_mut().enumerate() {
            let four = x.four(t, step);
            for (isum, step) in isums.iter_mut().zip(steps) {
                *isum = _mm512_dpbusd_epi32(*isum, step, four);
            }
        }
    }
    isums
}
