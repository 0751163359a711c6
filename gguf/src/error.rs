//! What can be wrong with a file, in one line each: where, what was expected, what was found.

use std::fmt;

/// Why bytes are not a GGUF file this crate accepts, or why a metadata key is not what a caller needs.
///
/// Messages are single lines. They do not name the file, which only the caller knows. Names from the file appear through
/// [`Escaped`], so that a hostile one cannot send control sequences to a terminal.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages document the variants and their fields
pub enum Error {
    #[error("the file is empty")]
    Empty,
    #[error("not a GGUF file: it looks like {looks_like}")]
    Foreign { looks_like: &'static str },
    #[error("not a GGUF file: expected it to start with \"GGUF\", found bytes {found:02x?}")]
    BadMagic { found: Vec<u8> },
    #[error("the file has {file_len} bytes, too few for the 24-byte GGUF header")]
    TooShort { file_len: u64 },
    #[error(
        "big-endian GGUF (version {version}) is not supported; convert the model to little-endian"
    )]
    BigEndian { version: u32 },
    #[error("GGUF version {version} is not supported, expected 2 or 3{}", if *.version == 1 { " (version 1 was replaced in 2023; convert the model again)" } else { "" })]
    Version { version: u32 },
    #[error("{place}: needs bytes {start}..{end}, but the file ends at {file_len}", end = WideEnd(*.start, *.len))]
    Truncated {
        place: String,
        start: u64,
        len: u64,
        file_len: u64,
    },
    #[error("the header announces {count} {what}, more than the limit of {limit}")]
    TooMany {
        what: &'static str,
        count: u64,
        limit: u64,
    },
    #[error(
        "the header announces {count} {what} of at least {min_bytes} bytes each, but only {remaining} bytes remain in the file"
    )]
    CountBeyondFile {
        what: &'static str,
        count: u64,
        min_bytes: u64,
        remaining: u64,
    },
    #[error("{place}: the name is empty")]
    EmptyName { place: String },
    #[error("{place}: the name has {len} bytes, more than the limit of {limit}")]
    NameTooLong { place: String, len: u64, limit: u64 },
    #[error("{place}: invalid UTF-8 at byte {at}, found {found:02x?}")]
    InvalidUtf8 {
        place: String,
        at: u64,
        found: Vec<u8>,
    },
    #[error("metadata key {key} appears twice", key = Escaped(.key))]
    DuplicateKey { key: String },
    #[error("metadata key {key}: unknown value type {id}, expected 0 to 12", key = Escaped(.key))]
    UnknownValueType { key: String, id: u32 },
    #[error("metadata key {key}: arrays nested more than {limit} deep", key = Escaped(.key))]
    NestedTooDeep { key: String, limit: usize },
    #[error("metadata key {key}: {found} is not a bool, expected 0 or 1", key = Escaped(.key))]
    InvalidBool { key: String, found: u8 },
    #[error("metadata key {key}: expected {expected}, found {found}", key = Escaped(.key))]
    WrongType {
        key: String,
        expected: &'static str,
        found: String,
    },
    #[error("metadata key {key} is missing, expected {expected}", key = Escaped(.key))]
    MissingKey { key: String, expected: &'static str },
    #[error(
        "metadata key general.alignment: expected a power of two from {min} to {max}, found {found}"
    )]
    Alignment { found: u64, min: u64, max: u64 },
    #[error("tensor {tensor} appears twice", tensor = Escaped(.tensor))]
    DuplicateTensor { tensor: String },
    #[error("tensor {tensor}: expected 1 to {max} dimensions, found {found}", tensor = Escaped(.tensor))]
    DimensionCount {
        tensor: String,
        found: u32,
        max: usize,
    },
    #[error("tensor {tensor}: dimension {index} is {found}, expected 1 to 2^63-1", tensor = Escaped(.tensor))]
    Dimension {
        tensor: String,
        index: usize,
        found: u64,
    },
    #[error("tensor {tensor}: shape {shape:?} has more than 2^63-1 elements or bytes", tensor = Escaped(.tensor))]
    TensorTooLarge { tensor: String, shape: Vec<u64> },
    #[error("tensor {tensor}: type {name} (id {id}) was removed from the format; convert the model again", tensor = Escaped(.tensor))]
    RemovedTensorType {
        tensor: String,
        id: u32,
        name: &'static str,
    },
    #[error("tensor {tensor}: unknown type id {id}", tensor = Escaped(.tensor))]
    UnknownTensorType { tensor: String, id: u32 },
    #[error("tensor {tensor}: rows of {cols} elements are not a multiple of the {block_len}-element blocks of {ty}", tensor = Escaped(.tensor))]
    PartialBlock {
        tensor: String,
        cols: u64,
        block_len: usize,
        ty: crate::TensorType,
    },
    #[error("tensor {tensor}: offset {offset} is not a multiple of the alignment {alignment}", tensor = Escaped(.tensor))]
    Misaligned {
        tensor: String,
        offset: u64,
        alignment: u64,
    },
    #[error("tensor {tensor}: its data ends at byte {end}, but the file has {file_len}; is it complete?", tensor = Escaped(.tensor))]
    TensorPastEnd {
        tensor: String,
        end: u128,
        file_len: u64,
    },
    #[error("tensors {first} (bytes {}..{}) and {second} (bytes {}..{}) overlap", .first_range.0, .first_range.1, .second_range.0, .second_range.1, first = Escaped(.first), second = Escaped(.second))]
    Overlap {
        first: String,
        first_range: (u64, u64),
        second: String,
        second_range: (u64, u64),
    },
    #[error("shard {shard} of {given}: {error}")]
    InShard {
        shard: usize,
        given: usize,
        error: Box<Error>,
    },
    #[error("no shards given, expected at least one")]
    NoShards,
    #[error("shard {shard} of {given}: split.count is {found}, expected {given}")]
    ShardCount {
        shard: usize,
        given: usize,
        found: u64,
    },
    #[error(
        "shard {shard} of {given}: it is a complete model (split.count is missing or 0), not a shard"
    )]
    NotAShard { shard: usize, given: usize },
    #[error("shard {shard} of {given}: split.no is {found}, expected {expected}", expected = .shard - 1)]
    ShardOrder {
        shard: usize,
        given: usize,
        found: u64,
    },
    #[error("shards {first} and {second} are both number {no} (split.no)")]
    ShardRepeated {
        first: usize,
        second: usize,
        no: u64,
    },
    #[error(
        "shard {shard} of {given}: split.tensors.count is {found}, but shard 1 says {expected}"
    )]
    ShardTensorCount {
        shard: usize,
        given: usize,
        expected: u64,
        found: u64,
    },
    #[error("the {given} shards hold {found} tensors, but split.tensors.count is {expected}")]
    ShardTensorTotal {
        given: usize,
        expected: u64,
        found: u64,
    },
    #[error("tensor {tensor} is in shard {first} and again in shard {second}", tensor = Escaped(.tensor))]
    ShardDuplicateTensor {
        tensor: String,
        first: usize,
        second: usize,
    },
}

/// Text from a file made fit for one line of a terminal: control characters escaped, at most 120 characters shown.
///
/// ```
/// assert_eq!(gguf::Escaped("a\x1b[2Jb").to_string(), "\"a\\u{1b}[2Jb\"");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl Escaped<'_> {
    const SHOWN_CHARS: usize = 120;
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown_len = self
            .0
            .char_indices()
            .nth(Self::SHOWN_CHARS)
            .map_or(self.0.len(), |(at, _)| at);
        let rest = &self.0[shown_len..];
        write!(f, "\"{}\"", self.0[..shown_len].escape_debug())?;
        if !rest.is_empty() {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

/// `start + len`, which may not fit 64 bits in a hostile file.
struct WideEnd(u64, u64);

impl fmt::Display for WideEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (u128::from(self.0) + u128::from(self.1)).fmt(f)
    }
}
