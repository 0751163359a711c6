//! Merging neighbours, best pair first: the core of both kinds of byte-pair encoding.
//!
//! A word starts as a list of symbols, one per character or byte. As long as some rule allows it, the two neighbours whose
//! merge comes first are replaced by one symbol; among equals, the leftmost pair. A heap of candidates over a linked list
//! makes that O(n log n):
//!
//! ```text
//! symbols     t ⇄ h ⇄ e ⇄ ␣ ⇄ c ⇄ a ⇄ t          candidates   (t h) 12 · (h e) 7 · (c a) 40 · (a t) 31
//! merge h e   t ⇄ he ⇄ ␣ ⇄ c ⇄ a ⇄ t             (t h) is stale now: its length is no longer that of t + he
//!                                                added: (t he) 15
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Longer words are merged in parts of this size. Words of text end sooner by far; this bounds the memory that a text
/// without any break takes to some 200 MB.
pub(super) const MAX_WORD_BYTES: usize = 4 << 20;

/// Stands where there is no token and no neighbour.
pub(super) const NONE: u32 = u32::MAX;

/// What two neighbours become.
pub(super) struct Merge {
    /// The lowest goes first.
    pub priority: u32,
    pub token: u32,
}

/// A stretch of the word.
struct Symbol {
    start: u32,
    /// 0 once it has been merged into its left neighbour.
    len: u32,
    prev: u32,
    next: u32,
    token: u32,
}

/// A symbol and its right neighbour, which may merge.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Priority, then index of the left symbol.
    order: Reverse<(u32, u32)>,
    /// Bytes of both symbols together.
    len: u32,
    token: u32,
}

/// The word that is being merged. Kept from word to word for its memory.
#[derive(Default)]
pub(super) struct Merger {
    symbols: Vec<Symbol>,
    candidates: BinaryHeap<Candidate>,
}

impl Merger {
    /// Starts a word.
    pub fn start(&mut self) {
        self.symbols.clear();
        self.candidates.clear();
    }

    /// Adds a symbol of `len` bytes to the word.
    pub fn push(&mut self, len: usize, token: u32) {
        let i = self.symbols.len() as u32;
        let (start, prev) = match self.symbols.last_mut() {
            Some(last) => {
                last.next = i;
                (last.start + last.len, i - 1)
            }
            None => (0, NONE),
        };
        self.symbols.push(Symbol {
            start,
            len: len as u32,
            prev,
            next: NONE,
            token,
        });
    }

    /// Merges until `rule` allows nothing more. It is given the bytes that two neighbours span and how many of them are the
    /// left one's.
    pub fn merge(&mut self, mut rule: impl FnMut(Range<usize>, usize) -> Option<Merge>) {
        for right in 1..self.symbols.len() as u32 {
            self.consider(right - 1, right, &mut rule);
        }
        while let Some(candidate) = self.candidates.pop() {
            let Reverse((_, left)) = candidate.order;
            let Symbol { len, next, .. } = self.symbols[left as usize];
            if len == 0 || next == NONE {
                continue; // has been merged into its left neighbour, or with the last symbol
            }
            let right = &mut self.symbols[next as usize];
            if len + right.len != candidate.len {
                continue; // one of the two has been merged with another
            }
            right.len = 0;
            let after = right.next;
            if after != NONE {
                self.symbols[after as usize].prev = left;
            }
            let merged = &mut self.symbols[left as usize];
            merged.len = candidate.len;
            merged.next = after;
            merged.token = candidate.token;
            let before = merged.prev;
            self.consider(before, left, &mut rule);
            self.consider(left, after, &mut rule);
        }
    }

    fn consider(
        &mut self,
        left: u32,
        right: u32,
        rule: &mut impl FnMut(Range<usize>, usize) -> Option<Merge>,
    ) {
        if left == NONE || right == NONE {
            return;
        }
        let Symbol { start, len, .. } = self.symbols[left as usize];
        let (start, left_len) = (start as usize, len as usize);
        let len = len + self.symbols[right as usize].len;
        if let Some(Merge { priority, token }) = rule(start..start + len as usize, left_len) {
            self.candidates.push(Candidate {
                order: Reverse((priority, left)),
                len,
                token,
            });
        }
    }

    /// The symbols that are left: their tokens and the bytes they span.
    pub fn symbols(&self) -> impl Iterator<Item = (u32, Range<usize>)> + '_ {
        self.symbols
            .iter()
            .filter(|symbol| symbol.len > 0)
            .map(|symbol| {
                let start = symbol.start as usize;
                (symbol.token, start..start + symbol.len as usize)
            })
    }
}

/// A word in parts of at most [`MAX_WORD_BYTES`], cut between characters.
pub(super) fn parts(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut end = rest.len().min(MAX_WORD_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, more) = rest.split_at(end);
        rest = more;
        (!part.is_empty()).then_some(part)
    })
}
