//! A whole file, or the start of one that is still arriving.

use crate::error::Error;
use crate::foreign;
use crate::metadata::Metadata;
use crate::reader::{Place, Reader, Stop};
use crate::tensor::{self, TensorInfo};
use std::collections::HashMap;

pub(crate) const MAGIC: &[u8; 4] = b"GGUF";
pub(crate) const HEADER_BYTES: u64 = 24;
pub(crate) const KEY_ALIGNMENT: &str = "general.alignment";
pub(crate) const DEFAULT_ALIGNMENT: u64 = 32;
/// The specification wants a multiple of 8; with it, tensor data can be viewed as any element type.
pub(crate) const MIN_ALIGNMENT: u64 = 8;
/// Far above page sizes; larger values would only hide that padding makes up most of a file.
pub(crate) const MAX_ALIGNMENT: u64 = 1 << 20;
/// Limits far above real files (some 10^2 keys, 10^3 tensors), which bound what a hostile header can make us keep.
const MAX_KEYS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 20;

/// A GGUF file: header, metadata and tensor table, checked and borrowed from the file's bytes.
#[derive(Clone, Debug)]
pub struct Gguf<'a> {
    version: u32,
    alignment: u64,
    data_offset: u64,
    metadata: Metadata<'a>,
    tensors: Vec<TensorInfo<'a>>,
    index: HashMap<&'a str, usize>,
}

/// What the start of a file holds.
#[derive(Clone, Debug)]
pub enum Parsed<'a> {
    /// The whole header: metadata and tensor table.
    Complete(Gguf<'a>),
    /// Nothing wrong so far, but the header goes on.
    NeedMore {
        /// Bytes from the start of the file that are certainly needed, more than were given. The header may turn out
        /// longer still, so let the prefix grow at least twofold from try to try.
        at_least: u64,
    },
}

impl<'a> Gguf<'a> {
    /// Parses a whole file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let file_len = bytes.len() as u64;
        match Self::read(bytes, file_len) {
            Ok(gguf) => Ok(gguf),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::NeedMore(at_least)) => {
                unreachable!("{at_least} bytes wanted of a file of {file_len}")
            }
        }
    }

    /// Parses the start of a file of `file_len` bytes of which only `prefix` has been read; tensor data need not be there.
    ///
    /// # Panics
    /// If `prefix` is longer than `file_len`.
    pub fn parse_prefix(prefix: &'a [u8], file_len: u64) -> Result<Parsed<'a>, Error> {
        match Self::read(prefix, file_len) {
            Ok(gguf) => Ok(Parsed::Complete(gguf)),
            Err(Stop::NeedMore(at_least)) => Ok(Parsed::NeedMore { at_least }),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    /// Version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Every tensor starts at a multiple of this: a power of two, at least 8.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Where tensor data starts, counted from the start of the file; past its end only when there are no tensors.
    pub fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// The key-value pairs.
    pub fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// All tensors in the order of the table.
    pub fn tensors(&self) -> &[TensorInfo<'a>] {
        &self.tensors
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo<'a>> {
        self.index.get(name).map(|&i| &self.tensors[i])
    }

    fn read(bytes: &'a [u8], file_len: u64) -> Result<Self, Stop> {
        let mut reader = Reader::new(bytes, file_len);
        let version = read_version(&mut reader, bytes, file_len)?;
        let tensor_count = reader.u64(Place::Header)?;
        let key_count = reader.u64(Place::Header)?;
        let check = |what, count: u64, limit, min_bytes: u64, remaining| {
            if count > limit {
                return Err(Error::TooMany { what, count, limit });
            }
            if count * min_bytes > remaining {
                return Err(Error::CountBeyondFile {
                    what,
                    count,
                    min_bytes,
                    remaining,
                });
            }
            Ok(())
        };
        check(
            "metadata keys",
            key_count,
            MAX_KEYS,
            Metadata::MIN_ENTRY_BYTES,
            reader.remaining(),
        )?;
        check(
            "tensors",
            tensor_count,
            MAX_TENSORS,
            TensorInfo::MIN_ENTRY_BYTES,
            reader.remaining(),
        )?;

        let metadata = Metadata::read(&mut reader, key_count)?;
        let alignment = read_alignment(&metadata)?;
        let (mut tensors, index) = tensor::read_table(&mut reader, tensor_count)?;
        let data_offset = (reader.pos() as u64).next_multiple_of(alignment);
        tensor::resolve_offsets(&mut tensors, data_offset, alignment, file_len)?;
        Ok(Self {
            version,
            alignment,
            data_offset,
            metadata,
            tensors,
            index,
        })
    }
}

/// Magic and version, with everything that is commonly mistaken for a GGUF file called by its name.
fn read_version(reader: &mut Reader<'_>, bytes: &[u8], file_len: u64) -> Result<u32, Stop> {
    if file_len == 0 {
        return Err(Error::Empty.into());
    }
    let enough = HEADER_BYTES.min(file_len); // also to recognise what is not GGUF
    reader.expect(enough, Place::Header)?;
    let head = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(head) {
        let error = match foreign::recognise(bytes) {
            Some(looks_like) => Error::Foreign { looks_like },
            None => Error::BadMagic { found: head.into() },
        };
        return Err(error.into());
    }
    if file_len < HEADER_BYTES {
        return Err(Error::TooShort { file_len }.into());
    }
    reader.u32(Place::Header)?; // the magic
    match reader.u32(Place::Header)? {
        version @ 2..=3 => Ok(version),
        version if version.swap_bytes() <= 0xffff && version != 0 => Err(Error::BigEndian {
            version: version.swap_bytes(),
        }
        .into()),
        version => Err(Error::Version { version }.into()),
    }
}

fn read_alignment(metadata: &Metadata<'_>) -> Result<u64, Error> {
    let Some(found) = metadata.get_u64(KEY_ALIGNMENT)? else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    if !found.is_power_of_two() || !(MIN_ALIGNMENT..=MAX_ALIGNMENT).contains(&found) {
        return Err(Error::Alignment {
            found,
            min: MIN_ALIGNMENT,
            max: MAX_ALIGNMENT,
        });
    }
    Ok(found)
}
