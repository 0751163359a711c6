//! Writing GGUF: for tests, synthetic models and small tools.
//!
//! What is written is the caller's own, so mistakes in it are panics with the values, not errors.

use crate::file::{
    DEFAULT_ALIGNMENT, HEADER_BYTES, KEY_ALIGNMENT, MAGIC, MAX_ALIGNMENT, MIN_ALIGNMENT,
};
use crate::tensor::{MAX_DIMS, measure};
use crate::tensor_type::TensorType;
use crate::value::{Value, ValueType};
use std::ops::Range;

/// A metadata value that owns its strings and elements. Numbers, bools, strings and vectors of them convert to it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum OwnedValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    /// A string that need not be UTF-8.
    Bytes(Vec<u8>),
    /// The type of the elements, and elements that all are of that type.
    Array(ValueType, Vec<OwnedValue>),
    U64(u64),
    I64(i64),
    F64(f64),
}

macro_rules! from {
    ($($source:ty => $variant:ident;)*) => {
        $(
            impl From<$source> for OwnedValue {
                fn from(value: $source) -> Self {
                    Self::$variant(value.into())
                }
            }

            impl From<Vec<$source>> for OwnedValue {
                fn from(values: Vec<$source>) -> Self {
                    Self::Array(ValueType::$variant, values.into_iter().map(Self::from).collect())
                }
            }
        )*
    };
}

from! {
    u8 => U8;
    i8 => I8;
    u16 => U16;
    i16 => I16;
    u32 => U32;
    i32 => I32;
    f32 => F32;
    bool => Bool;
    String => String;
    &str => String;
    u64 => U64;
    i64 => I64;
    f64 => F64;
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::U8(n) => Self::U8(n),
            Value::I8(n) => Self::I8(n),
            Value::U16(n) => Self::U16(n),
            Value::I16(n) => Self::I16(n),
            Value::U32(n) => Self::U32(n),
            Value::I32(n) => Self::I32(n),
            Value::F32(n) => Self::F32(n),
            Value::Bool(b) => Self::Bool(b),
            Value::String(s) => Self::String(s.into()),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::Array(array) => Self::Array(array.ty(), array.iter().map(Self::from).collect()),
            Value::U64(n) => Self::U64(n),
            Value::I64(n) => Self::I64(n),
            Value::F64(n) => Self::F64(n),
        }
    }
}

impl OwnedValue {
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
            Self::Array(..) => ValueType::Array,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// Appends the value as it stands in a file, without its type.
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(n) => out.push(*n),
            Self::I8(n) => out.extend(n.to_le_bytes()),
            Self::U16(n) => out.extend(n.to_le_bytes()),
            Self::I16(n) => out.extend(n.to_le_bytes()),
            Self::U32(n) => out.extend(n.to_le_bytes()),
            Self::I32(n) => out.extend(n.to_le_bytes()),
            Self::F32(n) => out.extend(n.to_le_bytes()),
            Self::Bool(b) => out.push((*b).into()),
            Self::String(s) => write_string(s.as_bytes(), out),
            Self::Bytes(bytes) => write_string(bytes, out),
            Self::Array(ty, values) => {
                out.extend(ty.id().to_le_bytes());
                out.extend((values.len() as u64).to_le_bytes());
                for value in values {
                    assert_eq!(value.ty(), *ty, "type of an array element");
                    value.write(out);
                }
            }
            Self::U64(n) => out.extend(n.to_le_bytes()),
            Self::I64(n) => out.extend(n.to_le_bytes()),
            Self::F64(n) => out.extend(n.to_le_bytes()),
        }
    }
}

fn write_string(string: &[u8], out: &mut Vec<u8>) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string);
}

struct Declared<'d> {
    name: String,
    ty: TensorType,
    dims: Vec<u64>,
    len_bytes: u64,
    data: Option<&'d [u8]>,
}

/// Builds a GGUF file in memory, or its header alone when the data is too large to be held twice.
///
/// ```
/// use gguf::{TensorType, write::Writer};
/// let layout = Writer::new().declare("output.weight", TensorType::Q4_0, &[4096, 32000]).finish_header();
/// assert_eq!(layout.tensors[0].start, layout.header.len() as u64);
/// assert_eq!(layout.file_len, layout.header.len() as u64 + 4096 / 32 * 18 * 32000);
/// ```
#[must_use]
pub struct Writer<'d> {
    version: u32,
    alignment: u64,
    metadata: Vec<(String, OwnedValue)>,
    tensors: Vec<Declared<'d>>,
}

/// The header of a file to come, and where its tensors belong.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The bytes up to the data, padding included.
    pub header: Vec<u8>,
    /// Where the data of each tensor goes, counted from the start of the file, in order. The gaps are padding: zeros.
    pub tensors: Vec<Range<u64>>,
    /// Bytes of the whole file.
    pub file_len: u64,
}

impl Default for Writer<'_> {
    fn default() -> Self {
        Self {
            version: 3,
            alignment: DEFAULT_ALIGNMENT,
            metadata: Vec::new(),
            tensors: Vec::new(),
        }
    }
}

impl<'d> Writer<'d> {
    /// An empty file of version 3 with the default alignment of 32.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes another version: 2 or 3, which differ in nothing else for little-endian files.
    pub fn version(mut self, version: u32) -> Self {
        assert!(
            (2..=3).contains(&version),
            "version {version}, expected 2 or 3"
        );
        self.version = version;
        self
    }

    /// Sets the alignment of tensor data, a power of two from 8 to 2^20, and the key that says so.
    pub fn alignment(mut self, alignment: u32) -> Self {
        let valid = (MIN_ALIGNMENT..=MAX_ALIGNMENT).contains(&alignment.into())
            && alignment.is_power_of_two();
        assert!(valid, "alignment {alignment}");
        self.alignment = alignment.into();
        self.metadata(KEY_ALIGNMENT, alignment)
    }

    /// Adds a key.
    pub fn metadata(mut self, key: &str, value: impl Into<OwnedValue>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Adds a tensor with its data. `dims` in GGUF's order, contiguous dimension first.
    pub fn tensor(self, name: &str, ty: TensorType, dims: &[u64], data: &'d [u8]) -> Self {
        self.add(name, ty, dims, Some(data))
    }

    /// Adds a tensor whose data the caller writes itself, where [`finish_header`](Self::finish_header) says.
    pub fn declare(self, name: &str, ty: TensorType, dims: &[u64]) -> Self {
        self.add(name, ty, dims, None)
    }

    fn add(mut self, name: &str, ty: TensorType, dims: &[u64], data: Option<&'d [u8]>) -> Self {
        assert!(
            (1..=MAX_DIMS).contains(&dims.len()),
            "tensor {name}: dims {dims:?}"
        );
        let (_, len_bytes) = measure(name, ty, dims).unwrap_or_else(|error| panic!("{error}"));
        if let Some(data) = data {
            assert_eq!(
                data.len() as u64,
                len_bytes,
                "bytes of tensor {name}: {ty} {dims:?}"
            );
        }
        self.tensors.push(Declared {
            name: name.into(),
            ty,
            dims: dims.into(),
            len_bytes,
            data,
        });
        self
    }

    /// The header alone, with the places for the data.
    pub fn finish_header(&self) -> Layout {
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend(MAGIC);
        header.extend(self.version.to_le_bytes());
        header.extend((self.tensors.len() as u64).to_le_bytes());
        header.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            write_string(key.as_bytes(), &mut header);
            header.extend(value.ty().id().to_le_bytes());
            value.write(&mut header);
        }
        let mut offset: u64 = 0;
        let mut offsets = Vec::with_capacity(self.tensors.len());
        for tensor in &self.tensors {
            write_string(tensor.name.as_bytes(), &mut header);
            header.extend((tensor.dims.len() as u32).to_le_bytes());
            tensor
                .dims
                .iter()
                .for_each(|dim| header.extend(dim.to_le_bytes()));
            header.extend(tensor.ty.id().to_le_bytes());
            header.extend(offset.to_le_bytes());
            offsets.push(offset);
            let end = offset
                .checked_add(tensor.len_bytes)
                .and_then(|end| end.checked_next_multiple_of(self.alignment));
            offset = end
                .unwrap_or_else(|| panic!("tensor {}: the file exceeds 2^64 bytes", tensor.name));
        }
        header.resize(header.len().next_multiple_of(self.alignment as usize), 0);
        let data_offset = header.len() as u64;
        let place = |(offset, tensor): (u64, &Declared<'_>)| {
            data_offset + offset..data_offset + offset + tensor.len_bytes
        };
        let tensors = offsets.into_iter().zip(&self.tensors).map(place).collect();
        Layout {
            header,
            tensors,
            file_len: data_offset + offset,
        }
    }

    /// The whole file. Every tensor must have been given its data.
    pub fn finish(self) -> Vec<u8> {
        let layout = self.finish_header();
        let mut file = layout.header;
        for (range, tensor) in layout.tensors.iter().zip(&self.tensors) {
            let data = tensor
                .data
                .unwrap_or_else(|| panic!("tensor {} was declared without data", tensor.name));
            file.resize(range.start as usize, 0);
            file.extend(data);
        }
        file.resize(layout.file_len as usize, 0);
        file
    }
}
