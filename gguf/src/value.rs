//! Metadata values and their types.

use crate::array::Array;
use crate::error::{Error, Escaped};
use crate::reader::{Place, Reader, Stop};
use std::fmt;

/// Arrays in arrays in arrays: the format sets no limit, real files use at most two levels.
pub(crate) const MAX_ARRAY_DEPTH: usize = 8;

/// The type of a metadata value or of the elements of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    /// Every type, by ascending id.
    pub const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::String,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    /// The type with this id in a file, if there is one.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.get(id as usize).copied()
    }

    /// The id in a file.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// A short name: `u8` … `f64`, `bool`, `string`, `array`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }

    /// Bytes of a value in the file; `None` for strings and arrays, whose length varies.
    pub const fn fixed_bytes(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    /// Bytes that a value takes at the least: an empty string is its length, an empty array its element type and length.
    pub(crate) const fn min_bytes(self) -> usize {
        match (self, self.fixed_bytes()) {
            (_, Some(bytes)) => bytes,
            (Self::Array, None) => 12,
            (_, None) => 8,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A metadata value, borrowed from the file.
///
/// Its `Display` fits one line: strings are quoted and escaped in full, of an array only the first elements are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(&'a str),
    /// A string that is not UTF-8. The specification forbids it and files in circulation have it all the same.
    Bytes(&'a [u8]),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl<'a> Value<'a> {
    /// The type of the value.
    pub const fn ty(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::F32(_) => ValueType::F32,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) | Self::Bytes(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// The number, if the value is an integer of any width; every one fits i128.
    pub fn integer(&self) -> Option<i128> {
        match *self {
            Self::U8(n) => Some(n.into()),
            Self::I8(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::I16(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::I32(n) => Some(n.into()),
            Self::U64(n) => Some(n.into()),
            Self::I64(n) => Some(n.into()),
            _ => None,
        }
    }

    /// Reads a value of a type that has just been read, checking all of it.
    pub(crate) fn read(reader: &mut Reader<'a>, ty: ValueType, key: &'a str) -> Result<Self, Stop> {
        let place = Place::Value { key };
        match ty {
            ValueType::String => Ok(Self::from_byte_string(reader.byte_string(place)?)),
            ValueType::Array => Ok(Self::Array(Array::read(reader, key, 1)?)),
            _ => {
                let bytes = reader.take(ty.min_bytes() as u64, place)?;
                if ty == ValueType::Bool && bytes[0] > 1 {
                    return Err(Error::InvalidBool {
                        key: key.into(),
                        found: bytes[0],
                    }
                    .into());
                }
                Ok(Self::decode(ty, bytes).0)
            }
        }
    }

    fn from_byte_string(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Bytes(bytes), Self::String)
    }

    /// Takes a value apart that [`Value::read`] has accepted, and returns the bytes after it.
    pub(crate) fn decode(ty: ValueType, bytes: &'a [u8]) -> (Self, &'a [u8]) {
        macro_rules! number {
            ($variant:ident, $number:ty) => {{
                let (number, rest) = split(bytes);
                (Self::$variant(<$number>::from_le_bytes(number)), rest)
            }};
        }
        match ty {
            ValueType::U8 => number!(U8, u8),
            ValueType::I8 => number!(I8, i8),
            ValueType::U16 => number!(U16, u16),
            ValueType::I16 => number!(I16, i16),
            ValueType::U32 => number!(U32, u32),
            ValueType::I32 => number!(I32, i32),
            ValueType::F32 => number!(F32, f32),
            ValueType::U64 => number!(U64, u64),
            ValueType::I64 => number!(I64, i64),
            ValueType::F64 => number!(F64, f64),
            ValueType::Bool => {
                let ([byte], rest) = split(bytes);
                (Self::Bool(byte != 0), rest)
            }
            ValueType::String => {
                let (string, rest) = split_byte_string(bytes);
                (Self::from_byte_string(string), rest)
            }
            ValueType::Array => {
                let (array, rest) = Array::decode(bytes);
                (Self::Array(array), rest)
            }
        }
    }

    /// What an error message says was found: the type, and of the content what may be wrong with it.
    pub(crate) fn found(&self) -> String {
        match self {
            Self::Array(array) => array.found(),
            Self::String(string) => format!("string {}", Escaped(string)),
            Self::Bytes(_) => "string that is not UTF-8".into(),
            _ => format!("{} {self}", self.ty()),
        }
    }
}

const CHECKED: &str = "checked when the file was parsed";

#[inline]
fn split<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    let (first, rest) = bytes.split_first_chunk().expect(CHECKED);
    (*first, rest)
}

/// A string that [`Value::read`] has accepted, and the bytes after it.
#[inline]
pub(crate) fn split_byte_string(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = split(bytes);
    rest.split_at_checked(u64::from_le_bytes(len) as usize)
        .expect(CHECKED)
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(n) => n.fmt(f),
            Self::I8(n) => n.fmt(f),
            Self::U16(n) => n.fmt(f),
            Self::I16(n) => n.fmt(f),
            Self::U32(n) => n.fmt(f),
            Self::I32(n) => n.fmt(f),
            Self::F32(n) => n.fmt(f),
            Self::Bool(b) => b.fmt(f),
            Self::String(s) => write!(f, "\"{}\"", s.escape_debug()),
            Self::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Self::Array(array) => array.fmt(f),
            Self::U64(n) => n.fmt(f),
            Self::I64(n) => n.fmt(f),
            Self::F64(n) => n.fmt(f),
        }
    }
}
