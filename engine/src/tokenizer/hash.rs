//! A fast hash for short keys, and a hash table from the texts of tokens to their ids.
//!
//! Building a table of some 10^5 tokens and 10^5 merges stands between opening a file and its first token, so the hash is a
//! few multiplications (the folded multiply of wyhash and foldhash) rather than SipHash. It is seeded anew in every process,
//! so that no file can be made whose tokens all collide.

use std::hash::{BuildHasher, RandomState};

/// Hash of a process-wide secret and the key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash {
    seed: u64,
}

impl Hash {
    pub fn new() -> Self {
        Self {
            seed: RandomState::new().hash_one(0u64),
        }
    }

    pub fn of_bytes(self, bytes: &[u8]) -> u64 {
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

    pub fn of_pair(self, left: u32, right: u32) -> u64 {
        fold(self.seed, u64::from(left) << 32 | u64::from(right))
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
/// slot  │ upper half of the hash u32 │ id + 1 u32, 0 when the slot is free │
/// ```
#[derive(Debug)]
pub(super) struct TextIndex {
    hash: Hash,
    slots: Vec<u64>,
}

impl TextIndex {
    pub fn with_capacity(tokens: usize) -> Self {
        Self {
            hash: Hash::new(),
            slots: vec![0; (2 * tokens).next_power_of_two()],
        }
    }

    /// The id of `text`, where `text_of` gives the text of an id.
    pub fn find<'t>(&self, text: &[u8], text_of: impl Fn(u32) -> &'t [u8]) -> Option<u32> {
        self.probe(text, text_of).ok()
    }

    /// Adds an id under its text, unless a lower one has that text already.
    pub fn insert<'t>(&mut self, id: u32, text_of: impl Fn(u32) -> &'t [u8]) {
        if let Err((slot, tag)) = self.probe(text_of(id), text_of) {
            self.slots[slot] = tag | u64::from(id + 1);
        }
    }

    /// The id, or the free slot and the tag to fill it with.
    fn probe<'t>(
        &self,
        text: &[u8],
        text_of: impl Fn(u32) -> &'t [u8],
    ) -> Result<u32, (usize, u64)> {
        let hash = self.hash.of_bytes(text);
        let tag = hash & !0xffff_ffff;
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.slots[slot];
            let id = entry as u32;
            if id == 0 {
                return Err((slot, tag));
            }
            if entry & !0xffff_ffff == tag && text_of(id - 1) == text {
                return Ok(id - 1);
            }
            slot = (slot + 1) & mask;
        }
    }
}
