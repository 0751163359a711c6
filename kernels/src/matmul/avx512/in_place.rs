//! Few tokens: rows are read as one stream, each octet is unpacked once and
//! multiplied with every token.
//!
//! The eight partial sums of an output are the eight lanes of one register, or
//! of half of one: for more than one token, two rows go side by side, so that
//! activations are loaded once for both.
//!
//! What the tokens have for an octet lies side by side ([`OfToken`]); where that of
//! all octets is more than the first-level cache holds, rows are met in parts, and
//! their sums wait in between.

use super::bundled;
use super::octet::{AHEAD, Octet, Octets, PerLane, last_octet, next_octet, octet_and_ask};
use super::parts::{ahead_of_part, nth};
use super::token::{InLanes, OfToken, Two};
use super::vector::{load_f32, store_f32};
use crate::activation::{Int8Row, Int8Rows, OCTET_LEN};
use crate::format::{GROUP, blocks};
use crate::inlined::{self, zip};
use crate::lines::Lines;
use crate::matmul::Matrix;
use crate::matmul::avx2::vector::fold;
use crate::matmul::bundle::Bundle;
use crate::matmul::panel::Panel;
use crate::team::TileMut;
use std::arch::x86_64::*;
use std::ops::Range;

/// Octets of all tokens that stay in the first-level cache: rows that have more are met
/// in parts.
const TOGETHER: usize = 64;

/// Computes a strip; `near`: see [`octet_and_ask`]; `streams`: see
/// [`prefetch::streams`](crate::prefetch::streams).
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub fn strip<B: Octets>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    near: bool,
    streams: usize,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    match B::MINIMUMS {
        0 => strip_of::<B, 0>(weight, x, near, streams, out, panel),
        1 => strip_of::<B, 1>(weight, x, near, streams, out, panel),
        _ => strip_of::<B, 2>(weight, x, near, streams, out, panel),
    }
}

/// `MINIMUMS` is the format's.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn strip_of<B: Octets, const MINIMUMS: usize>(
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    near: bool,
    streams: usize,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    if B::MINIMUMS != MINIMUMS {
        unreachable!("no format has other minimums than its own");
    }
    let rows = Rows::<B>::new(weight, near, streams);
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
struct Rows<'a, B> {
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
    /// See [`octet_and_ask`].
    near: bool,
    /// See [`prefetch::streams`](crate::prefetch::streams).
    streams: usize,
}

impl<'a, B: Octets> Rows<'a, B> {
    /// Whether there may be bundles: rows of blocks that are octets need none.
    const BUNDLES: bool = B::BLOCKS > 1;

    /// Those of a strip.
    fn new(weight: Matrix<'a>, near: bool, streams: usize) -> Self {
        let bundle = Bundle::of(weight.cols() / GROUP);
        Rows {
            all: blocks::<B>(weight.bytes()),
            per_row: weight.cols() / B::LEN,
            bundle,
            bundled: bundle.bundled(weight.rows()),
            count: weight.rows(),
            octets: weight.cols().div_ceil(OCTET_LEN),
            near,
            streams,
        }
    }

    /// The blocks from a row's first on.
    #[inline]
    fn from(&self, row: usize) -> &[B] {
        &self.all[row * self.per_row..]
    }

    /// Some octets of a row, as far as they are full.
    #[inline]
    fn full_octets(&self, row: usize, octets: Range<usize>) -> impl Iterator<Item = &[B]> {
        let full = self.from(row)[self.blocks_of(&octets)].chunks_exact(B::BLOCKS);
        full.take(octets.len())
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

    /// All octets of the tokens from `first` on, as a bundle meets them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn for_bundles<'p, const T: usize>(
        &self,
        x: Int8Rows<'_>,
        first: usize,
        to: &'p mut Lines<u8>,
    ) -> &'p [[OfToken; T]] {
        let octet = |x: Int8Row<'_>, o| bundled::octet(self.bundle, x, o);
        lay_out::<B, T>(x, first, 0..self.bundle.octets(), to, octet)
    }

    /// The blocks of some octets of a row.
    #[inline]
    fn blocks_of(&self, octets: &Range<usize>) -> Range<usize> {
        octets.start * B::BLOCKS..self.per_row.min(octets.end * B::BLOCKS)
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
        if Self::BUNDLES && self.bundled > 0 {
            let x = self.for_bundles::<1>(x, first, &mut panel.x);
            let (x, out) = (x.as_flattened(), &mut out[..self.bundled]);
            match self.near {
                true => self.single_bundled::<true>(x, out),
                false => self.single_bundled::<false>(x, out),
            }
        }
        if self.bundled < self.count {
            let x = lay_out::<B, 1>(x, first, 0..self.octets, &mut panel.x, InLanes::of);
            let (x, out) = (x.as_flattened(), &mut out[self.bundled..]);
            let row = self.bundled;
            match (self.near, self.streams) {
                (true, 1) => self.single_alone::<true>(row, x, out),
                (true, _) => self.single_apart(x, out),
                (false, _) => self.single_alone::<false>(row, x, out),
            }
        }
        1
    }

    /// Computes rows that are not bundled, from one on, for one token.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn single_alone<const NEAR: bool>(&self, first: usize, x: &[OfToken], out: &mut [f32]) {
        for (row, out) in zip(first.., out) {
            let mut acc = _mm256_setzero_ps();
            let mut x = x.iter();
            for (blocks, x) in zip(self.full_octets(row, 0..self.octets), &mut x) {
                acc = x.add::<B>(&next_octet(blocks, NEAR), acc);
            }
            if self.rest() > 0
                && let Some(x) = x.next()
            {
                acc = x.add::<B>(&self.last_octet(row), acc);
            }
            *out = fold(acc);
        }
    }

    /// Computes all rows that are not bundled, for one token, from two places at once.
    /// (One place in these loops, instead of those above, is 5 to 7 % slower from a cache.)
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn single_apart(&self, x: &[OfToken], out: &mut [f32]) {
        let (full, last) = x.split_at(self.per_row / B::BLOCKS);
        let half = out.len() / 2;
        for row in 0..half {
            let rows = [row, half + row];
            let mut blocks: [&[B]; 2] = [&[]; 2];
            for (blocks, row) in zip(blocks.iter_mut(), rows) {
                *blocks = &self.from(self.bundled + row)[..full.len() * B::BLOCKS];
            }
            let mut acc = [_mm256_setzero_ps(); 2];
            for (o, x) in full.iter().enumerate() {
                for (acc, blocks) in zip(acc.iter_mut(), blocks) {
                    let octet = &blocks[o * B::BLOCKS..][..B::BLOCKS];
                    *acc = x.add::<B>(&next_octet(octet, true), *acc);
                }
            }
            for (acc, row) in zip(acc, rows) {
                let acc = match last {
                    [x, ..] => x.add::<B>(&self.last_octet(self.bundled + row), acc),
                    [] => acc,
                };
                out[row] = fold(acc);
            }
        }
        // An odd last row.
        self.single_alone::<true>(self.bundled + 2 * half, x, &mut out[2 * half..]);
    }

    /// Computes the rows that are bundled, for one token.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn single_bundled<const NEAR: bool>(&self, x: &[OfToken], out: &mut [f32]) {
        for (b, out) in out.chunks_exact_mut(self.bundle.rows).enumerate() {
            let mut octets = zip(self.bundle_octets(b * self.bundle.rows), x);
            let mut acc = _mm256_setzero_ps();
            for (row, out) in out.iter_mut().enumerate() {
                let (full, groups) = self.bundle.row(row);
                for (blocks, x) in octets.by_ref().take(full.len()) {
                    acc = x.add::<B>(&next_octet(blocks, NEAR), acc);
                }
                let mut next = _mm256_setzero_ps();
                if groups > 0
                    && let Some((blocks, x)) = octets.next()
                {
                    let w = next_octet(blocks, NEAR);
                    let others = 0xff << groups;
                    acc = _mm256_mask_mov_ps(x.add::<B>(&w, acc), others, acc);
                    next = _mm256_maskz_mov_ps(others, x.add::<B>(&w, next));
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
        if Self::BUNDLES && self.bundled > 0 {
            let x = self.for_bundles::<T>(x, first, &mut panel.x);
            self.tokens_bundled::<T, MINIMUMS>(x, first, out);
        }
        let parts = (T * self.octets).div_ceil(TOGETHER);
        let rows = match parts {
            1 => 0,
            _ => (self.count - self.bundled).div_ceil(2),
        };
        let sums = panel.sums.resize(rows * T * 16);
        let sums = sums.as_chunks_mut().0.as_chunks_mut().0;
        if self.bundled < self.count {
            for part in (0..parts).map(|index| nth(index, parts, 0..self.octets)) {
                let x = lay_out::<B, T>(x, first, part.clone(), &mut panel.x, InLanes::of);
                match self.near {
                    true => self.tokens_alone::<T, MINIMUMS, true>(part, x, sums, first, out),
                    false => self.tokens_alone::<T, MINIMUMS, false>(part, x, sums, first, out),
                }
            }
        }
        T
    }

    /// Computes a part of the rows that are not bundled, for the tokens from `first` on.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn tokens_alone<const T: usize, const MINIMUMS: usize, const NEAR: bool>(
        &self,
        part: Range<usize>,
        x: &[[OfToken; T]],
        sums: &mut [[PerLane<f32>; T]],
        first: usize,
        out: &mut TileMut<'_>,
    ) {
        let blocks = [self.per_row, self.blocks_of(&part).len()];
        let [row_bytes, part_bytes] = inlined::map(blocks, |n| n * size_of::<B>());
        let ahead = ahead_of_part(row_bytes, part_bytes, AHEAD);
        let pairs = (self.count - self.bundled).div_ceil(2);
        for pair in 0..pairs {
            let (a, b) = match self.streams {
                1 => (2 * pair, 2 * pair + 1),
                _ => (pair, pairs + pair),
            };
            // An odd last row is its own neighbour.
            let [a, b] = inlined::map([a, b], |row| (self.bundled + row).min(self.count - 1));
            let mut acc = [_mm512_setzero_ps(); T];
            if part.start > 0 {
                for (acc, sums) in zip(acc.iter_mut(), &sums[pair]) {
                    *acc = load_f32(sums);
                }
            }
            let mut x = x.iter();
            let [of_a, of_b] = [
                self.full_octets(a, part.clone()),
                self.full_octets(b, part.clone()),
            ];
            for ((a, b), x) in zip(zip(of_a, of_b), &mut x) {
                let w = Two::<MINIMUMS>::new::<B>([
                    octet_and_ask(a, ahead, NEAR),
                    octet_and_ask(b, ahead, NEAR),
                ]);
                w.add_all::<B, T>(x, &mut acc);
            }
            if part.end < self.octets {
                for (acc, sums) in zip(acc.iter(), &mut sums[pair]) {
                    store_f32(sums, *acc);
                }
                continue;
            }
            if self.rest() > 0
                && let Some(x) = x.next()
            {
                let w = Two::<MINIMUMS>::new::<B>([self.last_octet(a), self.last_octet(b)]);
                w.add_all::<B, T>(x, &mut acc);
            }
            store_two([a, b], acc, first, out);
        }
    }

    /// Computes the rows that are bundled, for the tokens from `first` on.
    #[inline(never)]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn tokens_bundled<const T: usize, const MINIMUMS: usize>(
        &self,
        x: &[[OfToken; T]],
        first: usize,
        out: &mut TileMut<'_>,
    ) {
        let bundles = self.bundled / self.bundle.rows;
        for a in (0..bundles).step_by(2) {
            // An odd last bundle is its own neighbour.
            let [a, b] = inlined::map([a, (a + 1).min(bundles - 1)], |bundle| {
                bundle * self.bundle.rows
            });
            let mut octets = zip(zip(self.bundle_octets(a), self.bundle_octets(b)), x);
            let mut acc = [_mm512_setzero_ps(); T];
            for row in 0..self.bundle.rows {
                let (full, groups) = self.bundle.row(row);
                for ((a, b), x) in octets.by_ref().take(full.len()) {
                    let w = [next_octet(a, self.near), next_octet(b, self.near)];
                    let w = Two::<MINIMUMS>::new::<B>(w);
                    w.add_all::<B, T>(x, &mut acc);
                }
                let mut next = [_mm512_setzero_ps(); T];
                if groups > 0
                    && let Some(((a, b), x)) = octets.next()
                {
                    let w = [next_octet(a, self.near), next_octet(b, self.near)];
                    let w = Two::<MINIMUMS>::new::<B>(w);
                    let others = 0x0101 * (0xff << groups & 0xff);
                    for (x, (acc, next)) in zip(x.iter(), zip(acc.iter_mut(), &mut next)) {
                        let end = x.add_two::<B, MINIMUMS>(&w, *acc);
                        let begin = x.add_two::<B, MINIMUMS>(&w, *next);
                        *acc = _mm512_mask_mov_ps(end, others, *acc);
                        *next = _mm512_maskz_mov_ps(others, begin);
                    }
                }
                store_two([a + row, b + row], acc, first, out);
                acc = next;
            }
        }
    }
}

/// Some octets of the tokens from `first` on, as the format needs them; `octet` takes one
/// from a row.
#[target_feature(enable = "avx512f,avx512dq")]
pub fn lay_out<'p, B: Octets, const T: usize>(
    x: Int8Rows<'_>,
    first: usize,
    octets: Range<usize>,
    to: &'p mut Lines<u8>,
    octet: impl Fn(Int8Row<'_>, usize) -> InLanes,
) -> &'p [[OfToken; T]] {
    let to = OfToken::all(to, T * octets.len()).as_chunks_mut().0;
    for t in 0..T {
        let x = x.row(first + t);
        for (o, to) in zip(octets.clone(), &mut *to) {
            to[t].put::<B>(&octet(x, o));
        }
    }
    to
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
