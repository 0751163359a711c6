//! What the rows of a unit see of a chunk, and what is read after it.

use super::cache::{CHUNK, KEY_PANELS};
use super::unit::Unit;
use crate::lanes::LANES;
use crate::prefetch;
use std::ops::Range;

/// Up to this many rows, reading the cache takes longer than computing with it,
/// and what is needed next is asked for.
const STREAM_ROWS: usize = 16;

/// A chunk, as far as some of a unit's rows see it.
pub struct Part {
    pub positions: Range<usize>,
    /// The rows that see some of them.
    pub rows: Range<usize>,
    /// The sixteens of positions of which some rows see some.
    pub panels: Range<usize>,
    /// All of the unit's rows see all of the chunk, as is usual.
    whole: bool,
}

impl Unit<'_> {
    /// The positions of chunk `chunk` and who sees them; none if nobody does.
    #[inline]
    pub fn part(&self, chunk: usize) -> Option<Part> {
        let positions = chunk * CHUNK..(chunk + 1) * CHUNK;
        let end = self.position + self.tokens.len();
        let first_of_last = end.saturating_sub(self.window);
        let mut part = Part {
            whole: positions.end <= self.position + 1 && first_of_last <= positions.start,
            rows: 0..self.rows(),
            panels: 0..KEY_PANELS,
            positions,
        };
        if !part.whole {
            part.positions.end = part.positions.end.min(end);
            part.rows = self.rows_that_see(&part.positions);
            let Range { start, end } = part.rows;
            if start == end {
                return None;
            }
            let first = self.seen(start, &part).start;
            let end = self.seen(end - 1, &part).end;
            part.panels = first / LANES..end.div_ceil(LANES);
        }
        Some(part)
    }

    /// The positions that row `row` sees, counted from the part's first.
    #[inline(always)]
    pub fn seen(&self, row: usize, part: &Part) -> Range<usize> {
        if part.whole {
            0..CHUNK
        } else {
            self.seen_of(row, &part.positions)
        }
    }

    /// Those of `positions` that row `row` sees, counted from the first.
    #[inline]
    fn seen_of(&self, row: usize, positions: &Range<usize>) -> Range<usize> {
        let end = self.position + row / self.group + 1;
        let first = positions.start.max(end.saturating_sub(self.window));
        first - positions.start..positions.end.min(end).saturating_sub(positions.start)
    }

    /// The rows that see some of `positions`.
    #[inline]
    pub fn rows_that_see(&self, positions: &Range<usize>) -> Range<usize> {
        let sees = |row: &usize| !self.seen_of(*row, positions).is_empty();
        let first = (0..self.rows()).find(sees).unwrap_or(0);
        let end = (first..self.rows())
            .rfind(sees)
            .map_or(first, |row| row + 1);
        first..end
    }

    /// What is read after a head of `part`, most likely, if memory is what its
    /// rows wait for: the same head in the next chunk, or the next head in the
    /// first. To be asked for while `part` is computed.
    ///
    /// Where its pages lie is asked for at once.
    #[inline(always)]
    pub fn next_head(&self, part: &Part) -> &[u8] {
        let end = part.positions.end;
        let (chunk, head) = if end < self.position + self.tokens.len() {
            (end / CHUNK, self.head)
        } else {
            let first = (self.position + 1).saturating_sub(self.window);
            (first / CHUNK, self.head + 1)
        };
        if part.rows.len() > STREAM_ROWS || head == self.cache.n_head_kv() {
            return &[];
        }
        let next = self.cache.head_bytes(chunk, head);
        prefetch::pages(next);
        next
    }

    /// Cuts the rows of `part` into stretches that see the same of it.
    #[inline(always)]
    pub fn alike(&self, part: &Part, mut body: impl FnMut(Range<usize>, Range<usize>)) {
        let Range { mut start, end } = part.rows;
        if part.whole {
            return body(start..end, 0..CHUNK);
        }
        while start < end {
            let seen = self.seen(start, part);
            // Rows of a token always do.
            let mut next = (start / self.group + 1) * self.group;
            while next < end && self.seen(next, part) == seen {
                next += self.group;
            }
            body(start..next, seen);
            start = next;
        }
    }
}
