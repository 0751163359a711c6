//! A hash table from the texts of tokens to their ids.
//!
//! Building a table of some 10^5 tokens stands between opening a file and its first token, so the hash is a few
//! multiplications (the folded multiply of wyhash and foldhash) rather than SipHash, and a slot has 4 bytes, so that the
//! table fits the processor's caches. It is seeded anew in every process, so that no file can be made whose tokens all
//! collide.

use super::texts::{Short, Texts};
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

    /// Of the first 16 bytes as two words, then of the others word by word, the last filled up with zeros.
    fn of(self, bytes: &[u8]) -> u64 {
        let (start, rest) = bytes.split_at(bytes.len().min(Short::MAX_BYTES));
        let (low, high) = start.split_at(start.len().min(8));
        let state = self.of_words(bytes.len(), word(low), word(high));
        rest.chunks(8)
            .fold(state, |state, chunk| fold(state, word(chunk)))
    }

    /// The same of a short text.
    #[inline]
    fn of_short(self, text: Short) -> u64 {
        self.of_words(text.len, text.word as u64, (text.word >> 64) as u64)
    }

    #[inline]
    fn of_words(self, len: usize, low: u64, high: u64) -> u64 {
        fold(fold(self.seed ^ len as u64, low), high)
    }
}

/// At most 8 bytes, the first lowest, then zeros.
fn word(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    match (bytes.first_chunk(), bytes.last_chunk(), bytes) {
        // Where the halves overlap, they are the same.
        (Some(low), Some(high), _) => {
            let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
            u64::from(low) | u64::from(high) << (8 * (len - 4))
        }
        (_, _, [first, .., last]) => {
            let middle = u64::from(bytes[len / 2]) << (8 * (len / 2));
            u64::from(*first) | middle | u64::from(*last) << (8 * (len - 1))
        }
        (_, _, [only]) => u64::from(*only),
        _ => 0,
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
/// slot  │ tag: the upper bits of the hash │ id, all ones when the slot is free │   u32
/// ```
#[derive(Debug)]
pub(super) struct TextIndex {
    hash: Hash,
    slots: Vec<u32>,
    /// The bits of a slot that hold the id.
    id_mask: u32,
}

impl TextIndex {
    /// An index of all texts but empty ones: some files fill up their vocabulary with them, and nothing can be encoded as
    /// one. Of equal texts it finds the lowest id. Also returns whether there were none.
    pub fn new(texts: &Texts) -> (Self, bool) {
        /// How many ids go in together.
        const BATCH: usize = 16;

        let count = texts.len() as u32;
        let mut index = Self {
            hash: Hash::new(),
            // Written, since zeros would come from the system as pages that are first read and then written: two faults
            // each, and an interrupt on the other cores.
            slots: vec![u32::MAX; (2 * texts.len()).next_power_of_two()],
            id_mask: u32::MAX >> count.leading_zeros(),
        };
        let mut is_unique = true;
        for start in (0..count).step_by(BATCH) {
            let ids = start..count.min(start + BATCH as u32);
            let mut hashes = [0; BATCH];
            let mut touched = 0;
            for (id, hash) in ids.clone().zip(&mut hashes) {
                *hash = match texts.short(id) {
                    Some(short) => index.hash.of_short(short),
                    None => index.hash.of(texts.get(id)),
                };
                // The slots of a batch come into the cache together, rather than each when a decision depends on it.
                touched |= index.slots[*hash as usize & (index.slots.len() - 1)];
            }
            std::hint::black_box(touched);
            for (id, hash) in ids.zip(hashes) {
                let text = texts.get(id);
                if text.is_empty() {
                    continue;
                }
                match index.probe(hash, text, texts) {
                    Ok(_) => is_unique = false,
                    Err((slot, tag)) => index.slots[slot] = tag | id,
                }
            }
        }
        (index, is_unique)
    }

    /// The id of `text`.
    pub fn find(&self, text: &[u8], texts: &Texts) -> Option<u32> {
        self.probe(self.hash.of(text), text, texts).ok()
    }

    /// The id, or the free slot and the tag to fill it with.
    #[inline]
    fn probe(&self, hash: u64, text: &[u8], texts: &Texts) -> Result<u32, (usize, u32)> {
        let tag = (hash >> 32) as u32 & !self.id_mask;
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.slots[slot];
            let id = entry & self.id_mask;
            if id == self.id_mask {
                return Err((slot, tag));
            }
            if entry & !self.id_mask == tag && texts.get(id) == text {
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
        let list: Vec<Vec<u8>> = (0..1023u32)
            .map(|i| format!("{i}{}", "x".repeat(i as usize % 29)).into_bytes())
            .collect();
        let read = |list: &[Vec<u8>]| Texts::read(list.iter().map(|text| (&text[..], &text[..])));
        let texts = read(&list).unwrap();
        let (index, is_unique) = TextIndex::new(&texts);
        assert!(is_unique);
        for (id, text) in list.iter().enumerate() {
            assert_eq!(index.find(text, &texts), Some(id as u32));
            assert_eq!(index.find(&[text, &b"y"[..]].concat(), &texts), None);
        }
        assert_eq!(index.find(b"", &texts), None);

        // the lowest of equal ones is found, and empty ones are not
        let list = ["b", "", "a", "b", "", "a"].map(|text| text.as_bytes().to_vec());
        let texts = read(&list).unwrap();
        let (index, is_unique) = TextIndex::new(&texts);
        assert!(!is_unique);
        let found = [b"a", b"b"].map(|text| index.find(text, &texts));
        assert_eq!(found, [Some(2), Some(0)]);
        assert_eq!(index.find(b"", &texts), None);
        let (_, is_unique) = TextIndex::new(&read(&list[..3]).unwrap());
        assert!(is_unique);
    }

    #[test]
    fn short_texts_hash_as_any() {
        let hash = Hash::new();
        let text: Vec<u8> = (1..=17).collect();
        for len in 0..=16 {
            let short = Short::load(&text, len).unwrap();
            assert_eq!(hash.of(&text[..len]), hash.of_short(short), "{len}");
        }
        // Zeros at the end are part of a text.
        let lens = [0, 1, 7, 8, 9, 16, 17, 24];
        let hashes = lens.map(|len| hash.of(&vec![0; len]));
        for (i, one) in hashes.iter().enumerate() {
            assert!(!hashes[..i].contains(one), "{hashes:?}");
        }
    }
}
