//! A strip of weight rows, unpacked for [`tile`](super::tile): four rows in a
//! *sheet*, two and two side by side.
//!
//! ```text
//! q   [sheet][octet][pair][step][row][32]     four quants of each group
//! d   [sheet][octet][half][pair][row][8]      scales, two if halves are apart
//! m   [sheet][octet][half][pair][row][8]      minimums, as many as the format has
//! ```
//!
//! Quants are unsigned, raised by [`Octets::PANEL_OFFSET`], and multiplied with
//! their sub-scales where the products are bytes. Step `2i + h` has what lane
//! order has in step `i` for halves `h`.

use super::block::Weights;
use super::octet::{
    AHEAD, Octet, Octets, PerLane, beside, halves_beside, last_octet, octet_and_ask,
    scales_of_halves,
};
use super::parts::ahead_of_part;
use super::tile::{Quants, ROW_PAIRS, ROWS};
use super::vector::*;
use crate::activation::{OCTET, OCTET_LEN};
use crate::format::blocks;
use crate::inlined::{self, zip};
use crate::matmul::Matrix;
use crate::matmul::panel::Panel;
use std::arch::x86_64::*;
use std::ops::Range;

/// The arrays of a strip, or of a part of its inputs.
pub struct Pages<'a> {
    /// Octets of a row, the last of which may not be full.
    pub octets: usize,
    /// Those that are here.
    pub part: Range<usize>,
    /// Sheets.
    pub sheets: usize,
    q: &'a mut [[Quants; ROW_PAIRS]],
    d: &'a mut [[PerLane<f32>; ROW_PAIRS]],
    m: &'a mut [[PerLane<f32>; ROW_PAIRS]],
}

impl<'a> Pages<'a> {
    /// Unpacks some octets of a strip, asking for what comes next as [`octet_and_ask`] does; the last row stands in for those of the last
    /// sheet that the matrix does not have.
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    pub fn unpack<B: Octets>(
        weight: Matrix<'_>,
        part: Range<usize>,
        near: bool,
        panel: &'a mut Panel,
    ) -> Pages<'a> {
        let sheets = weight.rows().div_ceil(ROWS);
        let octets = part.len();
        let count = sheets * octets;
        let Panel { q, d, m, .. } = panel;
        let mut pages = Pages {
            octets: weight.cols().div_ceil(OCTET_LEN),
            part: part.clone(),
            sheets,
            q: bytemuck::cast_slice_mut(q.resize(count * ROWS * OCTET_LEN)),
            d: bytemuck::cast_slice_mut(d.resize(count * ROWS * OCTET * B::SCALES)),
            m: bytemuck::cast_slice_mut(m.resize(count * ROWS * OCTET * B::MINIMUMS)),
        };
        let all = blocks::<B>(weight.bytes());
        let per_row = weight.cols() / B::LEN;
        let blocks = part.start * B::BLOCKS..per_row.min(part.end * B::BLOCKS);
        let part_bytes = blocks.len() * size_of::<B>();
        let ahead = ahead_of_part(weight.row_bytes(), part_bytes, AHEAD);
        for pair in 0..sheets * ROW_PAIRS {
            let [a, b] = inlined::map([2 * pair, 2 * pair + 1], |row| {
                let row = row.min(weight.rows() - 1);
                &all[row * per_row..][blocks.clone()]
            });
            let (sheet, pair) = (pair / ROW_PAIRS, pair % ROW_PAIRS);
            let full = a.chunks_exact(B::BLOCKS);
            let rest = full.remainder().len();
            let full = zip(full, b.chunks_exact(B::BLOCKS));
            for (o, (a, b)) in full.enumerate() {
                let rows = [octet_and_ask(a, ahead, near), octet_and_ask(b, ahead, near)];
                pages.write::<B>(sheet * octets + o, pair, rows);
            }
            if rest > 0 {
                let rows = inlined::map([a, b], |row| last_octet(&row[row.len() - rest..], rest));
                pages.write::<B>(sheet * octets + octets - 1, pair, rows);
            }
        }
        pages
    }

    /// Writes a pair of rows of the octet `at`.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq")]
    fn write<B: Octets>(&mut self, at: usize, pair: usize, mut rows: [Octet; 2]) {
        if B::PRODUCT_OFFSET.is_some() {
            for row in &mut rows {
                multiply_subscales::<B>(row);
            }
        }
        let [a, b] = rows;
        let steps = &mut self.q[at][pair];
        for (i, (a, b)) in zip(a.q, b.q).enumerate() {
            // Both halves of step i, or the same half of two steps.
            let (low, high) = match B::BY_WORDS {
                false => (2 * i, 2 * i + 1),
                true => (i / 2 * 4 + i % 2, i / 2 * 4 + i % 2 + 2),
            };
            let [lower, upper] = halves_beside(a, b);
            store(&mut steps[low], lower);
            store(&mut steps[high], upper);
        }
        if B::HALVES_APART {
            let scales = scales_of_halves(&a, &b);
            for (d, scales) in zip(self.d[2 * at..].iter_mut(), scales) {
                store_f32(&mut d[pair], scales);
            }
        } else {
            store_f32(&mut self.d[at][pair], beside(a.d, b.d));
        }
        for half in 0..B::MINIMUMS {
            let m = &mut self.m[at * B::MINIMUMS + half][pair];
            store_f32(m, beside(a.m[half], b.m[half]));
        }
    }

    /// Some octets of all sheets, of those that are here.
    #[inline]
    pub fn slice(&self, range: Range<usize>) -> Weights<'_> {
        Weights {
            octets: self.octets,
            part: self.part.clone(),
            range,
            q: self.q,
            d: self.d,
            m: self.m,
        }
    }
}

/// Multiplies quants with their sub-scales: bytes, raised by
/// [`PRODUCT_OFFSET`](crate::format::Block::PRODUCT_OFFSET).
#[inline]
#[target_feature(enable = "avx512bw")]
fn multiply_subscales<B: Octets>(row: &mut Octet) {
    // Both 16-bit halves of a lane meet the lane's sub-scale, even bytes and
    // odd ones apart: s · (q − raise) + offset.
    let s = _mm512_or_si512(
        _mm512_and_si512(row.s, _mm512_set1_epi32(0xffff)),
        _mm512_slli_epi32(row.s, 16),
    );
    let raise = _mm512_set1_epi16(B::RAISED_BY as i16);
    let constant = _mm512_sub_epi16(
        _mm512_set1_epi16(B::PANEL_OFFSET as i16),
        _mm512_mullo_epi16(s, raise),
    );
    let bytes = _mm512_set1_epi16(0xff);
    for q in &mut row.q {
        let even = _mm512_mullo_epi16(_mm512_and_si512(*q, bytes), s);
        let odd = _mm512_mullo_epi16(_mm512_srli_epi16(*q, 8), s);
        let even = _mm512_add_epi16(even, constant);
        let odd = _mm512_slli_epi16(_mm512_add_epi16(odd, constant), 8);
        *q = _mm512_or_si512(even, odd);
    }
}
