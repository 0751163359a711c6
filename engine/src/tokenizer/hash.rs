//! A hash table from the texts of tokens to their ids.
//!
//! Building a table of some 10^5 tokens stands between opening a file and its first token, so the hash is a few
//! multiplications (the folded multiply of wyhash and foldhash) rather than SipHash, and a slot has 4 bytes, so that the
//! table fits the processor's caches. It is seeded anew in every process, so that no file can be made whose tokens all
//! collide.

use std::hash::{BuildHasher, RandomState};

/// Hash of a process-wide secret and the key.
#[derive(Clone, Copy, Debug)]
struct Hash {
    seed: u64,
}

impl Hash {
    fn new() -> Self {
        Self {
            seed: RandomState::new().hash_one(0u64),
        }
    }

    fn of(self, bytes: &[u8]) -> u64 {
        let mut state = self.seed ^ bytes.len() as u64;
        let mut rest = bytes;
        while let Some((chunk, more)) = rest.split_first_chunk() {
            state = fold(state, u64::from_le_bytes(*chunk));
            rest = more;
        }
        let tail = match (rest.first_chunk(), rest.last_chunk(), rest) {
            (Some(low), Some(high), _) => {
                u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << 32
            }
            (_, _, [first, .., last]) => {
                u64::from(*first) | u64::from(rest[rest.len() / 2]) << 8 | u64::from(*last) << 16
            }
            (_, _, [only]) => u64::from(*only),
            _ => 0,
        };
        fold(state, tail)
    }
}

/// Spreads every bit of both over the result.
fn fold(state: u64, word: u64) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / golden ratio
    let product = u128::from(state ^ word) * u128::from(MIX ^ word.rotate_left(32));
    (product as u64) ^ (product >> 64) as u64
}

/// Token ids by text. Open addressing, at most half full.
///
/// ```text
/// slot  │ tag: the upper bits of the hash │ id + 1, 0 when the slot is free │   u32
/// ```
#[derive(Debug)]
pub(super) struct TextIndex {
    hash: Hash,
    slots: Vec<u32>,
    /// The bits of a slot that hold id + 1.
    id_mask: u32,
}

impl TextIndex {
    /// An index for ids below `tokens`.
    pub fn with_capacity(tokens: u32) -> Self {
        Self {
            hash: Hash::new(),
            slots: vec![0; (2 * tokens as usize).next_power_of_two()],
            id_mask: u32::MAX >> tokens.leading_zeros(),
        }
    }

    /// The id of `text`, where `text_of` gives the text of an id.
    pub fn find<'t>(&self, text: &[u8], text_of: impl Fn(u32) -> &'t [u8]) -> Option<u32> {
        self.probe(text, text_of).ok()
    }

    /// Adds an id under its text, unless a lower one has that text already. Returns whether it was added.
    pub fn insert<'t>(&mut self, id: u32, text_of: impl Fn(u32) -> &'t [u8]) -> bool {
        match self.probe(text_of(id), text_of) {
            Ok(_) => false,
            Err((slot, tag)) => {
                self.slots[slot] = tag | (id + 1);
                true
            }
        }
    }

    /// The id, or the free slot and the tag to fill it with.
    fn probe<'t>(
        &self,
        text: &[u8],
        text_of: impl Fn(u32) -> &'t [u8],
    ) -> Result<u32, (usize, u32)> {
        let hash = self.hash.of(text);
        let tag = (hash >> 32) as u32 & !self.id_mask;
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.slots[slot];
            let Some(id) = (entry & self.id_mask).checked_sub(1) else {
                return Err((slot, tag));
            };
            if entry & !self.id_mask == tag && text_of(id) == text {
                return Ok(id);
            }
            slot = (slot + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_text_and_no_other() {
        // as many texts as the ids need all bits for, of every length
        let texts: Vec<Vec<u8>> = (0..1023u32)
            .map(|i| format!("{i}{}", "x".repeat(i as usize % 19)).into_bytes())
            .collect();
        let text_of = |id: u32| texts[id as usize].as_slice();
        let mut index = TextIndex::with_capacity(1023);
        for id in 0..1023 {
            assert!(index.insert(id, text_of));
            assert!(!index.insert(id, text_of));
        }
        for (id, text) in texts.iter().enumerate() {
            assert_eq!(index.find(text, text_of), Some(id as u32));
            assert_eq!(index.find(&[text, &b"y"[..]].concat(), text_of), None);
        }
        assert_eq!(index.find(b"", text_of), None);
    }
}
