//! Few tokens: rows are read as one stream, each octet is unpacked once and
//! multiplied with every token.
//!
//! The eight partial sums of an output are the eight lanes of one register. Rows that are not
//! whole octets are taken together so that they are ([`Bundle`]).

use super::level::Level;
use super::octet::{Octet, Octets, Row, add, first_lanes, zero_padded};
use super::vector::fold;
use crate::activation::{Int8Row, Int8Rows, OCTET, OCTET_LEN, half_offset};
use crate::format::{GROUP, blocks};
use crate::inlined::zip;
use crate::matmul::Matrix;
use crate::matmul::bundle::Bundle;
use crate::matmul::panel::Panel;
use crate::prefetch;
use crate::team::TileMut;
use std::arch::x86_64::*;

/// Tokens computed together.
const TOKENS: usize = 4;

/// How far ahead of the blocks in hand memory is asked for: a page, at whose
/// end the hardware's own prefetchers stop.
const AHEAD: usize = 4096;

/// Bytes of what a token has for an octet: the arrays of a [`Row`].
const OF_TOKEN: usize =
    size_of::<[i8; OCTET_LEN]>() + 2 * size_of::<[f32; OCTET]>() + size_of::<[i16; 2 * OCTET]>();

/// Computes a strip.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn strip<L: Level, B: Octets>(
    l: L,
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
    panel: &mut Panel,
) {
    let rows = Rows::<L, B>::new(l, weight);
    for first in (0..x.rows).step_by(TOKENS) {
        match x.rows - first {
            1 => rows.tokens::<1>(x, first, out, panel),
            2 => rows.tokens::<2>(x, first, out, panel),
            3 => rows.tokens::<3>(x, first, out, panel),
            _ => rows.tokens::<TOKENS>(x, first, out, panel),
        }
    }
}

/// The rows of a strip.
struct Rows<'a, L, B> {
    level: L,
    all: &'a [B],
    /// Blocks of a row.
    per_row: usize,
    /// How rows that are not whole octets are taken together.
    bundle: Bundle,
    /// Rows, from the first on, that are.
    bundled: usize,
    /// Rows.
    count: usize,
}

impl<L: Level, B: Octets> Rows<'_, L, B> {
    /// Those of a strip.
    fn new(level: L, weight: Matrix<'_>) -> Rows<'_, L, B> {
        let bundle = Bundle::of(weight.cols() / GROUP);
        Rows {
            level,
            all: blocks::<B>(weight.bytes()),
            per_row: weight.cols() / B::LEN,
            bundle,
            bundled: bundle.bundled(weight.rows()),
            count: weight.rows(),
        }
    }

    /// Computes all rows for `T` tokens from `first` on.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn tokens<const T: usize>(
        &self,
        x: Int8Rows<'_>,
        first: usize,
        out: &mut TileMut<'_>,
        panel: &mut Panel,
    ) {
        let mut rows = [Row::EMPTY; T];
        // Blocks that are octets make rows that are, too.
        if B::BLOCKS > 1 && self.bundled > 0 {
            let len = self.bundle.octets() * OF_TOKEN;
            let mut rest = &mut panel.x.resize(T * len)[..];
            for (t, row) in rows.iter_mut().enumerate() {
                let here;
                (here, rest) = rest.split_at_mut(len);
                *row = lay_out(self.bundle, x.row(first + t), here);
            }
            self.in_bundles(&rows, out.rows().start + first, out);
        }
        if self.bundled < self.count {
            for (t, row) in rows.iter_mut().enumerate() {
                *row = Row::new(x.row(first + t));
            }
            self.alone(&rows, out.rows().start + first, out);
        }
    }

    /// Computes the rows that are bundled.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn in_bundles<const T: usize>(&self, x: &[Row<'_>; T], first: usize, out: &mut TileMut<'_>) {
        let zero = _mm256_setzero_ps();
        let bundles = self.all.chunks_exact(self.bundle.rows * self.per_row);
        for (b, bundle) in bundles.take(self.bundled / self.bundle.rows).enumerate() {
            let mut octets = bundle.chunks_exact(B::BLOCKS).enumerate();
            let mut acc = [zero; T];
            for row in 0..self.bundle.rows {
                let (full, groups) = self.bundle.row(row);
                for (o, blocks) in octets.by_ref().take(full.len()) {
                    let w = self.octet(blocks);
                    for (acc, x) in zip(acc.iter_mut(), x) {
                        *acc = add::<L, B>(self.level, &w, x, o, *acc);
                    }
                }
                let mut next = [zero; T];
                if groups > 0
                    && let Some((o, blocks)) = octets.next()
                {
                    let w = self.octet(blocks);
                    let mine = first_lanes(groups);
                    for ((acc, next), x) in zip(zip(acc.iter_mut(), next.iter_mut()), x) {
                        let (here, begun) = (
                            add::<L, B>(self.level, &w, x, o, *acc),
                            add::<L, B>(self.level, &w, x, o, zero),
                        );
                        *acc = _mm256_blendv_ps(*acc, here, mine);
                        *next = _mm256_andnot_ps(mine, begun);
                    }
                }
                for (t, acc) in acc.into_iter().enumerate() {
                    out.row(first + t)[b * self.bundle.rows + row] = fold(acc);
                }
                acc = next;
            }
        }
    }

    /// Computes the rows that are not.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn alone<const T: usize>(&self, x: &[Row<'_>; T], first: usize, out: &mut TileMut<'_>) {
        for n in self.bundled..self.count {
            let here = &self.all[n * self.per_row..];
            let mut acc = [_mm256_setzero_ps(); T];
            let mut octets = here[..self.per_row].chunks_exact(B::BLOCKS);
            for (o, blocks) in octets.by_ref().enumerate() {
                let w = self.octet(blocks);
                for (acc, x) in zip(acc.iter_mut(), x) {
                    *acc = add::<L, B>(self.level, &w, x, o, *acc);
                }
            }
            let rest = octets.remainder();
            if !rest.is_empty() {
                // The next rows fill the octet up; what comes of them is not taken.
                let w = match here[self.per_row - rest.len()..].get(..B::BLOCKS) {
                    // SAFETY: this function has the features.
                    Some(blocks) => unsafe { B::octet(blocks) },
                    None => zero_padded(rest),
                };
                // SAFETY: as above.
                let w = unsafe { self.level.prepare::<B>(w) };
                let real = first_lanes(rest.len() * B::LEN / GROUP);
                for (acc, x) in zip(acc.iter_mut(), x) {
                    let sum = add::<L, B>(self.level, &w, x, x.q.len() - 1, *acc);
                    *acc = _mm256_blendv_ps(*acc, sum, real);
                }
            }
            for (t, acc) in acc.into_iter().enumerate() {
                out.row(first + t)[n] = fold(acc);
            }
        }
    }

    /// An octet, unpacked, and a request for those that follow.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn octet(&self, blocks: &[B]) -> Octet {
        prefetch::all_to_level(true, blocks, AHEAD);
        // SAFETY: this function has the features.
        unsafe { self.level.prepare::<B>(B::octet(blocks)) }
    }
}

/// What a token has of all octets of a bundle: a row's again and again.
#[target_feature(enable = "avx2")]
fn lay_out<'a>(bundle: Bundle, x: Int8Row<'_>, to: &'a mut [u8]) -> Row<'a> {
    let octets = bundle.octets();
    let (q, to) = to.split_at_mut(octets * size_of::<[i8; OCTET_LEN]>());
    let (d, to) = to.split_at_mut(octets * size_of::<[f32; OCTET]>());
    let (xsum, sums) = to.split_at_mut(octets * size_of::<[f32; OCTET]>());
    let q: &mut [[[i8; 16]; 2 * OCTET]] = bytemuck::cast_slice_mut(q);
    let d: &mut [f32] = bytemuck::cast_slice_mut(d);
    let xsum: &mut [f32] = bytemuck::cast_slice_mut(xsum);
    let sums: &mut [[i16; 2]] = bytemuck::cast_slice_mut(sums);
    let of_row: &[[i16; 2]] = bytemuck::cast_slice(x.sums);
    let mut group = 0;
    for place in 0..octets * OCTET {
        let octet = &mut q[place / OCTET];
        for half in 0..2 {
            octet[half_offset(2 * (place % OCTET) + half) / 16] = *x.half(2 * group + half);
        }
        d[place] = x.d[group];
        xsum[place] = x.xsum[group];
        sums[place] = of_row[group];
        group += 1;
        if group == bundle.groups {
            group = 0;
        }
    }
    Row {
        q: bytemuck::cast_slice(q),
        d: d.as_chunks().0,
        xsum: xsum.as_chunks().0,
        sums: bytemuck::cast_slice(sums),
    }
}
