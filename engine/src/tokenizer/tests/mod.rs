//! Tokenizers of small vocabularies made for the purpose.

mod bad_inputs;
mod byte_pair;
mod detokenizer;
mod sentencepiece;
mod special;

use super::{Encode, Tokenizer, TokenizerError, byte_level};
use gguf::Gguf;
use gguf::write::{OwnedValue, Writer};
use std::borrow::Cow;

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

const PLAIN: Encode = Encode {
    add_special: false,
    parse_special: false,
};
const ADD_SPECIAL: Encode = Encode {
    add_special: true,
    parse_special: false,
};
const PARSE_SPECIAL: Encode = Encode {
    add_special: false,
    parse_special: true,
};

/// A vocabulary to be written into a file. What a test is about it changes or replaces by [`with`](Self::with).
#[derive(Clone)]
struct Vocabulary {
    tokens: Vec<(String, i32)>,
    keys: Vec<(&'static str, OwnedValue)>,
}

impl Vocabulary {
    /// A `llama` vocabulary of tokens with kind and score.
    fn sentencepiece(tokens: &[(&str, i32, f32)]) -> Self {
        let scores: Vec<f32> = tokens.iter().map(|token| token.2).collect();
        Self::new(
            tokens
                .iter()
                .map(|&(text, kind, _)| (text.to_string(), kind)),
        )
        .with("tokenizer.ggml.model", "llama")
        .with("tokenizer.ggml.scores", scores)
    }

    /// A `gpt2` vocabulary: the 256 bytes by their value, then what the merges make of them, then further tokens.
    fn byte_pair(pre: &str, merges: &[&str], more: &[(&str, i32)]) -> Self {
        let bytes = (0..=255).map(|byte| (byte_level::char_of(byte).to_string(), NORMAL));
        let merged = merges
            .iter()
            .map(|merge| (merge.replacen(' ', "", 1), NORMAL));
        let more = more.iter().map(|&(text, kind)| (text.to_string(), kind));
        Self::new(bytes.chain(merged).chain(more))
            .with("tokenizer.ggml.model", "gpt2")
            .with("tokenizer.ggml.pre", pre)
            .with("tokenizer.ggml.merges", merges.to_vec())
    }

    fn new(tokens: impl Iterator<Item = (String, i32)>) -> Self {
        let tokens: Vec<(String, i32)> = tokens.collect();
        let texts: Vec<&str> = tokens.iter().map(|token| token.0.as_str()).collect();
        let kinds: Vec<i32> = tokens.iter().map(|token| token.1).collect();
        let keys = vec![
            ("tokenizer.ggml.tokens", texts.into()),
            ("tokenizer.ggml.token_type", kinds.into()),
        ];
        Self { tokens, keys }
    }

    /// Sets a key, instead of what it was before.
    fn with(self, key: &'static str, value: impl Into<OwnedValue>) -> Self {
        let mut vocabulary = self.without(key);
        vocabulary.keys.push((key, value.into()));
        vocabulary
    }

    fn without(mut self, key: &'static str) -> Self {
        self.keys.retain(|(k, _)| *k != key);
        self
    }

    fn build(&self) -> Result<Tokenizer, TokenizerError> {
        let mut writer = Writer::new();
        for (key, value) in &self.keys {
            writer = writer.metadata(key, value.clone());
        }
        let file = writer.finish();
        Tokenizer::new(Gguf::parse(&file).unwrap().metadata())
    }

    fn tokenizer(&self) -> Tokenizer {
        self.build().unwrap()
    }

    fn id(&self, text: &str) -> u32 {
        let at = self.tokens.iter().position(|token| token.0 == text);
        at.unwrap_or_else(|| panic!("no token {text:?}")) as u32
    }
}

/// Texts encode to tokens of these texts.
#[track_caller]
fn check(tokenizer: &Tokenizer, options: Encode, rows: &[(&str, &[&str])]) {
    for (text, expected) in rows {
        let tokens = tokenizer.encode(text, options);
        let tokens: Vec<Cow<'_, str>> = tokens.iter().map(|&id| tokenizer.token_text(id)).collect();
        assert_eq!(tokens, *expected, "{text:?}");
    }
}

#[test]
fn tokenizers_are_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Tokenizer>();
}

/// Numbers below a limit, the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}
