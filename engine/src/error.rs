//! What can go wrong, in one line each: where, what was expected, what was found.

use crate::tokenizer::TokenizerError;
use std::path::PathBuf;

/// Why a model cannot be opened or a request cannot be served.
///
/// Messages are single lines and name the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages document the variants
pub enum Error {
    #[error("{}: cannot be opened: {reason}", .path.display())]
    Open {
        path: PathBuf,
        reason: std::io::Error,
    },
    #[error("{}: expected a regular file, found {found}", .path.display())]
    NotAFile { path: PathBuf, found: &'static str },
    #[error("{}: {reason}", .path.display())]
    Format { path: PathBuf, reason: gguf::Error },
    #[error("{}: {reason}", .path.display())]
    Tokenizer {
        path: PathBuf,
        reason: TokenizerError,
    },
    #[error("{}: {reason}", .path.display())]
    Model { path: PathBuf, reason: ModelError },
    #[error("the prompt has {prompt} tokens, but the context holds {context}")]
    PromptTooLong { prompt: usize, context: usize },
    #[error("the context is full: {context} tokens")]
    ContextFull { context: usize },
    #[error("the prompt is empty, and the model has no token that begins a text")]
    EmptyPrompt,
    #[error("token {token} is not in the vocabulary of {vocab}")]
    TokenOutOfRange { token: u32, vocab: usize },
    #[error(
        "the model computed {what} for the token at position {position}: its weights are damaged or the format is misread"
    )]
    NonFinite { what: &'static str, position: usize },
    #[error("{name} is {found}, expected {expected}")]
    Parameter {
        name: &'static str,
        expected: &'static str,
        found: String,
    },
    #[error(
        "a context of {context} tokens needs {needed_bytes} bytes of cache, but only {available_bytes} bytes of memory are available"
    )]
    CacheTooLarge {
        context: usize,
        needed_bytes: u64,
        available_bytes: u64,
    },
    #[error(transparent)]
    Load(#[from] crate::loading::LoadError),
    #[error(transparent)]
    Isa(#[from] kernels::matmul::IsaUnavailable),
    #[error(transparent)]
    Threads(#[from] kernels::team::TeamError),
}

/// What makes a well-formed file no model that can be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages document the variants
pub enum ModelError {
    #[error("{0}")]
    Metadata(#[from] gguf::Error),
    #[error("architecture {found:?} is not supported, expected one of {known}")]
    Architecture { found: String, known: String },
    #[error("metadata key {key} is {found}, expected {expected}")]
    Value {
        key: String,
        expected: String,
        found: String,
    },
    #[error("tensor {name} is missing")]
    MissingTensor { name: String },
    #[error("tensor {name} has shape {found}, expected {expected}")]
    Shape {
        name: String,
        expected: String,
        found: String,
    },
    #[error(
        "tensor {name} has type {found}, which cannot be computed with; supported are {supported}"
    )]
    TensorType {
        name: String,
        found: String,
        supported: String,
    },
    #[error("the tokenizer has {vocab} tokens, but token_embd.weight has {rows} rows")]
    VocabularySize { vocab: usize, rows: usize },
}

impl ModelError {
    /// A metadata key with a value that makes no sense.
    pub(crate) fn value(key: &str, expected: impl ToString, found: impl ToString) -> ModelError {
        ModelError::Value {
            key: key.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
