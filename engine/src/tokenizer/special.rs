//! Tokens with a meaning: which they are, which of them end a generation, and how they are found in text.

use super::error::TokenizerError;
use super::vocab::{TokenKind, Vocab};
use gguf::Metadata;

/// The special tokens of a file.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub eot: Option<u32>,
    pub unknown: Option<u32>,
    pub padding: Option<u32>,
    /// The tokens after which nothing is generated, in order.
    pub ends: Vec<u32>,
    /// Tokens that are never generated, ascending.
    pub suppressed: Vec<u32>,
}

/// Further tokens that end a generation, by metadata key: the end of a message, and what fill-in-the-middle models write
/// once the middle is filled.
const MORE_ENDS: [&str; 4] = [
    "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id",
    "tokenizer.ggml.fim_sep_token_id",
];

/// Texts that end a turn or a document in the chat formats of the known model families. Few files name all of theirs by
/// key.
const END_TEXTS: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
];

/// The same, but not where the file has them as ordinary text, which they also are (`</s>` is HTML).
const END_TEXTS_UNLESS_NORMAL: &[&str] = &[
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<fim_pad>",
    "<fim-pad>",
    "<reponame>",
];

impl SpecialTokens {
    /// Reads the ids. Tokens that are special whatever the file says become so in `vocab`.
    pub fn read(metadata: &Metadata<'_>, vocab: &mut Vocab) -> Result<Self, TokenizerError> {
        let vocab_size = vocab.len();
        let id = |key: &'static str| match metadata.get_u32(key)? {
            // -1, as written by converters for "none"
            None | Some(u32::MAX) => Ok(None),
            Some(id) if (id as usize) < vocab_size => Ok(Some(id)),
            Some(found) => Err(TokenizerError::SpecialId {
                key,
                found,
                vocab_size,
            }),
        };
        let bos = id("tokenizer.ggml.bos_token_id")?;
        let eos = id("tokenizer.ggml.eos_token_id")?;
        let eot = id("tokenizer.ggml.eot_token_id")?;
        let padding = id("tokenizer.ggml.padding_token_id")?;
        let unknown = id("tokenizer.ggml.unknown_token_id")?
            .or_else(|| vocab.ids_of_kind(TokenKind::Unknown).next());

        let mut ends: Vec<u32> = [eos, eot].into_iter().flatten().collect();
        for key in MORE_ENDS {
            ends.extend(id(key)?);
        }
        for text in [END_TEXTS, END_TEXTS_UNLESS_NORMAL].concat() {
            let Some(id) = vocab.find(text.as_bytes()) else {
                continue;
            };
            if END_TEXTS.contains(&text) || vocab.kind(id) != TokenKind::Normal {
                vocab.set_kind(id, TokenKind::Control);
                ends.push(id);
            }
        }
        // Where a turn ends in <|return|> or <|call|> (the harmony format), <|end|> only ends a message within it.
        let has = |text: &str| vocab.find(text.as_bytes()).is_some();
        if has("<|return|>") && has("<|call|>") || has("<|flush|>") && has("<|calls|>") {
            let end = vocab.find(b"<|end|>");
            ends.retain(|&id| Some(id) != end);
        }
        ends.sort_unstable();
        ends.dedup();

        // What is not in the vocabulary is not generated anyway.
        let suppressed = metadata.get_i32s("tokenizer.ggml.suppress_tokens")?;
        let suppressed = suppressed.into_iter().flatten();
        let mut suppressed: Vec<u32> = suppressed
            .filter_map(|id| u32::try_from(id).ok())
            .filter(|&id| (id as usize) < vocab_size)
            .collect();
        suppressed.sort_unstable();
        suppressed.dedup();
        Ok(Self {
            bos,
            eos,
            eot,
            unknown,
            padding,
            ends,
            suppressed,
        })
    }
}

/// Finds special tokens in text: the leftmost, and of several that start there the longest.
#[derive(Debug)]
pub(super) struct SpecialMatcher {
    /// Control, unknown and user-defined tokens by text.
    sorted: Vec<u32>,
    /// Whether one of them starts with this byte.
    starts: [bool; 256],
    /// The same for those that are found in any text.
    user_defined_starts: [bool; 256],
    /// Whether white space after a special token belongs to it.
    trims_after: bool,
}

/// The tokens of Phi-3 that do not trim.
const UNTRIMMED: [&[u8]; 3] = [b"<unk>", b"<s>", b"<|endoftext|>"];

/// A special token in a text.
pub(super) struct Found {
    pub start: usize,
    pub end: usize,
    pub token: u32,
}

impl SpecialMatcher {
    pub fn new(metadata: &Metadata<'_>, vocab: &Vocab) -> Result<Self, TokenizerError> {
        let mut sorted = Vec::new();
        let mut starts = [false; 256];
        let mut user_defined_starts = [false; 256];
        for id in 0..vocab.len() as u32 {
            let kind = vocab.kind(id);
            if !matches!(
                kind,
                TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined
            ) {
                continue;
            }
            if let Some(&first) = vocab.text(id).first() {
                sorted.push(id);
                starts[usize::from(first)] = true;
                user_defined_starts[usize::from(first)] |= kind == TokenKind::UserDefined;
            }
        }
        sorted.sort_by_key(|&id| vocab.text(id));
        // Phi-3's tokenizer.json says so of its tokens ("rstrip"); GGUF has no key for it.
        let name = metadata.get_str("general.name")?.unwrap_or_default();
        let name = name.to_lowercase();
        Ok(Self {
            sorted,
            starts,
            user_defined_starts,
            trims_after: name.contains("phi-3") || name.contains("phi3"),
        })
    }

    /// The first special token of `text`. User-defined tokens are found always, control and unknown tokens if `all`.
    pub fn find(&self, vocab: &Vocab, text: &str, all: bool) -> Option<Found> {
        let starts = if all {
            &self.starts
        } else {
            &self.user_defined_starts
        };
        let bytes = text.as_bytes();
        let (start, token) = bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| starts[usize::from(**byte)])
            .find_map(|(at, _)| Some((at, self.longest(vocab, &bytes[at..], all)?)))?;
        let mut end = start + vocab.text(token).len();
        if self.trims_after && !UNTRIMMED.contains(&vocab.text(token)) {
            end = text.len() - text[end..].trim_start_matches(is_c_space).len();
        }
        Some(Found { start, end, token })
    }

    /// The longest token that `text` starts with.
    fn longest(&self, vocab: &Vocab, text: &[u8], all: bool) -> Option<u32> {
        let byte_of = |id: u32, at: usize| vocab.text(id).get(at).copied();
        let mut longest = None;
        // the tokens that agree with the text so far, the shortest of them first
        let mut agreeing = &self.sorted[..];
        for at in 0.. {
            let ended = agreeing.iter().take_while(|&&id| byte_of(id, at).is_none());
            let allowed = |id: &u32| all || vocab.kind(*id) == TokenKind::UserDefined;
            longest = ended.copied().find(allowed).or(longest);
            let Some(&byte) = text.get(at) else { break };
            let from = agreeing.partition_point(|&id| byte_of(id, at) < Some(byte));
            let to = agreeing.partition_point(|&id| byte_of(id, at) <= Some(byte));
            agreeing = &agreeing[from..to];
            if agreeing.is_empty() {
                break;
            }
        }
        longest
    }
}

/// White space in C's default locale.
fn is_c_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}
