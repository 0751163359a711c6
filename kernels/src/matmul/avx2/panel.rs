//! Many tokens: a strip is unpacked into a panel, eight rows side by side in a
//! *sheet*, and multiplied with all tokens.
//!
//! ```text
//! q   [sheet][octet][group][step][row][4]      steps of 4 weights, see crate::matmul::panel
//! d   [sheet][octet][group][row]
//! m   [sheet][octet][half][group][row]
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

use super::octet::{Octets, Quants, zero_padded};
use super::vector::*;
use crate::activation::{Int8Rows, OCTET, OCTET_LEN};
use crate::format::{GROUP, Minimum, blocks};
use crate::matmul::Matrix;
use crate::matmul::panel::Panel;
use crate::team::TileMut;
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows in a sheet.
const ROWS: usize = 8;
/// Sheets in a tile.
const SHEETS: usize = 2;
/// Tokens in a tile.
const TOKENS: usize = 6;
/// Octets of a pair of sheets that stay in the first-level cache.
const SLICE: usize = 4;
/// Activations that stay in the second-level cache beside the panel.
const CHUNK_BYTES: usize = 128 << 10;

/// Four weights of eight rows.
type Step = [u8; 4 * ROWS];
/// A value for each row of a sheet and each group of an octet.
type PerGroup<T> = [[T; ROWS]; OCTET];

/// Steps of a group.
const fn steps<B: Octets>() -> usize {
    match B::QUANTS {
        Quants::Bits8 => 16,
        _ => 8,
    }
}

/// Steps whose products fit in 16 bits and have a factor in common.
const fn fit<B: Octets>() -> usize {
    match B::QUANTS {
        Quants::Bits4 if !B::SUBSCALES => 8,
        Quants::Bits4 | Quants::Bits5 => 4,
        Quants::Bits6 => 2,
        Quants::Bits8 => 8,
    }
}

/// Minimums of a group.
const fn minimums<B: Octets>() -> usize {
    match B::MINIMUM {
        Minimum::None => 0,
        Minimum::Per32 => 1,
        Minimum::Per16 => 2,
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
    // Whole tiles: fewer kinds of tiles are less code to compile.
    let sheets = weight.rows().div_ceil(ROWS).next_multiple_of(SHEETS);
    let octets = x.padded / OCTET_LEN;
    let groups = weight.cols() / GROUP;
    let pieces = sheets * octets;
    let per_group = pieces * OCTET * ROWS;
    let mut pages = Pages {
        octets,
        q: panel
            .q
            .resize(per_group * 4 * steps::<B>())
            .as_chunks_mut()
            .0,
        d: cast(panel.d.resize(per_group)),
        m: cast(panel.m.resize(per_group * minimums::<B>())),
        s: cast(panel.s.resize(2 * per_group * usize::from(B::SUBSCALES))),
    };
    for sheet in 0..sheets {
        pages.unpack::<B>(weight, sheet);
    }

    let chunk = (CHUNK_BYTES / x.padded)
        .next_multiple_of(2 * TOKENS)
        .min(x.rows);
    let sums = panel.sums.resize(chunk * SHEETS * OCTET * ROWS);
    for first in (0..x.rows).step_by(chunk) {
        let tokens = first..x.rows.min(first + chunk);
        for sheet in (0..sheets).step_by(SHEETS) {
            sweep::<B>(&pages, sheet, groups, x, tokens.clone(), sums, out);
        }
    }
}

/// Values as whole octets of groups.
fn cast<T: bytemuck::Pod, U: bytemuck::Pod>(values: &mut [T]) -> &mut [PerGroup<U>]
where
    PerGroup<U>: bytemuck::Pod,
{
    bytemuck::cast_slice_mut(values)
}

/// The arrays of a panel.
struct Pages<'a> {
    octets: usize,
    q: &'a mut [Step],
    d: &'a mut [PerGroup<f32>],
    m: &'a mut [PerGroup<f32>],
    s: &'a mut [PerGroup<[i16; 2]>],
}

impl Pages<'_> {
    /// Unpacks the rows of a sheet; the last row stands in for those that the
    /// matrix does not have.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn unpack<B: Octets>(&mut self, weight: Matrix<'_>, sheet: usize) {
        let last = weight.rows() - 1;
        let mut rows = [&[][..]; ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = blocks::<B>(weight.row(last.min(sheet * ROWS + i)));
        }
        let zero = _mm256_setzero_si256();
        let (mut q, mut d, mut m, mut s) = (
            [[zero; ROWS]; 8],
            [zero; ROWS],
            [[zero; ROWS]; 2],
            [zero; ROWS],
        );
        for o in 0..self.octets {
            for (r, row) in rows.iter().enumerate() {
                let rest = &row[o * B::BLOCKS..];
                let octet = match rest.get(..B::BLOCKS) {
                    // SAFETY: this function has the features.
                    Some(blocks) => unsafe { B::octet(blocks) },
                    None => zero_padded(rest),
                };
                for (q, octet) in q.iter_mut().zip(octet.q) {
                    q[r] = octet;
                }
                d[r] = _mm256_castps_si256(octet.d);
                m[0][r] = _mm256_castps_si256(octet.m[0]);
                m[1][r] = _mm256_castps_si256(octet.m[1]);
                s[r] = octet.s;
            }
            let at = sheet * self.octets + o;
            let steps = &mut self.q[at * OCTET * steps::<B>()..][..OCTET * steps::<B>()];
            for (i, q) in q.iter().enumerate() {
                store_half::<B>(steps, i, transpose(q));
            }
            store_rows(bytemuck::cast_mut(&mut self.d[at]), transpose(&d));
            let minimums = at * minimums::<B>()..(at + 1) * minimums::<B>();
            for (to, m) in self.m[minimums].iter_mut().zip(&m) {
                store_rows(bytemuck::cast_mut(to), transpose(m));
            }
            if B::SUBSCALES {
                store_rows(bytemuck::cast_mut(&mut self.s[at]), transpose(&s));
            }
        }
    }
}

/// Stores half `i % 2` of the groups `i / 2` and `i / 2 + 4` of an octet, four
/// steps each.
#[inline]
#[target_feature(enable = "avx2")]
fn store_half<B: Octets>(to: &mut [Step], i: usize, half: [__m256i; 8]) {
    for (j, step) in half.into_iter().enumerate() {
        let group = i / 2 + j / 4 * 4;
        let to = &mut to[group * steps::<B>()..][..steps::<B>()];
        let at = i % 2 * 4 + j % 4;
        if B::QUANTS == Quants::Bits8 {
            let step = _mm256_add_epi8(step, _mm256_set1_epi8(B::OFFSET as i8));
            let [low, high] = nibbles(step);
            store(&mut to[at], low);
            store(&mut to[at + 8], high);
        } else {
            store(&mut to[at], step);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_rows(to: &mut [[u8; 32]; 8], values: [__m256i; 8]) {
    for (to, value) in to.iter_mut().zip(values) {
        store(to, value);
    }
}

/// The eight partial sums of eight rows and a token.
type Sums = PerGroup<f32>;

/// Multiplies the sheets of a tile with a stretch of tokens; what is left over
/// from [`TOKENS`] is done in pairs, then alone.
#[target_feature(enable = "avx2,fma,f16c")]
fn sweep<B: Octets>(
    pages: &Pages<'_>,
    sheet: usize,
    groups: usize,
    x: Int8Rows<'_>,
    tokens: Range<usize>,
    sums: &mut [f32],
    out: &mut TileMut<'_>,
) {
    let sums: &mut [Sums] = cast(sums);
    let sums: &mut [[Sums; SHEETS]] = &mut sums.as_chunks_mut().0[..tokens.len()];
    sums.fill([[[0.0; ROWS]; OCTET]; SHEETS]);
    for slice in (0..pages.octets).step_by(SLICE) {
        let octets = slice..pages.octets.min(slice + SLICE);
        let (many, rest) = sums.as_chunks_mut::<TOKENS>();
        let (pairs, single) = rest.as_chunks_mut::<2>();
        let mut token = tokens.start;
        for sums in many {
            tile::<B, SHEETS, TOKENS>(pages, sheet, octets.clone(), groups, x, token, sums);
            token += TOKENS;
        }
        for sums in pairs {
            tile::<B, SHEETS, 2>(pages, sheet, octets.clone(), groups, x, token, sums);
            token += 2;
        }
        for sums in single {
            let sums = std::array::from_mut(sums);
            tile::<B, SHEETS, 1>(pages, sheet, octets.clone(), groups, x, token, sums);
            token += 1;
        }
    }
    let width = out.cols().len();
    for (sums, token) in sums.iter().zip(tokens) {
        let row = out.rows().start + token;
        let outs = &mut out.row(row)[sheet * ROWS..width.min((sheet + SHEETS) * ROWS)];
        for (outs, sums) in outs.chunks_mut(ROWS).zip(sums) {
            outs.copy_from_slice(&fold_rows(sums)[..outs.len()]);
        }
    }
}

/// Folds the partial sums of eight rows in halves.
#[inline]
#[target_feature(enable = "avx2")]
fn fold_rows(sums: &Sums) -> [f32; ROWS] {
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
    store_f32(&mut folded, p[0]);
    folded
}

/// Adds the products of octets of `S` sheets with `T` tokens.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile<B: Octets, const S: usize, const T: usize>(
    pages: &Pages<'_>,
    sheet: usize,
    octets: Range<usize>,
    groups: usize,
    x: Int8Rows<'_>,
    token: usize,
    sums: &mut [[Sums; S]; T],
) {
    for o in octets {
        let w = Weights::<B, S>::new(pages, sheet, o);
        let x = Tokens::<T>::new(x, token, o);
        for g in 0..OCTET.min(groups - o * OCTET) {
            add_group(&w, &x, g, sums);
        }
    }
}

/// One octet of `S` sheets, `stride` octets apart.
struct Weights<'a, B, const S: usize> {
    stride: usize,
    q: &'a [Step],
    d: &'a [[f32; ROWS]],
    m: &'a [[f32; ROWS]],
    s: &'a [[[i16; 2]; ROWS]],
    _format: PhantomData<B>,
}

impl<'a, B: Octets, const S: usize> Weights<'a, B, S> {
    fn new(pages: &'a Pages<'_>, sheet: usize, octet: usize) -> Self {
        let stride = pages.octets;
        let at = sheet * stride + octet;
        let all = at..at + (S - 1) * stride + 1;
        let of = |per_octet: usize| all.start * per_octet..all.end * per_octet;
        Weights {
            stride,
            q: &pages.q[of(OCTET * steps::<B>())],
            d: pages.d[of(1)].as_flattened(),
            m: pages.m[of(minimums::<B>())].as_flattened(),
            s: pages.s[of(usize::from(B::SUBSCALES))].as_flattened(),
            _format: PhantomData,
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn step(&self, s: usize, g: usize, step: usize) -> __m256i {
        debug_assert!(s < S && g < OCTET && step < steps::<B>());
        let index = (s * self.stride * OCTET + g) * steps::<B>() + step;
        // SAFETY: `new` cut `q` to the first octet of the last sheet and all
        // before it; `s`, `g` and `step` are in range.
        load(unsafe { self.q.get_unchecked(index) })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn scale(&self, s: usize, g: usize) -> __m256 {
        debug_assert!(s < S && g < OCTET);
        // SAFETY: as in `step`.
        load_f32(unsafe { self.d.get_unchecked(s * self.stride * OCTET + g) })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn minimum(&self, s: usize, g: usize, half: usize) -> __m256 {
        debug_assert!(s < S && g < OCTET && half < minimums::<B>());
        let index = (s * self.stride * minimums::<B>() + half) * OCTET + g;
        // SAFETY: as in `step`.
        load_f32(unsafe { self.m.get_unchecked(index) })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn subscales(&self, s: usize, g: usize) -> __m256i {
        debug_assert!(s < S && g < OCTET && B::SUBSCALES);
        // SAFETY: as in `step`.
        let pairs = unsafe { self.s.get_unchecked(s * self.stride * OCTET + g) };
        load(bytemuck::cast_ref(pairs))
    }
}

/// One octet of `T` tokens: a pointer for each, so that the steps of a group are
/// at constant distances.
struct Tokens<'a, const T: usize> {
    q: [&'a [[i8; 4]; OCTET_LEN / 4]; T],
    d: [&'a [f32; OCTET]; T],
    xsum: [&'a [f32; OCTET]; T],
    sums: [&'a [[i16; 2]; OCTET]; T],
}

impl<'a, const T: usize> Tokens<'a, T> {
    #[inline]
    fn new(x: Int8Rows<'a>, token: usize, octet: usize) -> Self {
        let stride = x.padded / OCTET_LEN;
        let at = token * stride + octet;
        let all = at..at + (T - 1) * stride + 1;
        let q: &[[[i8; 4]; OCTET_LEN / 4]] = bytemuck::cast_slice(x.q);
        let sums: &[[[i16; 2]; OCTET]] = bytemuck::cast_slice(x.sums);
        Tokens {
            q: every(&q[all.clone()], stride),
            d: every(&x.d.as_chunks().0[all.clone()], stride),
            xsum: every(&x.xsum.as_chunks().0[all.clone()], stride),
            sums: every(&sums[all], stride),
        }
    }

    /// The four quants that meet step `step` of group `g`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn four(&self, t: usize, g: usize, step: usize) -> __m256i {
        debug_assert!(g < OCTET && step < 8);
        // In the paired order.
        let at = (16 * (g % 4) + 4 * (g / 4)) + (2 * (step & 4) + (step & 3));
        // SAFETY: at most 16 * 3 + 4 + 8 + 3 = 63.
        broadcast(unsafe { self.q[t].get_unchecked(at) })
    }

    #[inline]
    fn scale(&self, t: usize, g: usize) -> f32 {
        self.d[t][g]
    }

    /// `Σ q` of the two halves of group `g`.
    #[inline]
    fn sums(&self, t: usize, g: usize) -> &'a [i16; 2] {
        &self.sums[t][g]
    }

    /// What a minimum is multiplied with.
    #[inline]
    fn xsum(&self, minimum: Minimum, t: usize, g: usize, half: usize) -> f32 {
        if minimum == Minimum::Per16 {
            return self.scale(t, g) * f32::from(self.sums(t, g)[half]);
        }
        self.xsum[t][g]
    }
}

/// The elements at `0`, `stride`, … `(N - 1) · stride`; the last one is the last
/// of `all`.
#[inline(always)]
fn every<T, const N: usize>(all: &[T], stride: usize) -> [&T; N] {
    assert_eq!(all.len(), (N - 1) * stride + 1);
    // SAFETY: the largest index is the last one (asserted).
    std::array::from_fn(|i| unsafe { all.get_unchecked(i * stride) })
}

/// Adds the products of one group.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_group<B: Octets, const S: usize, const T: usize>(
    w: &Weights<'_, B, S>,
    x: &Tokens<'_, T>,
    g: usize,
    sums: &mut [[Sums; S]; T],
) {
    let isums = integer_sums(w, x, g);
    let offset = _mm256_set1_epi16(i16::from(B::OFFSET));
    for t in 0..T {
        let x_sums = broadcast(bytemuck::cast_ref(x.sums(t, g)));
        let x_offset = _mm256_madd_epi16(offset, x_sums);
        let dx = _mm256_set1_ps(x.scale(t, g));
        for s in 0..S {
            let mut isum = isums[t][s];
            if B::SUBSCALES {
                let scales = _mm256_mullo_epi16(w.subscales(s, g), offset);
                isum = _mm256_sub_epi32(isum, _mm256_madd_epi16(scales, x_sums));
            } else if B::OFFSET != 0 {
                isum = _mm256_sub_epi32(isum, x_offset);
            }
            let sums = &mut sums[t][s][g];
            let d = _mm256_mul_ps(w.scale(s, g), dx);
            let mut acc = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(isum), load_f32(sums));
            for half in 0..minimums::<B>() {
                let xsum = _mm256_set1_ps(x.xsum(B::MINIMUM, t, g, half));
                acc = _mm256_fmadd_ps(w.minimum(s, g, half), xsum, acc);
            }
            store_f32(sums, acc);
        }
    }
}

/// The sums of the products of a group, of quants with their offset.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn integer_sums<B: Octets, const S: usize, const T: usize>(
    w: &Weights<'_, B, S>,
    x: &Tokens<'_, T>,
    g: usize,
) -> [[__m256i; S]; T] {
    let fit = fit::<B>();
    let mut isums = [[_mm256_setzero_si256(); S]; T];
    for run in 0..steps::<B>() / fit {
        let mut products = [[_mm256_setzero_si256(); S]; T];
        // Unrolled by hand: the compiler would stop short of it for 8 steps.
        macro_rules! steps {
            ($($i:literal)*) => {
                $(if $i < fit {
                    add_step(w, x, g, run * fit + $i, $i == 0, &mut products);
                })*
            };
        }
        steps!(0 1 2 3 4 5 6 7);
        for s in 0..S {
            let factors = if B::SUBSCALES {
                pick_subscale(w.subscales(s, g), run * fit / 4)
            } else if B::QUANTS == Quants::Bits8 && run == 1 {
                _mm256_set1_epi16(16)
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
    w: &Weights<'_, B, S>,
    x: &Tokens<'_, T>,
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
        let four = x.four(t, g, step % 8);
        for (product, step) in products.iter_mut().zip(steps) {
            let sum = _mm256_maddubs_epi16(step, four);
            *product = if is_first {
                sum
            } else {
                opaque(_mm256_add_epi16(*product, sum))
            };
        }
    }
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
