//! The tensor table: where each tensor lies, with everything about it checked.

use crate::error::Error;
use crate::reader::{Place, Reader, Stop};
use crate::tensor_type::TensorType;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

/// Dimensions of a tensor at most.
pub(crate) const MAX_DIMS: usize = 4;

/// The specification says 64, but converters of image models write longer names; this bounds what a message can carry.
pub(crate) const MAX_NAME_BYTES: u64 = 65535;

/// One tensor of a file. Every number in it has been checked: `offset..offset + len_bytes` lies in the file, at a multiple
/// of the alignment, and belongs to this tensor alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo<'a> {
    /// The name, such as `blk.0.attn_q.weight`; unique in the file.
    pub name: &'a str,
    /// How elements are stored.
    pub ty: TensorType,
    /// Dimensions in GGUF's order, contiguous one first, filled up with ones.
    pub shape: [u64; MAX_DIMS],
    /// How many of `shape` the file names: 1 to 4.
    pub n_dims: usize,
    /// First byte, counted from the start of the file.
    pub offset: u64,
    /// Bytes of data.
    pub len_bytes: u64,
    /// Product of the dimensions.
    pub n_elements: u64,
}

impl<'a> TensorInfo<'a> {
    /// Bytes of an entry at the least: name length, a name of one byte, n_dims, one dimension, type, offset.
    pub(crate) const MIN_ENTRY_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;

    /// The dimensions that the file names, contiguous one first.
    pub fn dims(&self) -> &[u64] {
        &self.shape[..self.n_dims]
    }

    /// Elements per row: k, the contiguous dimension.
    pub fn cols(&self) -> u64 {
        self.shape[0]
    }

    /// Number of rows: the product of all dimensions but the first.
    pub fn rows(&self) -> u64 {
        self.n_elements / self.shape[0]
    }

    /// Bytes per row.
    pub fn row_bytes(&self) -> u64 {
        self.len_bytes / self.rows()
    }

    /// Where the data lies in the file.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len_bytes
    }

    /// The tensor's bytes in `file`, the whole file or as much of its start as has been read; `None` if they are not
    /// all there yet.
    pub fn data<'f>(&self, file: &'f [u8]) -> Option<&'f [u8]> {
        let Range { start, end } = self.range();
        file.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// Reads an entry; `offset` is still relative to the data, whose start the end of the table decides.
    fn read(reader: &mut Reader<'a>, index: u64, count: u64) -> Result<Self, Stop> {
        let name = reader.name(MAX_NAME_BYTES, Place::TensorName { index, count })?;
        let place = Place::Tensor { name };
        let n_dims = reader.u32(place)?;
        if n_dims == 0 || n_dims as usize > MAX_DIMS {
            return Err(Error::DimensionCount {
                tensor: name.into(),
                found: n_dims,
                max: MAX_DIMS,
            }
            .into());
        }
        let n_dims = n_dims as usize;
        let mut shape = [1; MAX_DIMS];
        for dim in &mut shape[..n_dims] {
            *dim = reader.u64(place)?;
        }
        let ty_id = reader.u32(place)?;
        let offset = reader.u64(place)?;

        let ty =
            TensorType::from_id(ty_id).ok_or_else(|| match TensorType::removed_name(ty_id) {
                Some(removed) => Error::RemovedTensorType {
                    tensor: name.into(),
                    id: ty_id,
                    name: removed,
                },
                None => Error::UnknownTensorType {
                    tensor: name.into(),
                    id: ty_id,
                },
            })?;
        let (n_elements, len_bytes) = measure(name, ty, &shape[..n_dims])?;
        Ok(Self {
            name,
            ty,
            shape,
            n_dims,
            offset,
            len_bytes,
            n_elements,
        })
    }
}

/// Elements and bytes of a tensor, if its shape is possible. Both are below 2^63, as the format's signed sizes demand.
pub(crate) fn measure(name: &str, ty: TensorType, dims: &[u64]) -> Result<(u64, u64), Error> {
    const MAX: u64 = i64::MAX as u64;
    if let Some(index) = dims.iter().position(|dim| *dim == 0 || *dim > MAX) {
        return Err(Error::Dimension {
            tensor: name.into(),
            index,
            found: dims[index],
        });
    }
    let cols = dims[0];
    if !cols.is_multiple_of(ty.block_len() as u64) {
        return Err(Error::PartialBlock {
            tensor: name.into(),
            cols,
            block_len: ty.block_len(),
            ty,
        });
    }
    let product = |first: Option<u64>| {
        let product = dims[1..]
            .iter()
            .fold(first, |product, dim| product?.checked_mul(*dim));
        product.filter(|product| *product <= MAX)
    };
    match (product(Some(cols)), product(ty.row_bytes(cols))) {
        (Some(n_elements), Some(len_bytes)) => Ok((n_elements, len_bytes)),
        _ => Err(Error::TensorTooLarge {
            tensor: name.into(),
            shape: dims.into(),
        }),
    }
}

/// The entries as they stand in the file, offsets still relative, and their index by name.
pub(crate) fn read_table<'a>(
    reader: &mut Reader<'a>,
    count: u64,
) -> Result<(Vec<TensorInfo<'a>>, HashMap<&'a str, usize>), Stop> {
    let mut tensors = Vec::new();
    let mut index = HashMap::new();
    for i in 0..count {
        let tensor = TensorInfo::read(reader, i, count)?;
        match index.entry(tensor.name) {
            Entry::Occupied(_) => {
                return Err(Error::DuplicateTensor {
                    tensor: tensor.name.into(),
                }
                .into());
            }
            Entry::Vacant(slot) => slot.insert(tensors.len()),
        };
        tensors.push(tensor);
    }
    Ok((tensors, index))
}

/// Makes offsets absolute and checks them against the file and each other.
pub(crate) fn resolve_offsets(
    tensors: &mut [TensorInfo<'_>],
    data_offset: u64,
    alignment: u64,
    file_len: u64,
) -> Result<(), Error> {
    for tensor in tensors.iter_mut() {
        let TensorInfo {
            name,
            offset,
            len_bytes,
            ..
        } = *tensor;
        if !offset.is_multiple_of(alignment) {
            return Err(Error::Misaligned {
                tensor: name.into(),
                offset,
                alignment,
            });
        }
        let end = u128::from(data_offset) + u128::from(offset) + u128::from(len_bytes);
        if end > u128::from(file_len) {
            return Err(Error::TensorPastEnd {
                tensor: name.into(),
                end,
                file_len,
            });
        }
        tensor.offset = data_offset + offset; // below file_len, as end is not above it
    }
    let mut by_offset: Vec<&TensorInfo<'_>> = tensors.iter().collect();
    by_offset.sort_by_key(|tensor| tensor.offset);
    for pair in by_offset.windows(2) {
        let [first, second] = [pair[0], pair[1]];
        if second.offset < first.offset + first.len_bytes {
            return Err(Error::Overlap {
                first: first.name.into(),
                first_range: (first.offset, first.offset + first.len_bytes),
                second: second.name.into(),
                second_range: (second.offset, second.offset + second.len_bytes),
            });
        }
    }
    Ok(())
}
