//! A strip of weight rows, unpacked: sixteen rows side by side in a *sheet*.
//!
//! ```text
//! q   [sheet][octet][group][step][row][4]      steps of 4 weights, see crate::matmul::panel
//! d   [sheet][octet][group][row]
//! m   [sheet][octet][group][half][row]         as many as the format has
//! s   [sheet][octet][group][half][row]         sub-scales, as f32
//! ```
//!
//! Quants are unsigned, with the format's offset. A sheet is unpacked eight
//! rows at a time, each into its half of the vectors.

use super::unsigned;
use crate::activation::OCTET;
use crate::format::{GROUP, Minimum, blocks};
use crate::matmul::Matrix;
use crate::matmul::avx2::octet::{Octets, zero_padded};
use crate::matmul::avx2::vector::{store, store_f32, transpose};
use crate::matmul::panel::Panel;
use std::arch::x86_64::*;

/// Rows in a sheet.
pub const ROWS: usize = 16;
/// Sheets that are multiplied together.
pub const SHEETS: usize = 2;

/// Four weights of sixteen rows.
pub type Step = [u8; 4 * ROWS];
/// A value for each row of a sheet.
pub type PerRow = [f32; ROWS];

/// The arrays of a strip.
pub struct Pages<'a> {
    /// Groups of a row.
    pub groups: usize,
    /// Octets of a row, the last of which may not be full.
    pub octets: usize,
    /// Sheets.
    pub sheets: usize,
    /// Quants of an octet.
    pub q: &'a mut [[[Step; 8]; OCTET]],
    /// Scales of an octet.
    pub d: &'a mut [[PerRow; OCTET]],
    /// Minimums of a group.
    pub m: &'a mut [PerRow],
    /// Sub-scales of a group.
    pub s: &'a mut [[PerRow; 2]],
}

/// Minimums of a group.
pub const fn minimums<B: Octets>() -> usize {
    match B::MINIMUM {
        Minimum::None => 0,
        Minimum::Per32 => 1,
        Minimum::Per16 => 2,
    }
}

impl<'a> Pages<'a> {
    /// Unpacks a strip; the last row stands in for those of its last sheets that
    /// the matrix does not have.
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub fn unpack<B: Octets>(weight: Matrix<'_>, panel: &'a mut Panel) -> Pages<'a> {
        let sheets = weight.rows().div_ceil(ROWS).next_multiple_of(SHEETS);
        let groups = weight.cols() / GROUP;
        let octets = groups.div_ceil(OCTET);
        let per_group = sheets * octets * OCTET * ROWS;
        let Panel {
            q, d, m, factors, ..
        } = panel;
        let q = q
            .resize(per_group * GROUP)
            .as_chunks_mut::<{ 4 * ROWS }>()
            .0;
        let s = factors.resize(2 * per_group * usize::from(B::SUBSCALES));
        let mut pages = Pages {
            groups,
            octets,
            sheets,
            q: q.as_chunks_mut().0.as_chunks_mut().0,
            d: bytemuck::cast_slice_mut(d.resize(per_group)),
            m: bytemuck::cast_slice_mut(m.resize(per_group * minimums::<B>())),
            s: bytemuck::cast_slice_mut(s),
        };
        for first in (0..sheets * ROWS).step_by(8) {
            pages.unpack_rows::<B>(weight, first);
        }
        pages
    }

    /// Unpacks the eight rows from `first` on.
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    fn unpack_rows<B: Octets>(&mut self, weight: Matrix<'_>, first: usize) {
        let last = weight.rows() - 1;
        let rows: [&[B]; 8] = std::array::from_fn(|i| blocks::<B>(weight.row(last.min(first + i))));
        let (sheet, lane) = (first / ROWS, first % ROWS);
        let zero = _mm256_setzero_si256();
        let (mut q, mut d, mut m, mut s) = ([[zero; 8]; 8], [zero; 8], [[zero; 8]; 2], [zero; 8]);
        for o in 0..self.octets {
            for (r, row) in rows.iter().enumerate() {
                let rest = &row[o * B::BLOCKS..];
                let octet = match rest.get(..B::BLOCKS) {
                    // SAFETY: this function has the features.
                    Some(blocks) => unsafe { B::octet(blocks) },
                    None => zero_padded(rest),
                };
                for (q, octet) in q.iter_mut().zip(unsigned::<B>(octet.q)) {
                    q[r] = octet;
                }
                d[r] = _mm256_castps_si256(octet.d);
                m[0][r] = _mm256_castps_si256(octet.m[0]);
                m[1][r] = _mm256_castps_si256(octet.m[1]);
                s[r] = octet.s;
            }
            let at = sheet * self.octets + o;
            for (i, q) in q.iter().enumerate() {
                // Half i % 2 of the groups i / 2 and i / 2 + 4, four steps each.
                for (j, step) in transpose(q).into_iter().enumerate() {
                    let to = &mut self.q[at][i / 2 + j / 4 * 4][i % 2 * 4 + j % 4];
                    store(eight(to, 4 * lane), step);
                }
            }
            for (to, d) in self.d[at].iter_mut().zip(transpose(&d)) {
                store_f32(eight(to, lane), _mm256_castsi256_ps(d));
            }
            for half in 0..minimums::<B>() {
                for (g, m) in transpose(&m[half]).into_iter().enumerate() {
                    let to = &mut self.m[(at * OCTET + g) * minimums::<B>() + half];
                    store_f32(eight(to, lane), _mm256_castsi256_ps(m));
                }
            }
            if B::SUBSCALES {
                for (g, pair) in transpose(&s).into_iter().enumerate() {
                    let first = _mm256_srai_epi32(_mm256_slli_epi32::<16>(pair), 16);
                    let last = _mm256_srai_epi32(pair, 16);
                    let to = &mut self.s[at * OCTET + g];
                    store_f32(eight(&mut to[0], lane), _mm256_cvtepi32_ps(first));
                    store_f32(eight(&mut to[1], lane), _mm256_cvtepi32_ps(last));
                }
            }
        }
    }
}

/// The part of a vector that eight rows fill.
#[inline]
fn eight<T, const N: usize>(vector: &mut [T], at: usize) -> &mut [T; N] {
    vector[at..].first_chunk_mut().expect("half a vector")
}
