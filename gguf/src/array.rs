//! Arrays of metadata values, kept as the bytes of the file and decoded while iterating.
//!
//! A vocabulary is one array of some 10^5 strings; checking it takes one pass and no allocation per string.

use crate::error::Error;
use crate::reader::{Place, Reader, Stop};
use crate::value::{MAX_ARRAY_DEPTH, Value, ValueType, split_byte_string};
use std::fmt;

/// An array of metadata values, borrowed from the file.
///
/// Lengths and nesting have been checked throughout; whether strings are UTF-8 is found out when they are asked for.
#[derive(Clone, Copy, PartialEq)]
pub struct Array<'a> {
    ty: ValueType,
    len: usize,
    /// Exactly the elements, one after the other.
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// The type of the elements.
    pub const fn ty(&self) -> ValueType {
        self.ty
    }

    /// The number of elements.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements, whatever their type.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + Clone + use<'a> {
        Elements {
            ty: self.ty,
            left: self.len,
            bytes: self.bytes,
        }
    }

    /// The elements of an array of strings; `None` if it is of another type or one is not UTF-8.
    pub fn strings(&self) -> Option<impl ExactSizeIterator<Item = &'a str> + Clone + use<'a>> {
        let strings = self.byte_strings()?;
        let all_utf8 = strings
            .clone()
            .all(|bytes| std::str::from_utf8(bytes).is_ok());
        all_utf8.then(|| {
            strings.map(|bytes| {
                std::str::from_utf8(bytes).expect("every element was found to be UTF-8")
            })
        })
    }

    /// The elements of an array of strings, UTF-8 or not; `None` if it is of another type.
    pub fn byte_strings(
        &self,
    ) -> Option<impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a>> {
        let strings = self.byte_strings_and_beyond()?;
        Some(strings.map(|(string, _)| string))
    }

    /// As [`byte_strings`](Self::byte_strings), each with all that the array holds from its first byte on: whoever loads
    /// sixteen bytes at a time may read on where the string ends.
    pub fn byte_strings_and_beyond(
        &self,
    ) -> Option<impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a>> {
        let strings = ByteStrings {
            left: self.len,
            bytes: self.bytes,
        };
        (self.ty == ValueType::String).then_some(strings)
    }

    /// The bits of the elements of an array of numbers of 32 bits, u32, i32 or f32; `None` if it is of another type.
    pub fn words(&self) -> Option<impl ExactSizeIterator<Item = u32> + Clone + use<'a>> {
        let has_words = matches!(self.ty, ValueType::U32 | ValueType::I32 | ValueType::F32);
        has_words.then(|| {
            let words = self.bytes.as_chunks().0.iter();
            words.map(|word| u32::from_le_bytes(*word))
        })
    }

    /// The elements of an array of f32; `None` if it is of another type.
    pub fn f32s(&self) -> Option<impl ExactSizeIterator<Item = f32> + Clone + use<'a>> {
        let words = self.words().filter(|_| self.ty == ValueType::F32);
        words.map(|words| words.map(f32::from_bits))
    }

    /// The elements of an array of integers of any width; `None` if it is of another type or one does not fit i32.
    pub fn i32s(&self) -> Option<impl ExactSizeIterator<Item = i32> + Clone + use<'a>> {
        self.integers()
    }

    /// The elements of an array of integers of any width; `None` if it is of another type or one does not fit u32.
    pub fn u32s(&self) -> Option<impl ExactSizeIterator<Item = u32> + Clone + use<'a>> {
        self.integers()
    }

    /// The elements of an array of bool; `None` if it is of another type.
    pub fn bools(&self) -> Option<impl ExactSizeIterator<Item = bool> + Clone + use<'a>> {
        (self.ty == ValueType::Bool).then(|| self.iter().map(|value| value == Value::Bool(true)))
    }

    fn integers<T: TryFrom<i128>>(
        &self,
    ) -> Option<impl ExactSizeIterator<Item = T> + Clone + use<'a, T>> {
        let fit = |value: Value<'a>| value.integer().and_then(|number| T::try_from(number).ok());
        let is_integer = !matches!(
            self.ty,
            ValueType::F32
                | ValueType::F64
                | ValueType::Bool
                | ValueType::String
                | ValueType::Array
        );
        (is_integer && self.iter().all(|value| fit(value).is_some())).then(|| {
            self.iter()
                .map(move |value| fit(value).expect("every element was found to fit"))
        })
    }

    /// As [`Value::found`]: the range of integers, of which one may not fit, and the string that is not UTF-8.
    pub(crate) fn found(&self) -> String {
        let array = format!("array of {} {}", self.len, self.ty);
        let integers = self.iter().filter_map(|value| value.integer());
        if let (Some(min), Some(max)) = (integers.clone().min(), integers.max()) {
            return format!("{array} from {min} to {max}");
        }
        match self
            .iter()
            .position(|value| matches!(value, Value::Bytes(_)))
        {
            Some(i) => format!("{array}, number {} not UTF-8", i + 1),
            None => array,
        }
    }

    /// Reads an array, checking every element; `depth` is 1 for the value of a key, 2 for an array in it, and so on.
    pub(crate) fn read(reader: &mut Reader<'a>, key: &'a str, depth: usize) -> Result<Self, Stop> {
        let place = Place::Value { key };
        if depth > MAX_ARRAY_DEPTH {
            return Err(Error::NestedTooDeep {
                key: key.into(),
                limit: MAX_ARRAY_DEPTH,
            }
            .into());
        }
        let ty_id = reader.u32(place)?;
        let ty = ValueType::from_id(ty_id).ok_or_else(|| Error::UnknownValueType {
            key: key.into(),
            id: ty_id,
        })?;
        let len = reader.u64(place)?;
        let start = reader.pos();
        // Every element has at least this many bytes: refuses absurd lengths before anything is done len times.
        let min_bytes = len.saturating_mul(ty.min_bytes() as u64);
        match ty {
            ValueType::String => {
                reader.expect(min_bytes, place)?;
                reader.skip_byte_strings(len, place)?;
            }
            ValueType::Array => {
                reader.expect(min_bytes, place)?;
                for _ in 0..len {
                    Self::read(reader, key, depth + 1)?;
                }
            }
            _ => {
                let bytes = reader.take(min_bytes, place)?;
                if ty == ValueType::Bool
                    && let Some(&found) = bytes.iter().find(|byte| **byte > 1)
                {
                    return Err(Error::InvalidBool {
                        key: key.into(),
                        found,
                    }
                    .into());
                }
            }
        }
        // len <= the bytes just checked, which are in memory, so it fits usize
        Ok(Self {
            ty,
            len: len as usize,
            bytes: reader.since(start),
        })
    }

    /// Takes an array apart that [`Array::read`] has accepted, and returns the bytes after it.
    pub(crate) fn decode(bytes: &'a [u8]) -> (Self, &'a [u8]) {
        const CHECKED: &str = "checked when the file was parsed";
        let (ty, rest) = bytes.split_first_chunk().expect(CHECKED);
        let (len, elements) = rest.split_first_chunk().expect(CHECKED);
        let ty = ValueType::from_id(u32::from_le_bytes(*ty)).expect(CHECKED);
        let len = u64::from_le_bytes(*len) as usize;
        let mut walk = Elements {
            ty,
            left: len,
            bytes: elements,
        };
        match ty.fixed_bytes() {
            Some(bytes) => walk.bytes = &elements[len * bytes..],
            None => walk.by_ref().for_each(drop),
        }
        let (bytes, rest) = elements.split_at(elements.len() - walk.bytes.len());
        (Self { ty, len, bytes }, rest)
    }
}

#[derive(Clone)]
struct Elements<'a> {
    ty: ValueType,
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (value, rest) = Value::decode(self.ty, self.bytes);
        self.bytes = rest;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

#[derive(Clone)]
struct ByteStrings<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for ByteStrings<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        self.left = self.left.checked_sub(1)?;
        let (string, rest) = split_byte_string(self.bytes);
        // Behind its length.
        let beyond = &self.bytes[size_of::<u64>()..];
        self.bytes = rest;
        Some((string, beyond))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ByteStrings<'_> {}

/// The first elements, then how many there are: `[1, 2, 3, … 32000 u32]`.
impl fmt::Display for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "[")?;
        for (i, value) in self.iter().take(SHOWN).enumerate() {
            write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
        }
        if self.len > SHOWN {
            write!(f, ", … {} {}", self.len, self.ty)?;
        }
        write!(f, "]")
    }
}

/// As `Display`: a derived one would print megabytes of vocabulary.
impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
