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
use super::texts::{Short, Texts};
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
    /// Reads what can be read before texts can be looked up.
    pub fn draft<'a>(
        metadata: &Metadata<'a>,
        texts: &Texts,
    ) -> Result<MergeDraft<'a>, TokenizerError> {
        MergeDraft::read(byte_strings(metadata, MERGES)?, texts)
    }

    pub fn new<'a>(
        draft: MergeDraft<'a>,
        metadata: &Metadata<'a>,
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
            merges: draft.complete(metadata, vocab)?,
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
/// that are the left neighbour's. So neither half of a merge has to be looked up when the table is built. A merge whose
/// halves are no tokens never comes about.
struct MergeTable {
    /// A row of each token, from which the others that make it are reached; [`NONE`] where it has none.
    last: Vec<u32>,
    /// By rank.
    rows: Vec<Row>,
}

struct Row {
    left_len: u32,
    /// Another row that makes the same token, or [`NONE`].
    before: u32,
}

impl MergeTable {
    /// Says that a merge makes a token.
    #[inline]
    fn link(&mut self, rank: u32, token: u32) {
        let last = &mut self.last[token as usize];
        self.rows[rank as usize].before = std::mem::replace(last, rank);
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
        let mut first = NONE;
        let mut rank = self.last[token as usize];
        while rank != NONE {
            let row = &self.rows[rank as usize];
            if row.left_len as usize == left_len {
                first = first.min(rank);
            }
            rank = row.before;
        }
        let priority = first;
        (priority != NONE).then_some(Merge { priority, token })
    }
}

/// The merge table while texts cannot be looked up yet, since their index is being built beside. Of nearly all merges it is
/// known all the same what they make; see [`Guess`].
pub(super) struct MergeDraft<'a> {
    table: MergeTable,
    /// Ranks and merges of which it is not.
    left: Vec<(u32, &'a [u8])>,
}

impl<'a> MergeDraft<'a> {
    fn read(
        merges: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
        texts: &Texts,
    ) -> Result<Self, TokenizerError> {
        let mut table = MergeTable {
            last: vec![NONE; texts.len()],
            rows: Vec::with_capacity(merges.len()),
        };
        let mut left = Vec::new();
        let mut guess = Guess {
            near: 0,
            patience: 4 * texts.len(),
        };
        for (rank, (merge, beyond)) in merges.enumerate() {
            let short = Short::load(beyond, merge.len());
            let (left_len, token) = match short.and_then(Short::joined_at_space) {
                Some((joined, left_len)) => {
                    let is_joined = |id| texts.short(id) == Some(joined);
                    (left_len, guess.token(texts, is_joined))
                }
                None => {
                    let (left, right) = halves(rank, merge)?;
                    let is_joined = |id| {
                        let halves = texts.get(id).split_at_checked(left.len());
                        halves.is_some_and(|(start, end)| start == left && end == right)
                    };
                    (left.len(), guess.token(texts, is_joined))
                }
            };
            table.rows.push(Row {
                left_len: left_len as u32,
                before: NONE,
            });
            match token {
                Some(token) => table.link(rank as u32, token),
                None => left.push((rank as u32, merge)),
            }
        }
        Ok(Self { table, left })
    }

    /// Looks up what is left.
    fn complete(
        self,
        metadata: &Metadata<'a>,
        vocab: &Vocab,
    ) -> Result<MergeTable, TokenizerError> {
        let Self {
            mut table,
            mut left,
        } = self;
        if !vocab.is_unique() {
            // Of equal tokens the first counts, which need not be the one that was near.
            let merges = byte_strings(metadata, MERGES)?.map(|(merge, _)| merge);
            left = (0..).zip(merges).collect();
            table.last.fill(NONE);
        }
        let mut joined = Vec::new();
        for (rank, merge) in left {
            let (left, right) = halves(rank as usize, merge)?;
            joined.clear();
            joined.extend_from_slice(left);
            joined.extend_from_slice(right);
            let token = vocab.find(&joined);
            let token = token.ok_or_else(|| TokenizerError::MergeOfMissing {
                merge: rank as usize,
                found: String::from_utf8_lossy(merge).into_owned(),
                missing: String::from_utf8_lossy(&joined).into_owned(),
            })?;
            table.link(rank, token);
        }
        Ok(table)
    }
}

/// What a merge makes, without an index.
///
/// Files list merges in the order of the tokens they make. So nearly always, that is what the merge before made, or the next
/// token, and a look at the texts of these two is enough.
struct Guess {
    /// What the last merge made of which that is known.
    near: u32,
    /// How many more texts are looked at for merges of which that is not true.
    patience: usize,
}

impl Guess {
    /// How many tokens that no merge makes may stand between two that merges make: at the beginning, those of bytes.
    const GAP_TOKENS: u32 = 512;

    /// The token of which `is_joined` is true, if it is found.
    #[inline]
    fn token(&mut self, texts: &Texts, is_joined: impl Fn(u32) -> bool) -> Option<u32> {
        let (near, count) = (self.near, texts.len() as u32);
        // Which of the two it is cannot be foreseen: no branch depends on it.
        let is_near = is_joined(near);
        if is_near | is_joined((near + 1).min(count - 1)) {
            self.near += u32::from(!is_near);
            return Some(self.near);
        }
        let end = count.min(near.saturating_add(Self::GAP_TOKENS));
        let further = (near..end).skip(2).take(self.patience);
        let found = further.clone().find(|&id| is_joined(id));
        self.patience -= found.map_or(further.len(), |id| (id - near - 1) as usize);
        self.near = found.unwrap_or(near);
        found
    }
}

/// The two tokens of a merge. No token has a space within: the alphabet has none.
fn halves(rank: usize, merge: &[u8]) -> Result<(&[u8], &[u8]), TokenizerError> {
    let space = merge.iter().position(|&byte| byte == b' ');
    match space {
        Some(at) if at > 0 && at + 1 < merge.len() => Ok((&merge[..at], &merge[at + 1..])),
        _ => Err(TokenizerError::Merge {
            merge: rank,
            found: String::from_utf8_lossy(merge).into_owned(),
        }),
    }
}
