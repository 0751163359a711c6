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

use crate::activation::OCTET;
use std::ops::Range;

/// How rows are taken together.
#[derive(Clone, Copy)]
pub struct Bundle {
    /// Groups of a row.
    pub groups: usize,
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

    /// Rows of so many, from the first on, that are taken together: whole bundles.
    pub fn bundled(&self, rows: usize) -> usize {
        match self.rows {
            1 => 0,
            bundle => rows / bundle * bundle,
        }
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
}
