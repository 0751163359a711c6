//! What can be wrong with a vocabulary.

use gguf::Escaped;

/// Why a file's metadata do not make a tokenizer.
///
/// Messages are single lines that name the key, what was expected and what was found. They do not name the file, which only
/// the caller knows.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages document the variants and their fields
pub enum TokenizerError {
    #[error(transparent)]
    Metadata(#[from] gguf::Error),
    #[error("tokenizer.ggml.model: tokenizer {found} is not supported, expected \"llama\", \"gpt2\" or \"gemma4\"", found = Escaped(.found))]
    UnsupportedModel { found: String },
    #[error("tokenizer.ggml.pre: unknown pre-tokenizer {found}", found = Escaped(.found))]
    UnknownPreTokenizer { found: String },
    #[error(
        "tokenizer.ggml.tokens: expected 1 to 2^32-2 tokens of less than 4 GiB in all, found {found} tokens"
    )]
    VocabSize { found: usize },
    #[error("{key}: expected an array of strings, found an array of {found}")]
    NotStrings { key: &'static str, found: String },
    #[error("{key}: expected {expected} elements, one for each token, found {found}")]
    Length {
        key: &'static str,
        expected: usize,
        found: usize,
    },
    #[error(
        "tokenizer.ggml.token_type: token {token} has type {found}, expected 1 to 6 as a 32-bit integer"
    )]
    TokenType { token: usize, found: String },
    #[error("tokenizer.ggml.scores: expected an array of f32 or i32, found an array of {found}")]
    ScoreType { found: String },
    #[error("tokenizer.ggml.scores: the score of token {token} is not a number")]
    Score { token: usize },
    #[error("tokenizer.ggml.tokens: token {token} is of type byte, expected \"<0x00>\" to \"<0xFF>\", found {found}", found = Escaped(.found))]
    ByteToken { token: usize, found: String },
    #[error("tokenizer.ggml.merges: merge {merge} is {found}, expected two tokens with a space between them", found = Escaped(.found))]
    Merge { merge: usize, found: String },
    #[error("tokenizer.ggml.merges: merge {merge} is {found}, but the vocabulary has no token {missing}", found = Escaped(.found), missing = Escaped(.missing))]
    MergeOfMissing {
        merge: usize,
        found: String,
        missing: String,
    },
    #[error("{key}: token id {found} is outside of the vocabulary of {vocab_size} tokens")]
    SpecialId {
        key: &'static str,
        found: u32,
        vocab_size: usize,
    },
}
