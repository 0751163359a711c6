//! Byte-pair encoding by a list of merges, `tokenizer.ggml.model` = `gpt2`, and `gemma4`, which differs in its alphabet.
//!
//! A [pre-tokenizer](super::pretokenizer) cuts the text into words. Within a word, the two neighbouring tokens whose merge
//! stands first in `tokenizer.ggml.merges` become one, until no neighbours have a merge.
//!
//! Source: Sennrich et al. 2016 (arXiv 1508.07909); on bytes, Radford et al. 2019 (GPT-2).

use super::byte_level;
use super::error::TokenizerError;
use super::hash::Hash;
use super::merge::{self, Merge, Merger, NONE};
use super::pretokenizer::{Alphabet, PreTokenizer, WholeWords};
use super::sentencepiece::SPACE;
use super::vocab::{Vocab, byte_strings};
use gguf::Metadata;

const MERGES: &str = "tokenizer.ggml.merges";

pub(super) struct BytePair {
    pre_tokenizer: &'static PreTokenizer,
    merges: MergeTable,
    /// The token of each byte; [`NONE`] where the vocabulary has none.
    bytes: Box<[u32; 256]>,
}

impl BytePair {
    pub fn read(
        metadata: &Metadata<'_>,
        vocab: &Vocab,
        pre_tokenizer: &'static PreTokenizer,
    ) -> Result<Self, TokenizerError> {
        let mut bytes = Box::new([NONE; 256]);
        for byte in 0..=255 {
            let token = match pre_tokenizer.alphabet {
                Alphabet::ByteLevel => {
                    let text = byte_level::char_of(byte).to_string();
                    vocab.find_text(text.as_bytes())
                }
                Alphabet::Escaped => vocab.byte_token(byte),
            };
            bytes[usize::from(byte)] = token.unwrap_or(NONE);
        }
        Ok(Self {
            pre_tokenizer,
            merges: MergeTable::read(metadata, vocab)?,
            bytes,
        })
    }

    pub fn alphabet(&self) -> Alphabet {
        self.pre_tokenizer.alphabet
    }

    /// Appends the tokens of a text.
    pub fn encode(&self, vocab: &Vocab, text: &str, merger: &mut Merger, out: &mut Vec<u32>) {
        match self.alphabet() {
            Alphabet::ByteLevel => {
                let mut characters = String::new();
                self.pre_tokenizer.split(text, &mut |word| {
                    if self.pre_tokenizer.whole_words == WholeWords::All {
                        characters.clear();
                        characters.extend(word.bytes().map(byte_level::char_of));
                        if let Some(token) = vocab.find_text(characters.as_bytes()) {
                            return out.push(token);
                        }
                    }
                    for part in merge::parts(word) {
                        merger.start();
                        for byte in part.bytes() {
                            merger.push(1, self.bytes[usize::from(byte)]);
                        }
                        self.merge(part, merger, out);
                    }
                });
            }
            Alphabet::Escaped => {
                let mut utf8 = [0; 4];
                let text = text.replace(' ', SPACE.encode_utf8(&mut utf8));
                self.pre_tokenizer.split(&text, &mut |word| {
                    let whole = self.pre_tokenizer.whole_words == WholeWords::LineEnds
                        && word.bytes().all(|byte| byte == b'\n');
                    if whole && let Some(token) = vocab.find_text(word.as_bytes()) {
                        return out.push(token);
                    }
                    for part in merge::parts(word) {
                        merger.start();
                        for c in part.chars() {
                            let token = vocab.find_text(c.encode_utf8(&mut utf8).as_bytes());
                            merger.push(c.len_utf8(), token.unwrap_or(NONE));
                        }
                        self.merge(part, merger, out);
                    }
                });
            }
        }
    }

    fn merge(&self, word: &str, merger: &mut Merger, out: &mut Vec<u32>) {
        merger.merge(|left, right, _| self.merges.get(left, right));
        for (token, range) in merger.symbols() {
            match token {
                NONE => self.encode_bytes(&word.as_bytes()[range], out),
                token => out.push(token),
            }
        }
    }

    /// Appends the tokens of single bytes, leaving out those that have none.
    pub fn encode_bytes(&self, bytes: &[u8], out: &mut Vec<u32>) {
        let tokens = bytes.iter().map(|&byte| self.bytes[usize::from(byte)]);
        out.extend(tokens.filter(|&token| token != NONE));
    }
}

/// The merges by rank, and a hash table from pairs of tokens to them: open addressing, at most half full.
struct MergeTable {
    hash: Hash,
    /// Rank + 1, 0 when the slot is free.
    slots: Vec<u32>,
    merges: Vec<Row>,
}

struct Row {
    left: u32,
    right: u32,
    merged: u32,
}

impl MergeTable {
    fn read(metadata: &Metadata<'_>, vocab: &Vocab) -> Result<Self, TokenizerError> {
        let merges = byte_strings(metadata, MERGES)?;
        let mut table = Self {
            hash: Hash::new(),
            slots: vec![0; (2 * merges.len()).next_power_of_two()],
            merges: Vec::with_capacity(merges.len()),
        };
        let mut merged = Vec::new();
        for (rank, merge) in merges.enumerate() {
            let error = || TokenizerError::Merge {
                merge: rank,
                found: String::from_utf8_lossy(merge).into(),
            };
            // no token has a space within: the alphabet has none
            let space = merge
                .iter()
                .position(|&byte| byte == b' ')
                .ok_or_else(error)?;
            let (left, right) = (&merge[..space], &merge[space + 1..]);
            let find = |text: &[u8]| {
                vocab
                    .find(text)
                    .ok_or_else(|| TokenizerError::MergeOfMissing {
                        merge: rank,
                        found: String::from_utf8_lossy(merge).into(),
                        missing: String::from_utf8_lossy(text).into(),
                    })
            };
            merged.clear();
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
            table.add(Row {
                left: find(left)?,
                right: find(right)?,
                merged: find(&merged)?,
            });
        }
        Ok(table)
    }

    /// Adds a row. Of two merges of the same pair the first counts.
    fn add(&mut self, row: Row) {
        if let Err(slot) = self.probe(row.left, row.right) {
            self.slots[slot] = self.merges.len() as u32 + 1;
        }
        self.merges.push(row);
    }

    fn get(&self, left: u32, right: u32) -> Option<Merge> {
        let priority = self.probe(left, right).ok()?;
        Some(Merge {
            priority,
            token: self.merges[priority as usize].merged,
        })
    }

    /// The rank of a pair, or the free slot.
    fn probe(&self, left: u32, right: u32) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = self.hash.of_pair(left, right) as usize & mask;
        loop {
            let Some(rank) = self.slots[slot].checked_sub(1) else {
                return Err(slot);
            };
            let row = &self.merges[rank as usize];
            if (row.left, row.right) == (left, right) {
                return Ok(rank);
            }
            slot = (slot + 1) & mask;
        }
    }
}
