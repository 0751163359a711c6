//! Text to token ids and back, from the metadata of a GGUF file.
//!
//! ```text
//!   text ─┬─ special tokens, found by their text ──────────────────────────────────────────┐
//!         └─ between them ─┬─ llama: spaces to ▁, merges by score ─────────────────────────┼─ ids
//!                          └─ gpt2:  words by the pre-tokenizer, merges by rank in each ───┘
//!
//!   ids ─── bytes of each token ─── characters as they become complete ─── text
//! ```
//!
//! Source of the keys: the GGUF specification, section "Tokenizer". Which model does what is written in
//! `sentencepiece` (`llama`), `byte_pair` (`gpt2`, `gemma4`) and `pretokenizer`.

mod byte_level;
mod byte_pair;
mod detokenizer;
mod error;
mod hash;
mod merge;
mod pretokenizer;
mod sentencepiece;
mod special;
mod texts;
mod vocab;

#[cfg(test)]
mod tests;

use byte_pair::{BytePair, MergeDraft};
use gguf::Metadata;
use merge::Merger;
use pretokenizer::{Alphabet, PreTokenizer};
use sentencepiece::SentencePiece;
use special::{SpecialMatcher, SpecialTokens};
use std::borrow::Cow;
use std::ops::Range;
use vocab::{TokenKind, Vocab};

pub use detokenizer::{Decode, Detokenizer};
pub use error::TokenizerError;

/// How text is turned into tokens. By default it is text and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encode {
    /// BOS before and EOS after the text, where the model wants them.
    pub add_special: bool,
    /// The texts of control tokens become these tokens. For text that an application has put together, such as a rendered
    /// chat template; what a user wrote must not be able to end its own turn.
    pub parse_special: bool,
}

/// A vocabulary and the way to encode with it.
///
/// ```
/// use firstlight::tokenizer::{Encode, Tokenizer};
/// # let file = gguf::write::Writer::new()
/// #     .metadata("tokenizer.ggml.model", "llama")
/// #     .metadata("tokenizer.ggml.tokens", vec!["<unk>", "▁", "h", "i", "hi", "▁hi"])
/// #     .metadata("tokenizer.ggml.token_type", vec![2i32, 1, 1, 1, 1, 1])
/// #     .metadata("tokenizer.ggml.scores", vec![0f32, -3.0, -3.0, -3.0, -1.0, -2.0])
/// #     .finish();
/// # let file = gguf::Gguf::parse(&file)?;
/// let tokenizer = Tokenizer::new(file.metadata())?;
/// let ids = tokenizer.encode("hi", Encode::default());
/// assert_eq!(ids, [5]);
/// assert_eq!(tokenizer.token_text(5), "▁hi");
/// assert_eq!(tokenizer.decode(&ids), "hi");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tokenizer {
    vocab: Vocab,
    model: Model,
    special: SpecialTokens,
    matcher: SpecialMatcher,
    adds_bos: bool,
    adds_eos: bool,
}

enum Model {
    SentencePiece(SentencePiece),
    BytePair(BytePair),
}

/// What of a model is read beside the index of the vocabulary.
enum Draft<'a> {
    SentencePiece(SentencePiece),
    BytePair(MergeDraft<'a>, &'static PreTokenizer),
}

impl Tokenizer {
    /// Builds the tokenizer that a file's metadata describe.
    ///
    /// # Errors
    /// A key is missing, is of another type, or contradicts another; the tokenizer or pre-tokenizer is not known.
    pub fn new(metadata: &Metadata<'_>) -> Result<Self, TokenizerError> {
        let pre_tokenizer = match metadata.require_str("tokenizer.ggml.model")? {
            "llama" => None,
            "gpt2" => Some(metadata.require_str("tokenizer.ggml.pre")?),
            "gemma4" => Some("gemma4"),
            found => {
                let found = found.into();
                return Err(TokenizerError::UnsupportedModel { found });
            }
        };
        let pre_tokenizer = match pre_tokenizer {
            Some(name) => {
                let found = PreTokenizer::named(name);
                let error = || TokenizerError::UnknownPreTokenizer { found: name.into() };
                Some(found.ok_or_else(error)?)
            }
            None => None,
        };
        let has_byte_tokens = pre_tokenizer.is_none_or(|pre| pre.alphabet == Alphabet::Escaped);
        let (mut vocab, draft) = Vocab::read(metadata, has_byte_tokens, |texts| {
            Ok(match pre_tokenizer {
                None => Draft::SentencePiece(SentencePiece::read(metadata, texts)?),
                Some(pre) => Draft::BytePair(BytePair::draft(metadata, texts)?, pre),
            })
        })?;
        let special = SpecialTokens::read(metadata, &mut vocab)?;
        let matcher = SpecialMatcher::new(metadata, &vocab)?;
        let draft: Result<_, TokenizerError> = draft;
        let (model, adds_bos) = match draft? {
            Draft::SentencePiece(model) => {
                let model = model.with_unknown(special.unknown);
                (Model::SentencePiece(model), true)
            }
            Draft::BytePair(draft, pre) => {
                let model = BytePair::new(draft, metadata, &vocab, pre)?;
                (Model::BytePair(model), pre.adds_bos)
            }
        };
        let flag = |key| metadata.get_bool(key);
        Ok(Self {
            adds_bos: flag("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos),
            adds_eos: flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
            vocab,
            model,
            special,
            matcher,
        })
    }

    /// The tokens of a text.
    ///
    /// User-defined tokens are found in any text, control tokens only with [`Encode::parse_special`]. Characters that the
    /// vocabulary cannot express become byte tokens; failing those, the unknown token in a `llama` vocabulary and nothing in
    /// the others. Time is linear in the text but for a logarithm of the longest word.
    pub fn encode(&self, text: &str, options: Encode) -> Vec<u32> {
        self.encode_bytes(text.as_bytes(), options)
    }

    /// The tokens of a text that comes in parts, each of which says whether the texts of control tokens in it become these
    /// tokens. Parts are as if they were one text, but for what would become one token across their border.
    pub fn encode_parts<'t>(&self, parts: impl IntoIterator<Item = (&'t str, bool)>) -> Vec<u32> {
        let mut encoding = Encoding::new(self, 0);
        for (text, parse_special) in parts {
            encoding.add_text(text, parse_special);
        }
        encoding.tokens
    }

    /// As [`encode`](Self::encode), for bytes that need not be UTF-8. Those that are not become byte tokens, so that
    /// decoding returns them.
    pub fn encode_bytes(&self, text: &[u8], options: Encode) -> Vec<u32> {
        let mut encoding = Encoding::new(self, 2 + text.len() / 4);
        if options.add_special && self.adds_bos {
            encoding.tokens.extend(self.special.bos);
        }
        for chunk in text.utf8_chunks() {
            encoding.add_text(chunk.valid(), options.parse_special);
            encoding.add_bytes(chunk.invalid());
        }
        if options.add_special && self.adds_eos {
            encoding.tokens.extend(self.special.eos);
        }
        encoding.tokens
    }

    /// Where a text has the texts of control tokens, which [`Encode::parse_special`] would read as such.
    pub fn control_texts<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        let mut from = 0;
        std::iter::from_fn(move || {
            loop {
                let found = self.matcher.find(&self.vocab, &text[from..], true)?;
                let range = from + found.start..from + found.end;
                from = range.end;
                if self.is_special(found.token) {
                    return Some(range);
                }
            }
        })
    }

    /// The text of tokens that begin a text, without control tokens; what is not UTF-8 becomes U+FFFD.
    ///
    /// # Panics
    /// If a token is not of the vocabulary.
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.decode_with(
            tokens,
            Decode {
                begins_text: true,
                special: false,
            },
        )
    }

    /// The text of tokens, with a say in how.
    ///
    /// # Panics
    /// If a token is not of the vocabulary.
    pub fn decode_with(&self, tokens: &[u32], options: Decode) -> String {
        let mut detokenizer = Detokenizer::new(options);
        let mut text = String::new();
        for &token in tokens {
            text.push_str(detokenizer.push(self, token));
        }
        text.push_str(detokenizer.finish());
        text
    }

    /// The bytes that a token prints as: none for control and unknown tokens, perhaps part of a character for others.
    ///
    /// # Panics
    /// If the token is not of the vocabulary.
    pub fn token_bytes(&self, token: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append_bytes(token, false, &mut bytes);
        bytes
    }

    /// Appends what [`token_bytes`](Self::token_bytes) returns; with `special`, control and unknown tokens as their text.
    fn append_bytes(&self, token: u32, special: bool, out: &mut Vec<u8>) {
        let text = self.vocab.text(token);
        match (self.vocab.kind(token), &self.model) {
            (TokenKind::Control | TokenKind::Unknown, _) => {
                if special {
                    out.extend_from_slice(text);
                }
            }
            (TokenKind::Byte, _) => out.extend(vocab::byte_of(text)),
            (TokenKind::UserDefined, Model::BytePair(_)) => out.extend_from_slice(text),
            (_, Model::BytePair(model)) if model.alphabet() == Alphabet::ByteLevel => {
                byte_level::decode(text, out);
            }
            _ => sentencepiece::unescape(text, out),
        }
    }

    /// A token as it stands in the file: `▁the`, `Ġthe`, `<0x0A>`, `<|eot_id|>`; what is not UTF-8 becomes U+FFFD.
    ///
    /// # Panics
    /// If the token is not of the vocabulary.
    pub fn token_text(&self, token: u32) -> Cow<'_, str> {
        String::from_utf8_lossy(self.vocab.text(token))
    }

    /// The token with exactly this text in the file, whatever its kind.
    pub fn token_of_text(&self, text: &str) -> Option<u32> {
        self.vocab.find(text.as_bytes())
    }

    /// The number of tokens.
    pub fn vocab_size(&self) -> usize {
        self.vocab.len()
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    /// The token that ends a turn, if the file names one; see also [`is_end`](Self::is_end).
    pub fn eot(&self) -> Option<u32> {
        self.special.eot
    }

    /// The token for what the vocabulary cannot express.
    pub fn unknown(&self) -> Option<u32> {
        self.special.unknown
    }

    /// The token that fills up short sequences.
    pub fn padding(&self) -> Option<u32> {
        self.special.padding
    }

    /// The tokens after which there is nothing more to generate, in order: the end of text, of a turn, of a message, by the
    /// file's keys and by the texts that chat formats use.
    pub fn ends(&self) -> &[u32] {
        &self.special.ends
    }

    /// The tokens that the file says are never to be generated, ascending.
    pub fn suppressed(&self) -> &[u32] {
        &self.special.suppressed
    }

    /// Whether a token is one of [`ends`](Self::ends).
    pub fn is_end(&self, token: u32) -> bool {
        self.special.ends.binary_search(&token).is_ok()
    }

    /// Whether a token has a meaning and prints as nothing.
    ///
    /// # Panics
    /// If the token is not of the vocabulary.
    pub fn is_special(&self, token: u32) -> bool {
        matches!(
            self.vocab.kind(token),
            TokenKind::Control | TokenKind::Unknown
        )
    }

    /// Whether [`Encode::add_special`] puts a BOS token before the text.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos && self.special.bos.is_some()
    }

    /// Whether [`Encode::add_special`] puts an EOS token after the text.
    pub fn adds_eos(&self) -> bool {
        self.adds_eos && self.special.eos.is_some()
    }

    /// Whether encoding puts a space before the text, which decoding takes away.
    fn adds_space_prefix(&self) -> bool {
        match &self.model {
            Model::SentencePiece(model) => model.adds_space_prefix(),
            Model::BytePair(_) => false,
        }
    }
}

/// Tokens in the making.
struct Encoding<'t> {
    tokenizer: &'t Tokenizer,
    merger: Merger,
    /// Whether nothing or a special token stands before the text to come.
    after_special: bool,
    tokens: Vec<u32>,
}

impl<'t> Encoding<'t> {
    fn new(tokenizer: &'t Tokenizer, capacity: usize) -> Encoding<'t> {
        Encoding {
            tokenizer,
            merger: Merger::default(),
            after_special: true,
            tokens: Vec::with_capacity(capacity),
        }
    }

    fn add_text(&mut self, text: &str, parse_special: bool) {
        let Tokenizer { vocab, matcher, .. } = self.tokenizer;
        let mut rest = text;
        while let Some(found) = matcher.find(vocab, rest, parse_special) {
            self.add_plain(&rest[..found.start]);
            self.tokens.push(found.token);
            self.after_special = true;
            rest = &rest[found.end..];
        }
        self.add_plain(rest);
    }

    fn add_plain(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let vocab = &self.tokenizer.vocab;
        match &self.tokenizer.model {
            Model::SentencePiece(model) => model.encode(
                vocab,
                text,
                self.after_special,
                &mut self.merger,
                &mut self.tokens,
            ),
            Model::BytePair(model) => {
                model.encode(vocab, text, &mut self.merger, &mut self.tokens);
            }
        }
        self.after_special = false;
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let vocab = &self.tokenizer.vocab;
        match &self.tokenizer.model {
            Model::SentencePiece(model) => {
                model.encode_bytes(vocab, bytes, &mut None, &mut self.tokens);
            }
            Model::BytePair(model) => model.encode_bytes(bytes, &mut self.tokens),
        }
        self.after_special = false;
    }
}
