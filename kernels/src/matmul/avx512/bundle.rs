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

use super::octet::PerLane;
use super::token::InLanes;
use super::vector::{load_u32, store};
use crate::activation::{Int8Row, OCTET};
use crate::inlined;
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

    /// What octet `o` of a bundle meets of a row of activations.
    #[target_feature(enable = "avx512f")]
    pub fn octet(&self, x: Int8Row<'_>, o: usize) -> InLanes {
        let group = OCTET * o % self.groups;
        let (octet, shift) = (group / OCTET, group % OCTET);
        let last = self.groups.div_ceil(OCTET) - 1;
        let [first, low, high] = inlined::map([0, octet, last.min(octet + 1)], |o| {
            InLanes::of(x, o).vectors()
        });
        let places = shifted(shift);
        // From here on, the row begins again.
        let again = (self.groups - group).min(OCTET);
        let lanes: u16 = 0x0101 * (0xff << again & 0xff);
        let begin = shifted(OCTET - again);
        let mut moved = low;
        for (i, to) in moved.iter_mut().enumerate() {
            let (low, high) = (load_u32(&low[i]), load_u32(&high[i]));
            let on = _mm512_permutex2var_epi32(low, load_u32(&places), high);
            let begun = _mm512_permutexvar_epi32(load_u32(&begin), load_u32(&first[i]));
            let all = _mm512_mask_mov_epi32(on, lanes, begun);
            store(bytemuck::cast_mut(to), all);
        }
        InLanes::of_vectors(moved)
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
