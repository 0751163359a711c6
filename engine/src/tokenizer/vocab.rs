//! The tokens of a vocabulary: text, kind, and the way from text to id.

use super::error::TokenizerError;
use super::hash::TextIndex;
use gguf::{Array, Metadata, Value};

const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPE: &str = "tokenizer.ggml.token_type";

/// What a token is, by `tokenizer.ggml.token_type` (SentencePiece's piece types, counted from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Normal = 1,
    /// Stands for what the vocabulary cannot express.
    Unknown = 2,
    /// Has a meaning and no text, such as BOS.
    Control = 3,
    /// Found in text before anything else is.
    UserDefined = 4,
    Unused = 5,
    /// One byte, written `<0x41>`.
    Byte = 6,
}

impl TokenKind {
    fn from_id(id: i32) -> Option<Self> {
        Some(match id {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// Whether a text may become this token without being asked to parse special tokens.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Normal | Self::UserDefined | Self::Unused)
    }
}

/// All tokens, their texts one after the other in one buffer.
#[derive(Debug)]
pub(super) struct Vocab {
    texts: Texts,
    kinds: Vec<TokenKind>,
    index: TextIndex,
    /// Whether no two tokens have the same text.
    is_unique: bool,
    /// Bytes of the longest text.
    longest: usize,
    /// The byte token of each byte.
    bytes: Box<[Option<u32>; 256]>,
}

#[derive(Debug)]
struct Texts {
    bytes: Vec<u8>,
    /// Where the text of each token ends.
    ends: Vec<u32>,
}

impl Texts {
    fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start as usize..self.ends[id] as usize]
    }
}

impl Vocab {
    /// Reads texts and kinds. Without `tokenizer.ggml.token_type` every token is normal, except that `<0x00>` to `<0xFF>`
    /// are bytes where `has_byte_tokens`.
    pub fn read(metadata: &Metadata<'_>, has_byte_tokens: bool) -> Result<Self, TokenizerError> {
        let tokens = byte_strings(metadata, TOKENS)?;
        let found = tokens.len();
        let size_error = || TokenizerError::VocabSize { found };
        if found == 0 || found >= u32::MAX as usize {
            return Err(size_error());
        }

        let mut bytes = Vec::with_capacity(8 * found);
        let mut ends = Vec::with_capacity(found);
        for token in tokens {
            bytes.extend_from_slice(token);
            ends.push(u32::try_from(bytes.len()).map_err(|_| size_error())?);
        }
        let texts = Texts { bytes, ends };

        let mut index = TextIndex::with_capacity(found as u32);
        let mut is_unique = true;
        let mut longest = 0;
        for id in 0..found as u32 {
            longest = longest.max(texts.get(id).len());
            // Some files fill up their vocabulary with empty tokens. Nothing can be encoded as one.
            if !texts.get(id).is_empty() {
                is_unique &= index.insert(id, |id| texts.get(id));
            }
        }

        let kinds = match metadata.get_array(TOKEN_TYPE)? {
            Some(types) => read_kinds(types, found)?,
            None => (0..found as u32)
                .map(|id| match byte_of(texts.get(id)) {
                    Some(_) if has_byte_tokens => TokenKind::Byte,
                    _ => TokenKind::Normal,
                })
                .collect(),
        };
        let mut bytes = Box::new([None; 256]);
        for id in 0..found as u32 {
            if kinds[id as usize] == TokenKind::Byte {
                let text = texts.get(id);
                let byte = byte_of(text).ok_or_else(|| TokenizerError::ByteToken {
                    token: id as usize,
                    found: String::from_utf8_lossy(text).into(),
                })?;
                bytes[usize::from(byte)].get_or_insert(id);
            }
        }
        Ok(Self {
            texts,
            kinds,
            index,
            is_unique,
            longest,
            bytes,
        })
    }

    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The text of a token as it stands in the file, UTF-8 or not.
    pub fn text(&self, id: u32) -> &[u8] {
        self.check(id);
        self.texts.get(id)
    }

    pub fn kind(&self, id: u32) -> TokenKind {
        self.check(id);
        self.kinds[id as usize]
    }

    fn check(&self, id: u32) {
        let size = self.len();
        assert!(
            (id as usize) < size,
            "token {id} of a vocabulary of {size} tokens"
        );
    }

    pub fn set_kind(&mut self, id: u32, kind: TokenKind) {
        self.kinds[id as usize] = kind;
    }

    /// The token of exactly that text; the lowest if there are several.
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        if text.len() > self.longest {
            return None;
        }
        self.index.find(text, |id| self.texts.get(id))
    }

    /// The token of two texts together, which often is the one `near` or the next: that is looked at first, which spares a
    /// random access to memory.
    pub fn find_near(&self, near: u32, left: &[u8], right: &[u8]) -> Option<u32> {
        let is_joined = |id: u32| {
            let text = self.texts.get(id);
            text.len() == left.len() + right.len()
                && text.starts_with(left)
                && text.ends_with(right)
        };
        for id in [near, near + 1] {
            if self.is_unique && (id as usize) < self.len() && is_joined(id) {
                return Some(id);
            }
        }
        self.find(&[left, right].concat())
    }

    /// As [`find`](Self::find), if plain text may become that token.
    pub fn find_text(&self, text: &[u8]) -> Option<u32> {
        self.find(text).filter(|&id| self.kind(id).is_text())
    }

    pub fn ids_of_kind(&self, kind: TokenKind) -> impl Iterator<Item = u32> + '_ {
        (0..self.len() as u32).filter(move |&id| self.kinds[id as usize] == kind)
    }

    /// The byte token `<0x00>` to `<0xFF>` of a byte.
    pub fn byte_token(&self, byte: u8) -> Option<u32> {
        self.bytes[usize::from(byte)]
    }
}

fn read_kinds(types: Array<'_>, expected: usize) -> Result<Vec<TokenKind>, TokenizerError> {
    check_len(TOKEN_TYPE, expected, types.len())?;
    let mut kinds = Vec::with_capacity(expected);
    for (token, found) in types.iter().enumerate() {
        let kind = match found {
            Value::I32(id) => TokenKind::from_id(id),
            Value::U32(id) => TokenKind::from_id(id as i32),
            _ => None,
        };
        kinds.push(kind.ok_or_else(|| TokenizerError::TokenType {
            token,
            found: match found {
                Value::I32(_) | Value::U32(_) => found.to_string(),
                _ => format!("{} {found}", found.ty()),
            },
        })?);
    }
    Ok(kinds)
}

/// An array with an element for each token must have as many as there are tokens.
pub(super) fn check_len(
    key: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), TokenizerError> {
    if found == expected {
        return Ok(());
    }
    Err(TokenizerError::Length {
        key,
        expected,
        found,
    })
}

/// The byte that `<0x41>` stands for.
pub(super) fn byte_of(text: &[u8]) -> Option<u8> {
    let [b'<', b'0', b'x', high, low, b'>'] = *text else {
        return None;
    };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// The elements of an array of strings that must be there.
pub(super) fn byte_strings<'a>(
    metadata: &Metadata<'a>,
    key: &'static str,
) -> Result<impl ExactSizeIterator<Item = &'a [u8]> + use<'a>, TokenizerError> {
    let array = metadata.require_array(key)?;
    array.byte_strings().ok_or_else(|| {
        let found = array.ty().to_string();
        TokenizerError::NotStrings { key, found }
    })
}
