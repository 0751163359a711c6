//! A strip unpacked, and views of the octets of a tile.
//!
//! ```text
//! q   [sheet][octet][group][step][row][4]      steps of 4 weights, see crate::matmul::panel
//! d   [sheet][octet][half][group][row]         two if halves are apart
//! m   [sheet][octet][half][group][row]
//! s   [sheet][octet][group][row][2]            sub-scales, if the level wants them
//! ```

use super::level::Level;
use super::octet::{Octets, scales_of_halves, zero_padded};
use super::vector::*;
use crate::activation::{OCTET, OCTET_LEN};
use crate::format::{GROUP, Minimum, blocks};
use crate::inlined::zip;
use crate::matmul::Matrix;
use crate::matmul::panel::Panel;
use crate::prefetch;
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// Rows in a sheet.
pub const ROWS: usize = 8;

/// Four weights of eight rows.
pub type Step = [u8; 4 * ROWS];
/// A value for each row of a sheet and each group of an octet.
pub type PerGroup<T> = [[T; ROWS]; OCTET];
/// The eight partial sums of eight rows and a token.
pub type Sums = PerGroup<f32>;

/// Minimums of a group.
pub const fn minimums<B: Octets>() -> usize {
    match B::MINIMUM {
        Minimum::None => 0,
        Minimum::Per32 => 1,
        Minimum::Per16 => 2,
    }
}

/// The arrays of a panel.
pub struct Pages<'a> {
    /// Groups of a row.
    pub groups: usize,
    /// Octets of a row, the last of which may not be full.
    pub octets: usize,
    q: &'a mut [Step],
    d: &'a mut [PerGroup<f32>],
    m: &'a mut [PerGroup<f32>],
    s: &'a mut [[u8; 32]],
}

impl<'a> Pages<'a> {
    /// Unpacks `sheets` sheets of a strip.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub fn unpack<L: Level, B: Octets>(
        l: L,
        weight: Matrix<'_>,
        sheets: usize,
        panel: &'a mut Panel,
    ) -> Pages<'a> {
        let octets = weight.cols().div_ceil(OCTET_LEN);
        let groups = sheets * octets * OCTET;
        let steps = groups * L::steps::<B>();
        let subscales = groups * usize::from(L::has_subscales::<B>());
        let mut pages = Pages {
            groups: weight.cols() / GROUP,
            octets,
            q: bytemuck::cast_slice_mut(panel.q.resize(size_of::<Step>() * steps)),
            d: bytemuck::cast_slice_mut(panel.d.resize(ROWS * groups * B::SCALES)),
            m: bytemuck::cast_slice_mut(panel.m.resize(ROWS * groups * minimums::<B>())),
            s: bytemuck::cast_slice_mut(panel.s.resize(2 * ROWS * subscales)),
        };
        for sheet in 0..sheets {
            pages.unpack_sheet::<L, B>(l, weight, sheet);
        }
        pages
    }

    /// Unpacks the rows of a sheet; the last row stands in for those that the
    /// matrix does not have.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn unpack_sheet<L: Level, B: Octets>(&mut self, l: L, weight: Matrix<'_>, sheet: usize) {
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
        let next_sheet = ROWS * weight.row_bytes();
        for o in 0..self.octets {
            for (r, row) in rows.iter().enumerate() {
                let rest = &row[o * B::BLOCKS..];
                prefetch::all_to_level(false, &rest[..rest.len().min(B::BLOCKS)], next_sheet);
                let octet = match rest.get(..B::BLOCKS) {
                    // SAFETY: this function has the features.
                    Some(blocks) => unsafe { B::octet(blocks) },
                    None => zero_padded(rest),
                };
                // SAFETY: as above.
                let octet = unsafe { l.prepare_for_panel::<B>(octet) };
                for (q, octet) in zip(q.iter_mut(), octet.q) {
                    q[r] = octet;
                }
                d[r] = _mm256_castps_si256(octet.d);
                m[0][r] = _mm256_castps_si256(octet.m[0]);
                m[1][r] = _mm256_castps_si256(octet.m[1]);
                s[r] = octet.s;
            }
            let at = sheet * self.octets + o;
            let per_octet = OCTET * L::steps::<B>();
            let steps = &mut self.q[at * per_octet..][..per_octet];
            for (i, q) in q.iter().enumerate() {
                store_half::<L, B>(l, steps, i, transpose(q));
            }
            let (d, s) = (transpose(&d), transpose(&s));
            if B::HALVES_APART {
                let [first, last] = self.d[2 * at..].first_chunk_mut().expect("two halves");
                for g in 0..OCTET {
                    let scales = scales_of_halves(_mm256_castsi256_ps(d[g]), s[g]);
                    store_f32(&mut first[g], scales[0]);
                    store_f32(&mut last[g], scales[1]);
                }
            } else {
                store_rows(&mut self.d[at], d);
            }
            let minimums = at * minimums::<B>()..(at + 1) * minimums::<B>();
            for (to, m) in zip(self.m[minimums].iter_mut(), &m) {
                store_rows(to, transpose(m));
            }
            if L::has_subscales::<B>() {
                for (to, pairs) in zip(self.s[at * OCTET..].iter_mut(), s) {
                    store(to, pairs);
                }
            }
        }
    }
}

/// Stores half `i % 2` of the groups `i / 2` and `i / 2 + 4` of an octet, four
/// steps each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store_half<L: Level, B: Octets>(l: L, to: &mut [Step], i: usize, half: [__m256i; 8]) {
    for (j, step) in half.into_iter().enumerate() {
        let group = i / 2 + j / 4 * 4;
        let to = &mut to[group * L::steps::<B>()..][..L::steps::<B>()];
        // SAFETY: this function has the features.
        unsafe { l.store_step::<B>(to, i % 2 * 4 + j % 4, step) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_rows(to: &mut PerGroup<f32>, values: [__m256i; OCTET]) {
    for (to, value) in zip(to.iter_mut(), values) {
        store_f32(to, _mm256_castsi256_ps(value));
    }
}

/// One octet of `S` sheets, `stride` octets apart.
pub struct Weights<'a, L, B, const S: usize> {
    stride: usize,
    q: &'a [Step],
    d: &'a [[f32; ROWS]],
    m: &'a [[f32; ROWS]],
    s: &'a [[u8; 32]],
    _kind: PhantomData<(L, B)>,
}

impl<'a, L: Level, B: Octets, const S: usize> Weights<'a, L, B, S> {
    /// Octet `octet` of the sheets from `sheet` on.
    #[inline(always)]
    pub fn new(pages: &'a Pages<'_>, sheet: usize, octet: usize) -> Self {
        let stride = pages.octets;
        let at = sheet * stride + octet;
        let all = at..at + (S - 1) * stride + 1;
        let of = |per_octet: usize| all.start * per_octet..all.end * per_octet;
        Weights {
            stride,
            q: &pages.q[of(OCTET * L::steps::<B>())],
            d: pages.d[of(B::SCALES)].as_flattened(),
            m: pages.m[of(minimums::<B>())].as_flattened(),
            s: &pages.s[of(OCTET * usize::from(L::has_subscales::<B>()))],
            _kind: PhantomData,
        }
    }

    /// Step `step` of group `g` of sheet `s`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn step(&self, s: usize, g: usize, step: usize) -> __m256i {
        let [step] = self.steps(s, g, step);
        load(step)
    }

    /// `N` steps of group `g` of sheet `s`, from `first` on.
    #[inline(always)]
    pub fn steps<const N: usize>(&self, s: usize, g: usize, first: usize) -> &'a [Step; N] {
        debug_assert!(s < S && g < OCTET && first + N <= L::steps::<B>());
        let index = (s * self.stride * OCTET + g) * L::steps::<B>() + first;
        // SAFETY: `new` cut `q` to the first octet of the last sheet and all
        // before it; `s`, `g` and the steps are in range.
        unsafe { &*self.q.as_ptr().add(index).cast() }
    }

    /// The scales, of half `half` if halves are apart.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn scale(&self, s: usize, g: usize, half: usize) -> __m256 {
        debug_assert!(s < S && g < OCTET && half < B::SCALES);
        let index = (s * self.stride * B::SCALES + half) * OCTET + g;
        // SAFETY: as in `steps`.
        load_f32(unsafe { self.d.get_unchecked(index) })
    }

    /// Minimums.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn minimum(&self, s: usize, g: usize, half: usize) -> __m256 {
        debug_assert!(s < S && g < OCTET && half < minimums::<B>());
        let index = (s * self.stride * minimums::<B>() + half) * OCTET + g;
        // SAFETY: as in `steps`.
        load_f32(unsafe { self.m.get_unchecked(index) })
    }

    /// The sub-scales.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn subscales(&self, s: usize, g: usize) -> __m256i {
        debug_assert!(s < S && g < OCTET && L::has_subscales::<B>());
        // SAFETY: as in `steps`.
        load(unsafe { self.s.get_unchecked(s * self.stride * OCTET + g) })
    }
}
