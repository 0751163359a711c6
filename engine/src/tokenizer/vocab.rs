//! The tokens of a vocabulary: text, kind, and the way from text to id.

use super::error::TokenizerError;
use super::hash::TextIndex;
use super::texts::Texts;
use gguf::{Array, Metadata, ValueType};

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

/// All tokens.
#[derive(Debug)]
pub(super) struct Vocab {
    texts: Texts,
    kinds: Vec<TokenKind>,
    index: TextIndex,
    /// Whether no two tokens have the same text.
    is_unique: bool,
    /// The byte token of each byte.
    bytes: ByteTokens,
}

type ByteTokens = Box<[Option<u32>; 256]>;

impl Vocab {
    /// Reads texts and kinds. Without `tokenizer.ggml.token_type` every token is normal, except that `<0x00>` to `<0xFF>`
    /// are bytes where `has_byte_tokens`.
    ///
    /// As soon as the texts are there, and on a thread of its own if they are many, `beside` does what needs nothing else.
    pub fn read<R: Send>(
        metadata: &Metadata<'_>,
        has_byte_tokens: bool,
        beside: impl FnOnce(&Texts) -> R + Send,
    ) -> Result<(Self, R), TokenizerError> {
        /// Of fewer, an index is built before a thread has started.
        const MANY_TOKENS: usize = 8192;

        let texts = Texts::read(byte_strings(metadata, TOKENS)?)?;
        let own = || {
            let kinds = read_kinds(metadata, has_byte_tokens, &texts);
            (TextIndex::new(&texts), kinds)
        };
        let (own, found) = match texts.len() {
            ..MANY_TOKENS => (own(), beside(&texts)),
            _ => std::thread::scope(|scope| {
                let other = scope.spawn(|| beside(&texts));
                let own = own();
                let found = other.join();
                (
                    own,
                    found.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                )
            }),
        };
        let ((index, is_unique), kinds) = own;
        let (kinds, bytes) = kinds?;
        let vocab = Self {
            texts,
            kinds,
            index,
            is_unique,
            bytes,
        };
        Ok((vocab, found))
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

    /// Whether no two tokens have the same text.
    pub fn is_unique(&self) -> bool {
        self.is_unique
    }

    /// The token of exactly that text; the lowest if there are several.
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        if text.len() > self.texts.longest() {
            return None;
        }
        self.index.find(text, &self.texts)
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

/// The kinds of all tokens, and the byte token of each byte.
fn read_kinds(
    metadata: &Metadata<'_>,
    has_byte_tokens: bool,
    texts: &Texts,
) -> Result<(Vec<TokenKind>, ByteTokens), TokenizerError> {
    let kinds = match metadata.get_array(TOKEN_TYPE)? {
        Some(types) => kinds_by_type(types, texts.len())?,
        None => (0..texts.len() as u32)
            .map(|id| match byte_of(texts.get(id)) {
                Some(_) if has_byte_tokens => TokenKind::Byte,
                _ => TokenKind::Normal,
            })
            .collect(),
    };
    let mut bytes = Box::new([None; 256]);
    for (id, _) in (0..)
        .zip(&kinds)
        .filter(|(_, kind)| **kind == TokenKind::Byte)
    {
        let text = texts.get(id);
        let byte = byte_of(text).ok_or_else(|| TokenizerError::ByteToken {
            token: id as usize,
            found: String::from_utf8_lossy(text).into(),
        })?;
        bytes[usize::from(byte)].get_or_insert(id);
    }
    Ok((kinds, bytes))
}

fn kinds_by_type(types: Array<'_>, expected: usize) -> Result<Vec<TokenKind>, TokenizerError> {
    check_len(TOKEN_TYPE, expected, types.len())?;
    let is_integer = matches!(types.ty(), ValueType::I32 | ValueType::U32);
    let wrong = |token: usize| {
        let found = types.iter().nth(token);
        let found = found.map_or(String::new(), |found| found.to_string());
        let found = match is_integer {
            true => found,
            false => format!("{} {found}", types.ty()),
        };
        TokenizerError::TokenType { token, found }
    };
    let ids = types.words().filter(|_| is_integer);
    let ids = ids.ok_or_else(|| wrong(0))?.enumerate();
    ids.map(|(token, id)| TokenKind::from_id(id as i32).ok_or_else(|| wrong(token)))
        .collect()
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

/// The elements of an array of strings that must be there, each with what lies in memory from its first byte on.
pub(super) fn byte_strings<'a>(
    metadata: &Metadata<'a>,
    key: &'static str,
) -> Result<impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a>, TokenizerError> {
    let array = metadata.require_array(key)?;
    array.byte_strings_and_beyond().ok_or_else(|| {
        let found = array.ty().to_string();
        TokenizerError::NotStrings { key, found }
    })
}
