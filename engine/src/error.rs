//! What can go wrong, in one line each: where, what was expected, what was found.

use crate::tokenizer::TokenizerError;
use gguf::Escaped;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

/// Why a model cannot be opened or a request cannot be served.
///
/// Messages are single lines and name the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages document the variants
pub enum Error {
    #[error("{}: cannot be opened: {reason}", Printable(.path))]
    Open {
        path: PathBuf,
        reason: std::io::Error,
    },
    #[error("{}: expected a regular file, found {found}", Printable(.path))]
    NotAFile { path: PathBuf, found: &'static str },
    #[error("{}: {reason}", Printable(.path))]
    Format { path: PathBuf, reason: gguf::Error },
    #[error("{}: {reason}", Printable(.path))]
    Tokenizer {
        path: PathBuf,
        reason: TokenizerError,
    },
    #[error("{}: {reason}", Printable(.path))]
    Model { path: PathBuf, reason: ModelError },
    #[error("{name}: cannot be read: {reason}")]
    Unreadable {
        name: String,
        reason: std::io::Error,
    },
    #[error("{name}: expected UTF-8 text, found an invalid byte at {at}")]
    NotText { name: String, at: usize },
    #[error("{name}: expected at most {limit_bytes} bytes of text, found more")]
    TextTooLong { name: String, limit_bytes: u64 },
    #[error("the prompt has {prompt} tokens, but the context holds {context}")]
    PromptTooLong { prompt: usize, context: usize },
    #[error("the context is full: {context} tokens")]
    ContextFull { context: usize },
    #[error("the prompt is empty, and the model has no token that begins a text")]
    EmptyPrompt,
    #[error("token {token} is not in the vocabulary of {vocab}")]
    TokenOutOfRange { token: u32, vocab: usize },
    #[error(
        "{}: the model computed {what} for the token at position {position}: its weights are damaged or the format is misread",
        Printable(.path)
    )]
    NonFinite {
        path: PathBuf,
        what: &'static str,
        position: usize,
    },
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
    Chat(#[from] crate::chat::ChatError),
    #[error(transparent)]
    Load(#[from] crate::loading::LoadError),
    #[error(transparent)]
    Gpu(#[from] crate::backend::gpu::GpuError),
    #[error(transparent)]
    Isa(#[from] kernels::matmul::IsaUnavailable),
    #[error(transparent)]
    Threads(#[from] kernels::team::TeamError),
}

impl Error {
    /// Whether work was cancelled ([`crate::Cancel`]), which nothing is wrong with.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Error::Load(crate::loading::LoadError::Cancelled))
    }
}

/// What makes a well-formed file no model that can be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages document the variants
pub enum ModelError {
    #[error("{0}")]
    Metadata(#[from] gguf::Error),
    #[error("architecture {} is not supported, expected one of {known}", Escaped(.found))]
    Architecture { found: String, known: String },
    #[error("metadata key {} is {found}, expected {expected}", Escaped(.key))]
    Value {
        key: String,
        expected: String,
        found: String,
    },
    #[error("tensor {} is missing", Escaped(.name))]
    MissingTensor { name: String },
    #[error(
        "tensor {} is unknown to models of its architecture: without it this would be another model",
        Escaped(.name)
    )]
    UnknownTensor { name: String },
    #[error("tensor {} has shape {found}, expected {expected}", Escaped(.name))]
    Shape {
        name: String,
        expected: String,
        found: String,
    },
    #[error(
        "tensor {} has type {found}, which cannot be computed with; supported are {supported}",
        Escaped(.name)
    )]
    TensorType {
        name: String,
        found: String,
        supported: String,
    },
    #[error("tensor {} holds {found}, expected {expected}", Escaped(.name))]
    TensorValue {
        name: String,
        expected: &'static str,
        found: f32,
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

/// A path made fit for one line of a terminal: control characters escaped.
pub struct Printable<'a>(pub &'a Path);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string_lossy().chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_debug())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}
