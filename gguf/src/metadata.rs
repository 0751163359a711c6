//! The key-value pairs at the start of a file.

use crate::array::Array;
use crate::error::Error;
use crate::reader::{Place, Reader, Stop};
use crate::value::{Value, ValueType};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The longest key the specification allows.
pub(crate) const MAX_KEY_BYTES: u64 = 65535;

/// Metadata of a file: keys and values in the order of the file, found by key in constant time.
///
/// The `get_*` methods return `Ok(None)` for an absent key and an error that names key, expected and found when the value
/// is of another type or does not fit. The `require_*` methods make absence an error too.
#[derive(Clone, Debug)]
pub struct Metadata<'a> {
    entries: Vec<(&'a str, Value<'a>)>,
    index: HashMap<&'a str, usize>,
}

impl<'a> Metadata<'a> {
    /// Bytes of an entry at the least: key length, a key of one byte, value type, a value of one byte.
    pub(crate) const MIN_ENTRY_BYTES: u64 = 8 + 1 + 4 + 1;

    pub(crate) fn read(reader: &mut Reader<'a>, count: u64) -> Result<Self, Stop> {
        let mut entries = Vec::new();
        let mut index = HashMap::new();
        for i in 0..count {
            let key = reader.name(MAX_KEY_BYTES, Place::Key { index: i, count })?;
            let ty_id = reader.u32(Place::Value { key })?;
            let ty = ValueType::from_id(ty_id).ok_or_else(|| Error::UnknownValueType {
                key: key.into(),
                id: ty_id,
            })?;
            let value = Value::read(reader, ty, key)?;
            match index.entry(key) {
                Entry::Occupied(_) => return Err(Error::DuplicateKey { key: key.into() }.into()),
                Entry::Vacant(slot) => slot.insert(entries.len()),
            };
            entries.push((key, value));
        }
        Ok(Self { entries, index })
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, Value<'a>)> + '_ {
        self.entries.iter().copied()
    }

    /// The value of a key, whatever its type.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.index.get(key).map(|&i| self.entries[i].1)
    }

    fn get_as<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(Error::WrongType {
                key: key.into(),
                expected,
                found: value.found(),
            }),
        }
    }
}

macro_rules! getters {
    ($($(#[$doc:meta])* $get:ident $require:ident -> $out:ty, $expected:literal, $convert:expr;)*) => {
        impl<'a> Metadata<'a> {
            $(
                $(#[$doc])*
                pub fn $get(&self, key: &str) -> Result<Option<$out>, Error> {
                    self.get_as(key, $expected, $convert)
                }

                #[doc = concat!("As [`", stringify!($get), "`](Self::", stringify!($get), "), and an absent key is an error.")]
                pub fn $require(&self, key: &str) -> Result<$out, Error> {
                    self.$get(key)?.ok_or_else(|| Error::MissingKey { key: key.into(), expected: $expected })
                }
            )*
        }
    };
}

getters! {
    /// An integer of any width that fits u32.
    get_u32 require_u32 -> u32, "an unsigned 32-bit integer", |value| value.integer()?.try_into().ok();
    /// An integer of any width that fits u64.
    get_u64 require_u64 -> u64, "an unsigned 64-bit integer", |value| value.integer()?.try_into().ok();
    /// An f32, or an f64 rounded to f32.
    get_f32 require_f32 -> f32, "a floating-point number", |value| match value {
        Value::F32(number) => Some(number),
        Value::F64(number) => Some(number as f32),
        _ => None,
    };
    /// A bool.
    get_bool require_bool -> bool, "a bool", |value| match value {
        Value::Bool(bool) => Some(bool),
        _ => None,
    };
    /// A string, if it is UTF-8.
    get_str require_str -> &'a str, "a UTF-8 string", |value| match value {
        Value::String(string) => Some(string),
        _ => None,
    };
    /// An array of any type.
    get_array require_array -> Array<'a>, "an array", array;
}

macro_rules! array_getters {
    ($($(#[$doc:meta])* $get:ident $require:ident $method:ident -> $out:ty, $expected:literal;)*) => {
        impl<'a> Metadata<'a> {
            $(
                $(#[$doc])*
                pub fn $get(&self, key: &str) -> Result<Option<impl ExactSizeIterator<Item = $out> + Clone + use<'a>>, Error> {
                    self.get_as(key, $expected, |value| array(value)?.$method())
                }

                #[doc = concat!("As [`", stringify!($get), "`](Self::", stringify!($get), "), and an absent key is an error.")]
                pub fn $require(&self, key: &str) -> Result<impl ExactSizeIterator<Item = $out> + Clone + use<'a>, Error> {
                    self.$get(key)?.ok_or_else(|| Error::MissingKey { key: key.into(), expected: $expected })
                }
            )*
        }
    };
}

array_getters! {
    /// The elements of an array of strings that all are UTF-8.
    get_strings require_strings strings -> &'a str, "an array of UTF-8 strings";
    /// The elements of an array of f32.
    get_f32s require_f32s f32s -> f32, "an array of f32";
    /// The elements of an array of integers of any width that all fit i32.
    get_i32s require_i32s i32s -> i32, "an array of 32-bit integers";
    /// The elements of an array of integers of any width that all fit u32.
    get_u32s require_u32s u32s -> u32, "an array of unsigned 32-bit integers";
    /// The elements of an array of bool.
    get_bools require_bools bools -> bool, "an array of bool";
}

fn array(value: Value<'_>) -> Option<Array<'_>> {
    match value {
        Value::Array(array) => Some(array),
        _ => None,
    }
}
