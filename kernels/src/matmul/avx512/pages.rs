//! A strip of weight rows, unpacked: four rows side by side in a *sheet*.
//!
//! ```text
//! q   [sheet][octet][row][step]     steps of 64 quants, in lane order
//! d   [sheet][octet][row]           8 scales
//! m   [sheet][octet][half][row]     8 minimums, as many as the format has
//! s   [sheet][octet][row]           16 sub-scales, in lane order
//! ```
//!
//! Quants are unsigned, raised as [`Octets::RAISE`] says.

use super::octet::{Octet, Octets, PerLane, last_octet};
use super::vector::*;
use crate::activation::{OCTET, OCTET_LEN};
use crate::format::blocks;
use crate::matmul::Matrix;
use crate::matmul::avx2::vector::store_f32 as store_eight_f32;
use crate::matmul::panel::Panel;

/// Rows in a sheet.
pub const ROWS: usize = 4;

/// 64 quants.
pub type Step = [u8; 64];

/// The arrays of a strip.
pub struct Pages<'a> {
    /// Octets of a row, the last of which may not be full.
    pub octets: usize,
    /// Sheets.
    pub sheets: usize,
    /// Quants of an octet.
    pub q: &'a mut [[[Step; 4]; ROWS]],
    /// Scales of an octet.
    pub d: &'a mut [[[f32; OCTET]; ROWS]],
    /// Minimums of an octet.
    pub m: &'a mut [[[f32; OCTET]; ROWS]],
    /// Sub-scales of an octet.
    pub s: &'a mut [[PerLane<i32>; ROWS]],
}

impl<'a> Pages<'a> {
    /// Unpacks a strip; the last row stands in for those of the last sheet that
    /// the matrix does not have.
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    pub fn unpack<B: Octets>(weight: Matrix<'_>, panel: &'a mut Panel) -> Pages<'a> {
        let sheets = weight.rows().div_ceil(ROWS);
        let octets = weight.cols().div_ceil(OCTET_LEN);
        let count = sheets * octets;
        let subscales = count * usize::from(B::SUBSCALES);
        let Panel {
            q, d, m, wide_s: s, ..
        } = panel;
        let mut pages = Pages {
            octets,
            sheets,
            q: bytemuck::cast_slice_mut(q.resize(count * ROWS * OCTET_LEN)),
            d: bytemuck::cast_slice_mut(d.resize(count * ROWS * OCTET)),
            m: bytemuck::cast_slice_mut(m.resize(count * ROWS * OCTET * B::MINIMUMS)),
            s: bytemuck::cast_slice_mut(s.resize(subscales * ROWS * 2 * OCTET)),
        };
        let all = blocks::<B>(weight.bytes());
        let per_row = weight.cols() / B::LEN;
        for row in 0..sheets * ROWS {
            let here = &all[row.min(weight.rows() - 1) * per_row..];
            let (sheet, r) = (row / ROWS, row % ROWS);
            let mut full = here[..per_row].chunks_exact(B::BLOCKS);
            for (o, blocks) in full.by_ref().enumerate() {
                // SAFETY: this function has the features.
                let w = unsafe { B::octet(blocks) };
                pages.write::<B>(sheet * octets + o, r, w);
            }
            let rest = full.remainder().len();
            if rest > 0 {
                let w = last_octet(&here[per_row - rest..], rest);
                pages.write::<B>(sheet * octets + octets - 1, r, w);
            }
        }
        pages
    }

    /// Writes row `r` of the octet `at`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn write<B: Octets>(&mut self, at: usize, r: usize, w: Octet) {
        for (to, q) in self.q[at][r].iter_mut().zip(w.q) {
            store(to, q);
        }
        store_eight_f32(&mut self.d[at][r], w.d);
        for half in 0..B::MINIMUMS {
            store_eight_f32(&mut self.m[at * B::MINIMUMS + half][r], w.m[half]);
        }
        if B::SUBSCALES {
            store_i32(&mut self.s[at][r], w.s);
        }
    }
}
