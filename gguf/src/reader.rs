//! A bounds-checked little-endian cursor over the part of a file that is there.
//!
//! ```text
//! 0              pos         bytes.len()                 file_len
//! ├── consumed ───┼── present ───┼── not yet arrived ────────┤
//!                 take(n) ends: here │ or here               │ or here
//!                 → the slice    → Stop::NeedMore        → Stop::Error(Truncated)
//! ```

use crate::error::{Error, Escaped};
use std::fmt;

/// Why parsing ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The file is not acceptable, however much more of it arrives.
    Error(Error),
    /// Nothing is wrong so far; the file's first `.0` bytes are needed at the least.
    NeedMore(u64),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What is being read, for messages; costs nothing until it is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    Header,
    Key { index: u64, count: u64 },
    Value { key: &'a str },
    TensorName { index: u64, count: u64 },
    Tensor { name: &'a str },
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Header => write!(f, "header"),
            Self::Key { index, count } => write!(f, "metadata key {} of {count}", index + 1),
            Self::Value { key } => write!(f, "value of metadata key {}", Escaped(key)),
            Self::TensorName { index, count } => {
                write!(f, "name of tensor {} of {count}", index + 1)
            }
            Self::Tensor { name } => write!(f, "entry of tensor {}", Escaped(name)),
        }
    }
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
    file_len: u64,
}

impl<'a> Reader<'a> {
    /// `bytes` are the first bytes of a file of `file_len`.
    pub(crate) fn new(bytes: &'a [u8], file_len: u64) -> Self {
        assert!(
            bytes.len() as u64 <= file_len,
            "{} bytes given of a file of {file_len}",
            bytes.len()
        );
        Self {
            bytes,
            pos: 0,
            file_len,
        }
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.file_len - self.pos as u64
    }

    /// The bytes from `start` to the current position.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.pos]
    }

    /// Succeeds when the next `len` bytes are here, without consuming them.
    pub(crate) fn expect(&self, len: u64, place: Place<'_>) -> Result<(), Stop> {
        if len <= (self.bytes.len() - self.pos) as u64 {
            return Ok(());
        }
        let start = self.pos as u64;
        if len > self.remaining() {
            return Err(Error::Truncated {
                place: place.to_string(),
                start,
                len,
                file_len: self.file_len,
            }
            .into());
        }
        Err(Stop::NeedMore(start + len))
    }

    pub(crate) fn take(&mut self, len: u64, place: Place<'_>) -> Result<&'a [u8], Stop> {
        self.expect(len, place)?;
        let start = self.pos;
        self.pos += len as usize; // expect() found that many bytes in a slice
        Ok(self.since(start))
    }

    fn array<const N: usize>(&mut self, place: Place<'_>) -> Result<[u8; N], Stop> {
        match self.bytes[self.pos..].first_chunk() {
            Some(chunk) => {
                self.pos += N;
                Ok(*chunk)
            }
            None => Err(self
                .expect(N as u64, place)
                .expect_err("fewer than N bytes are here")),
        }
    }

    pub(crate) fn u32(&mut self, place: Place<'_>) -> Result<u32, Stop> {
        self.array(place).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, place: Place<'_>) -> Result<u64, Stop> {
        self.array(place).map(u64::from_le_bytes)
    }

    /// A string: length u64, then that many bytes, of which the specification says that they are UTF-8.
    #[inline]
    pub(crate) fn byte_string(&mut self, place: Place<'_>) -> Result<&'a [u8], Stop> {
        let len = self.u64(place)?;
        self.take(len, place)
    }

    /// Passes over byte strings. A vocabulary has some 10^5, so this stands between opening a file and its first token.
    pub(crate) fn skip_byte_strings(&mut self, count: u64, place: Place<'_>) -> Result<(), Stop> {
        let mut rest = &self.bytes[self.pos..];
        for _ in 0..count {
            let after = rest.split_first_chunk().and_then(|(len, text)| {
                let len = u64::from_le_bytes(*len);
                text.get(usize::try_from(len).ok()?..)
            });
            rest = match after {
                Some(after) => after,
                None => {
                    // Says what is missing.
                    self.pos = self.bytes.len() - rest.len();
                    self.byte_string(place)?;
                    &self.bytes[self.pos..]
                }
            };
        }
        self.pos = self.bytes.len() - rest.len();
        Ok(())
    }

    /// A key or the name of a tensor: a string of 1 to `limit` bytes of UTF-8.
    pub(crate) fn name(&mut self, limit: u64, place: Place<'_>) -> Result<&'a str, Stop> {
        let len = self.u64(place)?;
        if len == 0 {
            return Err(Error::EmptyName {
                place: place.to_string(),
            }
            .into());
        }
        if len > limit {
            return Err(Error::NameTooLong {
                place: place.to_string(),
                len,
                limit,
            }
            .into());
        }
        let start = self.pos;
        let bytes = self.take(len, place)?;
        std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            let found = bytes[at..].iter().copied().take(4).collect();
            Error::InvalidUtf8 {
                place: place.to_string(),
                at: (start + at) as u64,
                found,
            }
            .into()
        })
    }
}
