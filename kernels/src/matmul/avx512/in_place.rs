//! Few tokens: rows are read as one stream, each octet is unpacked once and
//! multiplied with every token.
//!
//! The eight partial sums of an output are the eight lanes of one register, or
//! of half of one: for more than one token, two rows go side by side, so that
//! activations are loaded once for both.

use super::bundle::Bundle;
use super::octet::{
    AHEAD, Octet, Octets, Row, Scales, add, beside, dot, last_octet, next_octet, octet_and_ask,
    scaled_sums, scales_of_halves, to_word_order,
};
use super::panel::nth;
use super::vector::{load_f32, store_f32};
use crate::activation::{Int8Rows, OCTET_LEN};
use crate::format::{GROUP, blocks};
use crate::lines::Lines;
use crate::matmul::Matrix;
use crate::matmul::avx2::vector::fold;
use crate::matmul::panel::Panel;
use crate::team::TileMut;
use std::arch::x86_64::*;

/// From so many tokens on, they meet long rows in parts.
const FROM_IN_PARTS: usize = 5;

/// Octets of a part: those of the tokens stay in the first-level cache.
const PART: usize = 8;

/// Computes a strip; `NEAR`: see [`next_octet`].
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub fn strip<B: Octets, const NEAR: bool>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    match B::MINIMUMS {
        0 => strip_of::<B, 0, NEAR>(weight, x, out, panel),
        1 => strip_of::<B, 1, NEAR>(weight, x, out, panel),
        _ => strip_of::<B, 2, NEAR>(weight, x, out, panel),
    }
}

/// `MINIMUMS` is the format's.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn strip_of<B: Octets, const MINIMUMS: usize, const NEAR: bool>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    if B::MINIMUMS != MINIMUMS {
        unreachable!("no format has other minimums than its own");
    }
    let bundle = Bundle::of(weight.cols() / GROUP);
    let rows = Rows::<B, NEAR> {
        all: blocks::<B>(weight.bytes()),
        per_row: weight.cols() / B::LEN,
        bundle,
        bundled: match bundle.rows {
            1 => 0,
            rows => weight.rows() / rows * rows,
        },
        count: weight.rows(),
        octets: weight.cols().div_ceil(OCTET_LEN),
    };
    let mut token = 0;
    while token < x.rows {
        token += match x.rows - token {
            1 => rows.single(x, token, out, panel),
            2 => rows.tokens::<2, MINIMUMS>(x, token, out, panel),
            3 => rows.tokens::<3, MINIMUMS>(x, token, out, panel),
            4 => rows.tokens::<4, MINIMUMS>(x, token, out, panel),
            5 => rows.tokens::<5, MINIMUMS>(x, token, out, panel),
            6 => rows.tokens::<6, MINIMUMS>(x, token, out, panel),
            7 => rows.tokens::<7, MINIMUMS>(x, token, out, panel),
            _ => rows.tokens::<8, MINIMUMS>(x, token, out, panel),
        };
    }
}

/// The rows of a strip.
struct Rows<'a, B, const NEAR: bool> {
    all: &'a [B],
    /// Blocks of a row.
    per_row: usize,
    /// How rows that are not whole octets are taken together.
    bundle: Bundle,
    /// Rows, from the first on, that are: whole bundles.
    bundled: usize,
    /// Rows.
    count: usize,
    /// Octets of a row, the last of which may not be full.
    octets: usize,
}

impl<B: Octets, const NEAR: bool> Rows<'_, B, NEAR> {
    /// The blocks from a row's first on.
    #[inline]
    fn from(&self, row: usize) -> &[B] {
        &self.all[row * self.per_row..]
    }

    /// The full octets of a row.
    #[inline]
    fn full_octets(&self, row: usize) -> impl Iterator<Item = &[B]> {
        let octets = self.from(row)[..self.per_row].chunks_exact(B::BLOCKS);
        octets.take(self.octets)
    }

    /// The octets of the bundle that begins with a row.
    #[inline]
    fn bundle_octets(&self, row: usize) -> impl Iterator<Item = &[B]> {
        let blocks = self.bundle.rows * self.per_row;
        let octets = self.from(row)[..blocks].chunks_exact(B::BLOCKS);
        octets.take(self.bundle.octets())
    }

    /// Blocks of a row that do not make a whole octet.
    #[inline]
    fn rest(&self) -> usize {
        self.per_row % B::BLOCKS
    }

    /// The last octet of a row, which is not full.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    fn last_octet(&self, row: usize) -> Octet {
        let rest = self.rest();
        last_octet(&self.from(row)[self.per_row - rest..], rest)
    }

    /// Computes all rows for one token.
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn single(
        &self,
        x: Int8Rows<'_>,
        first: usize,
        out: &mut TileMut<'_>,
        panel: &mut Panel,
    ) -> usize {
        let out = out.row(out.rows().start + first);
        if self.bundled > 0 {
            let x = self.bundle.lay_out::<B>(x, first, 1, panel);
            self.single_bundled(x.row(0), &mut out[..self.bundled]);
        }
        if self.bundled < self.count {
            let [x] = for_format::<B, 1>(x, first, panel);
            self.single_alone(x, &mut out[self.bundled..]);
        }
        1
    }

    /// Computes the rows that are not bundled, for one token.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn single_alone(&self, x: Row<'_>, out: &mut [f32]) {
        x.assert_len::<B>(self.octets);
        for (row, out) in (self.bundled..).zip(out) {
            let mut acc = _mm256_setzero_ps();
            for (o, blocks) in self.full_octets(row).enumerate() {
                acc = add::<B>(&next_octet::<B, NEAR>(blocks), &x, o, acc);
            }
            if self.rest() > 0 {
                acc = add::<B>(&self.last_octet(row), &x, self.octets - 1, acc);
            }
            *out = fold(acc);
        }
    }

    /// Computes the rows that are bundled, for one token.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn single_bundled(&self, x: Row<'_>, out: &mut [f32]) {
        x.assert_len::<B>(self.bundle.octets());
        for (b, out) in out.chunks_exact_mut(self.bundle.rows).enumerate() {
            let mut octets = self.bundle_octets(b * self.bundle.rows).enumerate();
            let mut acc = _mm256_setzero_ps();
            for (row, out) in out.iter_mut().enumerate() {
                let (full, groups) = self.bundle.row(row);
                for (o, blocks) in octets.by_ref().take(full.len()) {
                    acc = add::<B>(&next_octet::<B, NEAR>(blocks), &x, o, acc);
                }
                let mut next = _mm256_setzero_ps();
                if groups > 0
                    && let Some((o, blocks)) = octets.next()
                {
                    let w = next_octet::<B, NEAR>(blocks);
                    let others = 0xff << groups;
                    acc = _mm256_mask_mov_ps(add::<B>(&w, &x, o, acc), others, acc);
                    next = _mm256_maskz_mov_ps(others, add::<B>(&w, &x, o, next));
                }
                *out = fold(acc);
                acc = next;
            }
        }
    }

    /// Computes all rows for the tokens from `first` on, and returns how many.
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn tokens<const T: usize, const MINIMUMS: usize>(
        &self,
        x: Int8Rows<'_>,
        first: usize,
        out: &mut TileMut<'_>,
        panel: &mut Panel,
    ) -> usize {
        if self.bundled > 0 {
            let x = self.bundle.lay_out::<B>(x, first, T, panel);
            let x = std::array::from_fn(|t| x.row(t));
            self.tokens_bundled::<T, MINIMUMS>(&x, first, out);
        }
        if self.bundled < self.count {
            let mut waiting = std::mem::take(&mut panel.sums);
            let x = for_format::<B, T>(x, first, panel);
            self.tokens_alone::<T, MINIMUMS>(&x, first, out, &mut waiting);
            panel.sums = waiting;
        }
        T
    }

    /// Computes the rows that are not bundled, for the tokens from `first` on.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn tokens_alone<const T: usize, const MINIMUMS: usize>(
        &self,
        x: &[Row<'_>; T],
        first: usize,
        out: &mut TileMut<'_>,
        waiting: &mut Lines<f32>,
    ) {
        for x in x {
            x.assert_len::<B>(self.octets);
        }
        let parts = match T {
            ..FROM_IN_PARTS => 1,
            _ => self.octets.div_ceil(PART),
        };
        let count = (self.count - self.bundled).div_ceil(2);
        let waiting = waiting.resize(if parts > 1 { count * T * 16 } else { 0 });
        let waiting = waiting.as_chunks_mut::<16>().0;
        for part in (0..parts).map(|index| nth(index, parts, 0..self.octets)) {
            let full = part.start..part.end.min(self.per_row / B::BLOCKS);
            let ahead = match parts {
                1 => AHEAD,
                // What is read next is the same part of the rows that follow.
                _ => {
                    let bytes = full.len() * B::BLOCKS * size_of::<B>();
                    self.per_row * size_of::<B>() * AHEAD.div_ceil(bytes.max(1))
                }
            };
            for (pair, a) in (self.bundled..self.count).step_by(2).enumerate() {
                // An odd last row is its own neighbour.
                let b = (a + 1).min(self.count - 1);
                let mut acc = [_mm512_setzero_ps(); T];
                if part.start > 0 {
                    for (acc, waiting) in acc.iter_mut().zip(&waiting[pair * T..]) {
                        *acc = load_f32(waiting);
                    }
                }
                let blocks_a = self.from(a)[full.start * B::BLOCKS..full.end * B::BLOCKS].chunks_exact(B::BLOCKS);
                let blocks_b = self.from(b)[full.start * B::BLOCKS..full.end * B::BLOCKS].chunks_exact(B::BLOCKS);
                for (o, (a, b)) in full.clone().zip(blocks_a.zip(blocks_b)) {
                    let w = Two::<MINIMUMS>::new::<B>([
                        octet_and_ask::<B, NEAR>(a, ahead),
                        octet_and_ask::<B, NEAR>(b, ahead),
                    ]);
                    w.add_all::<B, T>(x, o, &mut acc);
                }
                if part.end < self.octets {
                    for (acc, waiting) in acc.iter().zip(&mut waiting[pair * T..]) {
                        store_f32(waiting, *acc);
                    }
                    continue;
                }
                if self.rest() > 0 {
                    let w = Two::<MINIMUMS>::new::<B>([self.last_octet(a), self.last_octet(b)]);
                    w.add_all::<B, T>(x, self.octets - 1, &mut acc);
                }
                store_two([a, b], acc, first, out);
            }
        }
    }

    /// Computes the rows that are bundled, for the tokens from `first` on.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn tokens_bundled<const T: usize, const MINIMUMS: usize>(
        &self,
        x: &[Row<'_>; T],
        first: usize,
        out: &mut TileMut<'_>,
    ) {
        for x in x {
            x.assert_len::<B>(self.bundle.octets());
        }
        let bundles = self.bundled / self.bundle.rows;
        for a in (0..bundles).step_by(2) {
            // An odd last bundle is its own neighbour.
            let [a, b] = [a, (a + 1).min(bundles - 1)].map(|bundle| bundle * self.bundle.rows);
            let mut octets = self.bundle_octets(a).zip(self.bundle_octets(b)).enumerate();
            let mut acc = [_mm512_setzero_ps(); T];
            for row in 0..self.bundle.rows {
                let (full, groups) = self.bundle.row(row);
                for (o, (a, b)) in octets.by_ref().take(full.len()) {
                    let w = Two::<MINIMUMS>::new::<B>([
                        next_octet::<B, NEAR>(a),
                        next_octet::<B, NEAR>(b),
                    ]);
                    w.add_all::<B, T>(x, o, &mut acc);
                }
                let mut next = [_mm512_setzero_ps(); T];
                if groups > 0
                    && let Some((o, (a, b))) = octets.next()
                {
                    let w = Two::<MINIMUMS>::new::<B>([
                        next_octet::<B, NEAR>(a),
                        next_octet::<B, NEAR>(b),
                    ]);
                    let others = 0x0101 * (0xff << groups & 0xff);
                    for t in 0..T {
                        let end = w.add::<B>(&x[t], o, acc[t]);
                        let begin = w.add::<B>(&x[t], o, next[t]);
                        acc[t] = _mm512_mask_mov_ps(end, others, acc[t]);
                        next[t] = _mm512_maskz_mov_ps(others, begin);
                    }
                }
                store_two([a + row, b + row], acc, first, out);
                acc = next;
            }
        }
    }
}

/// The activations of the tokens from `first` on, as the format needs them.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn for_format<'a, B: Octets, const T: usize>(
    x: Int8Rows<'a>,
    first: usize,
    panel: &'a mut Panel,
) -> [Row<'a>; T] {
    let mut rows = std::array::from_fn(|t| Row::new(x.row(first + t)));
    if B::BY_WORDS {
        let mut rest = panel.q.resize(T * x.padded);
        for row in &mut rows {
            let own;
            (own, rest) = rest.split_at_mut(x.padded);
            let own = bytemuck::cast_slice_mut(own).as_chunks_mut().0;
            for (to, from) in own.iter_mut().zip(row.q) {
                *to = *from;
                to_word_order(to);
            }
            row.q = own;
        }
    }
    if B::MINIMUMS == 2 {
        let halves = x.padded / GROUP * 2;
        let mut rest = panel.m.resize(T * halves);
        for row in &mut rows {
            let own;
            (own, rest) = rest.split_at_mut(halves);
            let own = own.as_chunks_mut().0;
            for ((to, d), sums) in own.iter_mut().zip(row.d).zip(row.neg_sums) {
                store_f32(to, scaled_sums(d, sums));
            }
            row.half_sums = own;
        }
    }
    rows
}

/// Stores the products of two rows with the tokens from `first` on.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx2")]
fn store_two<const T: usize>(
    [a, b]: [usize; 2],
    acc: [__m512; T],
    first: usize,
    out: &mut TileMut<'_>,
) {
    for (t, acc) in acc.into_iter().enumerate() {
        let out = out.row(out.rows().start + first + t);
        out[a] = fold(_mm512_castps512_ps256(acc));
        out[b] = fold(_mm512_extractf32x8_ps(acc, 1));
    }
}

/// An octet of two rows side by side.
struct Two<const MINIMUMS: usize> {
    rows: [Octet; 2],
    /// Scales of both, or of their first and last halves.
    d: [__m512; 2],
    m: [__m512; MINIMUMS],
}

impl<const MINIMUMS: usize> Two<MINIMUMS> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn new<B: Octets>(rows: [Octet; 2]) -> Self {
        let mut m = [_mm512_setzero_ps(); MINIMUMS];
        for (half, m) in m.iter_mut().enumerate() {
            *m = beside(rows[0].m[half], rows[1].m[half]);
        }
        let d = match B::HALVES_APART {
            true => scales_of_halves(&rows[0], &rows[1]),
            false => [beside(rows[0].d, rows[1].d); 2],
        };
        Two { rows, d, m }
    }

    /// Adds the products with octet `o` of all tokens.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn add_all<B: Octets, const T: usize>(
        &self,
        x: &[Row<'_>; T],
        o: usize,
        acc: &mut [__m512; T],
    ) {
        for (acc, x) in acc.iter_mut().zip(x) {
            *acc = self.add::<B>(x, o, *acc);
        }
    }

    /// Adds the products with octet `o` of a token.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn add<B: Octets>(&self, x: &Row<'_>, o: usize, acc: __m512) -> __m512 {
        let isums = [dot::<B>(&self.rows[0], x, o), dot::<B>(&self.rows[1], x, o)];
        Scales::new(x, o).add::<B>(isums, self.d, &self.m, acc)
    }
}
