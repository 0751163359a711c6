//! Asking for what is read next while one computes.

use crate::prefetch;

/// Memory that is read next, asked for piece by piece: a core can have some
/// twenty lines under way, and forgets what it is asked for beyond that.
pub struct Ahead<'a> {
    bytes: &'a [u8],
    /// How far it has been asked for, and how much further each time.
    at: usize,
    piece: usize,
}

impl<'a> Ahead<'a> {
    /// `bytes` in as many pieces.
    #[inline(always)]
    pub fn new(bytes: &'a [u8], pieces: usize) -> Ahead<'a> {
        let piece = match bytes.len() {
            0 => 0,
            len => len.div_ceil(pieces.max(1)).next_multiple_of(64),
        };
        let at = 0;
        Ahead { bytes, at, piece }
    }

    /// There was nothing to ask for from the beginning.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.piece == 0
    }

    /// Asks for a piece.
    #[inline(always)]
    pub fn ask(&mut self) {
        let end = (self.at + self.piece).min(self.bytes.len());
        while self.at < end {
            prefetch::to_level(false, self.bytes, self.at);
            self.at += 64;
        }
    }
}
