//! Byte-pair encoding by a list of merges, `tokenizer.ggml.model` = `gpt2`, and `gemma4`, which differs in its alphabet.
//!
//! A [pre-tokenizer](super::pretokenizer) cuts the text into words. Within a word, the two neighbouring tokens whose merge
//! stands first in `tokenizer.ggml.merges` become one, until no neighbours have a merge.
//!
//! Source: Sennrich et al. 2016 (arXiv 1508.07909); on bytes, Radford et al. 2019 (GPT-2).

use super::byte_level;
use super::error::TokenizerError;
use super::merge::{self, Merge, Merger, NONE};
use super::pretokenizer::{Alphabet, PreTokenizer, WholeWords};
use super::sentencepiece::SPACE;
use super::vocab::{Vocab, byte_strings};
use gguf::Metadata;
use std::ops::Range;

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
                let mut spelled = String::new();
                self.pre_tokenizer.split(text, &mut |word| {
                    for part in merge::parts(word) {
                        spelled.clear();
                        spelled.extend(part.bytes().map(byte_level::char_of));
                        self.encode_word(vocab, &spelled, merger, out);
                    }
                });
            }
            Alphabet::Escaped => {
                let mut utf8 = [0; 4];
                let text = text.replace(' ', SPACE.encode_utf8(&mut utf8));
                self.pre_tokenizer.split(&text, &mut |word| {
                    for part in merge::parts(word) {
                        self.encode_word(vocab, part, merger, out);
                    }
                });
            }
        }
    }

    /// Appends the tokens of a word as the vocabulary spells it.
    fn encode_word(&self, vocab: &Vocab, word: &str, merger: &mut Merger, out: &mut Vec<u32>) {
        let whole = match self.pre_tokenizer.whole_words {
            WholeWords::None => false,
            WholeWords::All => true,
            WholeWords::LineEnds => word.bytes().all(|byte| byte == b'\n'),
        };
        if whole && let Some(token) = vocab.find_text(word.as_bytes()) {
            return out.push(token);
        }
        merger.start();
        for c in word.chars() {
            merger.push(c.len_utf8(), NONE);
        }
        merger.merge(|range, left_len| self.merges.get(vocab, word, range, left_len));
        for (token, range) in merger.symbols() {
            let text = &word.as_bytes()[range];
            match token {
                NONE => match vocab.find_text(text) {
                    Some(token) => out.push(token),
                    None if self.alphabet() == Alphabet::Escaped => self.encode_bytes(text, out),
                    None => {}
                },
                merged => out.push(merged),
            }
        }
    }

    /// Appends the tokens of single bytes, leaving out those that have none.
    pub fn encode_bytes(&self, bytes: &[u8], out: &mut Vec<u32>) {
        let tokens = bytes.iter().map(|&byte| self.bytes[usize::from(byte)]);
        out.extend(tokens.filter(|&token| token != NONE));
    }
}

/// The merges by what they make.
///
/// What two neighbours make together is found by its text, as a token; what is left to know of a merge is how many bytes of
/// that are the left neighbour's. So neither half of a merge has to be looked up when the table is built, and what it makes
/// stands near what the merge before it made, or is the same: files list merges in the order of the tokens they make. A
/// merge whose halves are no tokens never comes about.
struct MergeTable {
    /// The last row of each token; [`NONE`] where it has none.
    last: Vec<u32>,
    /// By rank.
    rows: Vec<Row>,
}

struct Row {
    left_len: u32,
    /// The row before this one that makes the same token, or [`NONE`].
    before: u32,
}

impl MergeTable {
    fn read(metadata: &Metadata<'_>, vocab: &Vocab) -> Result<Self, TokenizerError> {
        let merges = byte_strings(metadata, MERGES)?;
        let mut rows: Vec<Row> = Vec::with_capacity(merges.len());
        let mut last = vec![NONE; vocab.len()];
        let mut near = 0;
        for (rank, merge) in merges.enumerate() {
            let found = || String::from_utf8_lossy(merge).into_owned();
            // no token has a space within: the alphabet has none
            let space = merge.iter().position(|&byte| byte == b' ');
            let (left, right) = match space {
                Some(at) if at > 0 && at + 1 < merge.len() => (&merge[..at], &merge[at + 1..]),
                _ => {
                    return Err(TokenizerError::Merge {
                        merge: rank,
                        found: found(),
                    });
                }
            };
            let merged = vocab.find_near(near, left, right);
            let merged = merged.ok_or_else(|| TokenizerError::MergeOfMissing {
                merge: rank,
                found: found(),
                missing: String::from_utf8_lossy(&[left, right].concat()).into_owned(),
            })?;
            near = merged;
            let before = std::mem::replace(&mut last[merged as usize], rank as u32);
            rows.push(Row {
                left_len: left.len() as u32,
                before,
            });
        }
        Ok(Self { last, rows })
    }

    /// What two neighbours become that span a range of a word. Of two equal merges the first counts.
    fn get(
        &self,
        vocab: &Vocab,
        word: &str,
        range: Range<usize>,
        left_len: usize,
    ) -> Option<Merge> {
        let token = vocab.find_text(&word.as_bytes()[range])?;
        let mut first = None;
        let mut rank = self.last[token as usize];
        while rank != NONE {
            let row = &self.rows[rank as usize];
            if row.left_len as usize == left_len {
                first = Some(rank);
            }
            rank = row.before;
        }
        first.map(|priority| Merge { priority, token })
    }
}
