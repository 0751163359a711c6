//! SentencePiece's byte-pair encoding, `tokenizer.ggml.model` = `llama`.
//!
//! Spaces become U+2581 (▁), one is put before the text, and of all neighbours whose concatenation is a token, those with the
//! best score are merged first, over the whole text. There is no list of merges: the scores are the ranks. Characters that
//! end up as no token go by byte tokens `<0x00>` to `<0xFF>`, or, in a vocabulary without them, as one unknown token for
//! each stretch of such characters.
//!
//! Source: Kudo and Richardson 2018 (arXiv 1808.06226) and SentencePiece's `bpe_model.cc`.

use super::error::TokenizerError;
use super::merge::{MAX_WORD_BYTES, Merge, Merger, NONE};
use super::texts::Texts;
use super::vocab::{Vocab, check_len};
use gguf::Metadata;
use std::borrow::Cow;

const SCORES: &str = "tokenizer.ggml.scores";

/// What stands for a space in the texts of tokens.
pub(super) const SPACE: char = '\u{2581}';
/// The same, in bytes.
const ESCAPED_SPACE: &[u8] = "\u{2581}".as_bytes();

/// Appends the text of a token with spaces for what stands for them.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = match rest.strip_prefix(ESCAPED_SPACE) {
            Some(after) => {
                out.push(b' ');
                after
            }
            None => {
                out.push(*first);
                after
            }
        };
    }
}

#[derive(Debug)]
pub(super) struct SentencePiece {
    /// By token: the better the score, the lower.
    priorities: Vec<u32>,
    unknown: Option<u32>,
    adds_space_prefix: bool,
    removes_extra_spaces: bool,
    /// Whether a token has this byte right before a ▁. Where none has, nothing merges across, and the text can be cut.
    joins_space: Box<[bool; 256]>,
}

impl SentencePiece {
    pub fn read(metadata: &Metadata<'_>, texts: &Texts) -> Result<Self, TokenizerError> {
        let mut joins_space = Box::new([false; 256]);
        for id in 0..texts.len() as u32 {
            let text = texts.get(id);
            for (at, &before) in (1..text.len()).zip(text) {
                // Looks at one byte first, since nearly always that is not it.
                if text[at] == ESCAPED_SPACE[0] && text[at..].starts_with(ESCAPED_SPACE) {
                    joins_space[usize::from(before)] = true;
                }
            }
        }
        let flag = |key| metadata.get_bool(key);
        Ok(Self {
            priorities: read_priorities(metadata, texts.len())?,
            unknown: None,
            adds_space_prefix: flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true),
            removes_extra_spaces: flag("tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false),
            joins_space,
        })
    }

    /// Sets what stands for what the vocabulary cannot express.
    pub fn with_unknown(self, unknown: Option<u32>) -> Self {
        Self { unknown, ..self }
    }

    pub fn adds_space_prefix(&self) -> bool {
        self.adds_space_prefix
    }

    /// Appends the tokens of a text; `first` if nothing or a special token stands before it.
    pub fn encode(
        &self,
        vocab: &Vocab,
        text: &str,
        first: bool,
        merger: &mut Merger,
        out: &mut Vec<u32>,
    ) {
        let text = if self.removes_extra_spaces {
            let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
            Cow::Owned(words.join(" "))
        } else {
            Cow::Borrowed(text)
        };
        let mut unknown_since = None;
        let mut segment = String::new();
        if first && self.adds_space_prefix && !text.is_empty() {
            segment.push(SPACE);
        }
        for c in text.chars() {
            let c = if c == ' ' { SPACE } else { c };
            let last = segment.as_bytes().last();
            let cut = c == SPACE && last.is_some_and(|&last| !self.joins_space[usize::from(last)]);
            if cut || segment.len() >= MAX_WORD_BYTES {
                self.encode_segment(vocab, &segment, merger, &mut unknown_since, out);
                segment.clear();
            }
            segment.push(c);
        }
        self.encode_segment(vocab, &segment, merger, &mut unknown_since, out);
    }

    /// `unknown_since`: the length of `out` after the last unknown token.
    fn encode_segment(
        &self,
        vocab: &Vocab,
        segment: &str,
        merger: &mut Merger,
        unknown_since: &mut Option<usize>,
        out: &mut Vec<u32>,
    ) {
        merger.start();
        for c in segment.chars() {
            merger.push(c.len_utf8(), NONE);
        }
        let bytes = segment.as_bytes();
        merger.merge(|range, _| {
            let token = vocab.find_text(&bytes[range])?;
            let priority = self.priorities[token as usize];
            Some(Merge { priority, token })
        });
        for (token, range) in merger.symbols() {
            let text = &bytes[range];
            let token = match token {
                NONE => vocab.find_text(text),
                merged => Some(merged),
            };
            match token {
                Some(token) => out.push(token),
                None => self.encode_bytes(vocab, text, unknown_since, out),
            }
        }
    }

    /// Appends the byte tokens of what is no token, or the unknown token if there are none and it was not the last.
    pub fn encode_bytes(
        &self,
        vocab: &Vocab,
        bytes: &[u8],
        unknown_since: &mut Option<usize>,
        out: &mut Vec<u32>,
    ) {
        for &byte in bytes {
            match vocab.byte_token(byte) {
                Some(token) => out.push(token),
                None if *unknown_since == Some(out.len()) => {}
                None => {
                    out.extend(self.unknown);
                    *unknown_since = Some(out.len());
                }
            }
        }
    }
}

/// Scores as numbers that sort the other way round, so that one kind of heap serves scores and ranks.
fn read_priorities(metadata: &Metadata<'_>, expected: usize) -> Result<Vec<u32>, TokenizerError> {
    let scores = metadata.require_array(SCORES)?;
    check_len(SCORES, expected, scores.len())?;
    // a list of whole numbers in Python becomes an array of i32
    let priorities = match (scores.f32s(), scores.i32s()) {
        (Some(scores), _) => scores.map(priority).collect(),
        (_, Some(scores)) => scores.map(|score| priority(score as f32)).collect(),
        _ => {
            let found = scores.ty().to_string();
            return Err(TokenizerError::ScoreType { found });
        }
    };
    let priorities: Vec<Option<u32>> = priorities;
    priorities
        .into_iter()
        .enumerate()
        .map(|(token, priority)| priority.ok_or(TokenizerError::Score { token }))
        .collect()
}

/// `None` if the score is not a number.
fn priority(score: f32) -> Option<u32> {
    if score.is_nan() {
        return None;
    }
    let bits = (score + 0.0).to_bits(); // -0.0 + 0.0 is 0.0
    let ascending = match bits >> 31 {
        0 => bits | 1 << 31,
        _ => !bits,
    };
    Some(!ascending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_order_scores_from_best_to_worst() {
        let scores = [
            f32::INFINITY,
            3.5,
            1e-40,
            0.0,
            -1e-40,
            -1.0,
            -1000.0,
            f32::MIN,
            f32::NEG_INFINITY,
        ];
        for pair in scores.windows(2) {
            assert!(priority(pair[0]) < priority(pair[1]), "{pair:?}");
        }
        assert_eq!(priority(-0.0), priority(0.0));
        assert_eq!(priority(f32::NAN), None);
    }
}
