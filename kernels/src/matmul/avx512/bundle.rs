//! Rows that are not whole octets, several together so that they are.
//!
//! A row of 576 weights is 18 groups, two octets and a quarter. Four such rows
//! are nine octets, read as one stream:
//!
//! ```text
//! octet    0         1         2         3         4             8
//!      ┌─────────┬─────────┬──┬──────┬─────────┬────┬────┬ ┄ ┬─────────┐
//!      │ row 0   │ row 0   │r0│row 1 │ row 1   │ r1 │ r2 │   │ row 3   │
//!      └─────────┴─────────┴──┴──────┴─────────┴────┴────┴ ┄ ┴─────────┘
//! ```
//!
//! The activations are laid out once for the bundle in the same way. Group `g`
//! of a row that begins `k` groups into an octet then meets lane
//! `(g + k) mod 8`, and so do all groups of its partial sum. Which lane a
//! partial sum has makes no difference in the end: folding in halves adds sums
//! four, two and one lanes apart, whatever lane they begin in.

use super::octet::{Octets, PerLane, Row, to_word_order};
use super::vector::{load_u32, store};
use crate::activation::{Int8Rows, OCTET, OCTET_LEN};
use crate::matmul::panel::Panel;
use std::arch::x86_64::*;
use std::ops::Range;

/// How rows are taken together.
#[derive(Clone, Copy)]
pub struct Bundle {
    /// Groups of a row.
    groups: usize,
    /// Rows; 1 if they are whole octets.
    pub rows: usize,
}

impl Bundle {
    /// Of rows of `groups` groups.
    pub fn of(groups: usize) -> Bundle {
        let rows = match groups {
            // Such a row could begin and end in one octet.
            0..OCTET => 1,
            _ => OCTET >> groups.trailing_zeros().min(3),
        };
        Bundle { groups, rows }
    }

    /// Octets of a bundle.
    pub fn octets(&self) -> usize {
        self.rows * self.groups / OCTET
    }

    /// The octets of a bundle that hold nothing but row `row`, and how many
    /// groups of the next octet are still its.
    #[inline]
    pub fn row(&self, row: usize) -> (Range<usize>, usize) {
        let (start, end) = (row * self.groups, (row + 1) * self.groups);
        (start.div_ceil(OCTET)..end / OCTET, end % OCTET)
    }

    /// Lays out `tokens` rows of activations from `first` on, in the order of the format.
    #[target_feature(enable = "avx512f")]
    pub fn lay_out<'p, B: Octets>(
        &self,
        x: Int8Rows<'_>,
        first: usize,
        tokens: usize,
        panel: &'p mut Panel,
    ) -> BundledRows<'p> {
        let octets = self.octets();
        let halves = 2 * tokens * octets * OCTET;
        let Panel {
            q, d, m, neg_sums, ..
        } = panel;
        let q = q.resize(tokens * octets * OCTET_LEN);
        let d = d.resize(halves);
        let xsum = m.resize(halves);
        let neg_sums = neg_sums.resize(halves);
        for t in 0..tokens {
            let from = Row::new(x.row(first + t));
            let here = t * octets..(t + 1) * octets;
            for (from, to) in [(from.d, &mut *d), (from.xsum, &mut *xsum)] {
                let to = bytemuck::cast_slice_mut(to);
                self.copy_lanes::<1>(bytemuck::cast_slice(from), &mut to[here.clone()]);
            }
            let neg_sums = bytemuck::cast_slice_mut(neg_sums);
            let q = bytemuck::cast_slice_mut(q);
            self.copy_lanes::<1>(
                bytemuck::cast_slice(from.neg_sums),
                &mut neg_sums[here.clone()],
            );
            self.copy_lanes::<4>(bytemuck::cast_slice(from.q), &mut q[here.clone()]);
            if B::BY_WORDS {
                let q: &mut [[i8; OCTET_LEN]] = bytemuck::cast_slice_mut(&mut q[here]);
                q.iter_mut().for_each(|octet| to_word_order(octet));
            }
        }
        BundledRows {
            octets,
            q,
            d,
            xsum,
            neg_sums,
        }
    }

    /// Copies `N` times a word for each lane.
    #[target_feature(enable = "avx512f")]
    fn copy_lanes<const N: usize>(&self, from: &[[PerLane<u32>; N]], to: &mut [[PerLane<u32>; N]]) {
        for (o, to) in to.iter_mut().enumerate() {
            let group = OCTET * o % self.groups;
            let (octet, shift) = (group / OCTET, group % OCTET);
            let (low, high) = (&from[octet], &from[(octet + 1).min(from.len() - 1)]);
            let places = shifted(shift);
            // From here on, the row begins again.
            let again = (self.groups - group).min(OCTET);
            let lanes: u16 = 0x0101 * (0xff << again & 0xff);
            let begin = shifted(OCTET - again);
            for i in 0..N {
                let on = _mm512_permutex2var_epi32(
                    load_u32(&low[i]),
                    load_u32(&places),
                    load_u32(&high[i]),
                );
                let first = load_u32(&from[0][i]);
                let begun = _mm512_permutexvar_epi32(load_u32(&begin), first);
                store(
                    bytemuck::cast_mut(&mut to[i]),
                    _mm512_mask_mov_epi32(on, lanes, begun),
                );
            }
        }
    }
}

/// The lanes of 16 and, from 16 on, of the next 16, that begin `by` groups on.
fn shifted(by: usize) -> PerLane<u32> {
    let mut places = [0; 2 * OCTET];
    for (lane, place) in places.iter_mut().enumerate() {
        let group = lane % OCTET + by;
        let next = group / OCTET * 2 * OCTET;
        *place = (next + lane / OCTET * OCTET + group % OCTET) as u32;
    }
    places
}

/// Activations of some tokens, laid out for a bundle.
pub struct BundledRows<'a> {
    octets: usize,
    q: &'a [u8],
    d: &'a [f32],
    xsum: &'a [f32],
    neg_sums: &'a [i32],
}

impl BundledRows<'_> {
    /// The activations of token `index`.
    pub fn row(&self, index: usize) -> Row<'_> {
        let all = Row {
            q: bytemuck::cast_slice(self.q),
            d: self.d.as_chunks().0,
            xsum: self.xsum.as_chunks().0,
            neg_sums: self.neg_sums.as_chunks().0,
            // Formats that have these have rows that are whole octets.
            half_sums: &[],
        };
        all.slice(index * self.octets..(index + 1) * self.octets)
    }
}
