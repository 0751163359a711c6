//! The tensors of a model: found by name, checked against the shape that the
//! model family expects, and handed to the device that computes with them.

use crate::backend::{Device, Sibling};
use crate::error::ModelError;
use crate::mapping::{Bytes, Mapping};
use gguf::TensorType;
use kernels::Format;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A tensor of the file, not yet placed on a device.
#[derive(Clone)]
pub struct Tensor {
    /// Its type in the file.
    pub ty: TensorType,
    /// Its shape in GGUF's order: `k` first.
    pub dims: Vec<u64>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Every tensor of the file or files.
pub struct Tensors {
    by_name: HashMap<String, Entry>,
}

struct Entry {
    tensor: Tensor,
    /// Whether somebody knows what it is for.
    known: AtomicBool,
}

impl Tensors {
    /// Takes over the tensor tables of the shards.
    pub fn new(shards: &[(Arc<Mapping>, gguf::Gguf<'_>)]) -> Tensors {
        let mut by_name = HashMap::new();
        for (mapping, file) in shards {
            for info in file.tensors() {
                let range = info.range();
                // Parsing has checked the range against the file's length.
                let bytes = Bytes::new(mapping.clone(), range.start as usize..range.end as usize);
                let tensor = Tensor {
                    ty: info.ty,
                    dims: info.dims().to_vec(),
                    bytes,
                };
                let known = AtomicBool::new(false);
                by_name.insert(info.name.to_owned(), Entry { tensor, known });
            }
        }
        Tensors { by_name }
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.by_name.get(name).map(|entry| &entry.tensor)
    }

    /// Says that it is known what a tensor of that name is for, if there is one.
    pub fn know(&self, name: &str) {
        if let Some(entry) = self.by_name.get(name) {
            entry.known.store(true, Ordering::Relaxed);
        }
    }

    /// Says the same of all tensors of a layer.
    pub fn know_layer(&self, layer: usize) {
        let prefix = format!("blk.{layer}.");
        let names = self.by_name.keys();
        names
            .filter(|name| name.starts_with(&prefix))
            .for_each(|name| self.know(name));
    }

    /// That it is known of all tensors what they are for: without the others this might
    /// be another model.
    pub fn check_all_known(&self) -> Result<(), ModelError> {
        let is_unknown = |(_, entry): &(&String, &Entry)| !entry.known.load(Ordering::Relaxed);
        let unknown = self.by_name.iter().filter(is_unknown);
        match unknown.map(|(name, _)| name).min() {
            None => Ok(()),
            Some(name) => Err(ModelError::UnknownTensor { name: name.clone() }),
        }
    }

    /// Names and tensors, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.by_name
            .iter()
            .map(|(name, entry)| (name.as_str(), &entry.tensor))
    }

    /// Whether there is a tensor with such a name.
    pub fn any(&self, mut is_such: impl FnMut(&str) -> bool) -> bool {
        self.by_name.keys().any(|name| is_such(name))
    }

    /// Rows of the embedding: tokens in the vocabulary.
    pub fn vocabulary_rows(&self) -> Result<usize, ModelError> {
        let name = "token_embd.weight";
        let tensor = self.get(name).ok_or_else(|| ModelError::MissingTensor {
            name: name.to_owned(),
        })?;
        Ok(tensor.dims.get(1).map_or(1, |&rows| rows as usize))
    }

    /// Bytes of all tensors together.
    pub fn len_bytes(&self) -> u64 {
        self.by_name
            .values()
            .map(|entry| entry.tensor.bytes.len() as u64)
            .sum()
    }

    /// A small tensor of floats, not read yet.
    pub fn vector(&self, name: &str, len: usize) -> Result<Vector, ModelError> {
        self.vector_of(name, &[len])
    }

    /// The same of any shape, row after row.
    pub fn vector_of(&self, name: &str, dims: &[usize]) -> Result<Vector, ModelError> {
        let tensor = self.require(name, dims)?;
        let len = dims.iter().product();
        match Format::from_tensor_type(tensor.ty) {
            Some(format @ (Format::F32 | Format::F16 | Format::BF16)) => {
                Ok(Vector::new(format, len, tensor.bytes.clone()))
            }
            _ => Err(ModelError::TensorType {
                name: name.to_owned(),
                found: tensor.ty.name().to_owned(),
                supported: "F32, F16, BF16 for this tensor".to_owned(),
            }),
        }
    }

    /// The same, of a matrix, column after column.
    pub fn transposed(&self, name: &str, dims: [usize; 2]) -> Result<Vector, ModelError> {
        let mut vector = self.vector_of(name, &dims)?;
        vector.row_len = Some(dims[0]);
        Ok(vector)
    }

    /// The tensor of that name and shape.
    fn require(&self, name: &str, dims: &[usize]) -> Result<&Tensor, ModelError> {
        let missing = || ModelError::MissingTensor {
            name: name.to_owned(),
        };
        let tensor = self.get(name).ok_or_else(missing)?;
        self.know(name);
        // Trailing dimensions of 1 mean nothing.
        let found = tensor
            .dims
            .iter()
            .rposition(|&dim| dim != 1)
            .map_or(1, |last| last + 1);
        let expected = dims
            .iter()
            .rposition(|&dim| dim != 1)
            .map_or(1, |last| last + 1);
        let same = found == expected
            && tensor.dims[..found]
                .iter()
                .zip(dims)
                .all(|(&found, &expected)| found == expected as u64);
        if !same {
            return Err(ModelError::Shape {
                name: name.to_owned(),
                expected: format!("{dims:?}"),
                found: format!("{:?}", tensor.dims),
            });
        }
        Ok(tensor)
    }
}

/// A vector of parameters, such as a norm's weight, that is read when it is
/// first needed: a model can be opened before its weights have arrived.
pub struct Vector {
    len: usize,
    /// Where they are, but for those that no file holds.
    stored: Option<(Format, Bytes)>,
    /// Of a matrix whose values come column after column.
    row_len: Option<usize>,
    /// Factor of what is stored.
    factor: f32,
    values: OnceLock<Vec<f32>>,
}

impl Vector {
    /// `len` numbers in a format of floats.
    pub(crate) fn new(format: Format, len: usize, bytes: Bytes) -> Vector {
        Vector {
            len,
            stored: Some((format, bytes)),
            row_len: None,
            factor: 1.0,
            values: OnceLock::new(),
        }
    }

    /// Ones, which no file holds: the weight of a norm that has none.
    fn ones(len: usize) -> Vector {
        Vector {
            len,
            stored: None,
            row_len: None,
            factor: 1.0,
            values: vec![1.0; len].into(),
        }
    }

    /// The parts of it, so long each, that lie one after the other.
    fn split(&self, lens: &[usize]) -> Vec<Vector> {
        let (format, bytes) = self.stored.as_ref().expect("vectors of files are split");
        let value_bytes = bytes.len() / self.len;
        let mut start = bytes.range().start;
        let part = |&len: &usize| {
            let range = start..start + len * value_bytes;
            start = range.end;
            Vector::new(*format, len, Bytes::new(bytes.mapping().clone(), range))
        };
        lens.iter().map(part).collect()
    }

    /// How many there are.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The values.
    pub fn values(&self) -> &[f32] {
        self.values.get_or_init(|| {
            let mut values = vec![0.0; self.len];
            let (format, bytes) = self.stored.as_ref().expect("values, or where they are");
            format.dequantize(bytes, &mut values);
            values.iter_mut().for_each(|value| *value *= self.factor);
            if let Some(cols) = self.row_len {
                let column = |col| values.iter().skip(col).step_by(cols).copied();
                values = (0..cols).flat_map(column).collect();
            }
            values
        })
    }
}

/// Looks tensors up and places them on a device.
pub struct Loader<'a, D: Device> {
    tensors: &'a Tensors,
    device: &'a D,
}

impl<'a, D: Device> Loader<'a, D> {
    /// For one device.
    pub fn new(tensors: &'a Tensors, device: &'a D) -> Self {
        Loader { tensors, device }
    }

    /// Says that tensors of these names may be there, which nothing is computed from.
    pub fn ignore(&self, names: &[String]) {
        names.iter().for_each(|name| self.tensors.know(name));
    }

    /// Whether the file has a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.get(name).is_some()
    }

    /// A matrix with `rows` outputs and `cols` inputs.
    pub fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<D::Matrix, ModelError> {
        self.stack(name, &[cols, rows])
    }

    /// `count` matrices of that shape in one tensor: the experts.
    pub fn matrices(
        &self,
        name: &str,
        count: usize,
        rows: usize,
        cols: usize,
    ) -> Result<D::Matrix, ModelError> {
        self.stack(name, &[cols, rows, count])
    }

    /// Matrices, each with so many outputs, that are always multiplied with the
    /// same activations.
    pub fn siblings(
        &self,
        names: &[(String, usize)],
        cols: usize,
    ) -> Result<Vec<D::Matrix>, ModelError> {
        let find = |(name, rows): &(String, usize)| self.sibling(name, &[cols, *rows]);
        let found = names.iter().map(find).collect::<Result<_, _>>()?;
        Ok(self.device.siblings(cols, found))
    }

    /// The same of tensors with `count` matrices of that shape each.
    pub fn sibling_stacks<const N: usize>(
        &self,
        names: &[String; N],
        count: usize,
        rows: usize,
        cols: usize,
    ) -> Result<[D::Matrix; N], ModelError> {
        let find = |name: &String| self.sibling(name, &[cols, rows, count]);
        let found = names.iter().map(find).collect::<Result<_, _>>()?;
        let placed = self.device.siblings(cols, found).try_into();
        Ok(placed.unwrap_or_else(|_| panic!("a matrix for each sibling")))
    }

    fn sibling(&self, name: &str, dims: &[usize]) -> Result<Sibling, ModelError> {
        let (format, tensor) = self.find(name, dims)?;
        Ok(Sibling {
            format,
            rows: dims[1..].iter().product(),
            bytes: tensor.bytes.clone(),
        })
    }

    /// The matrices whose rows, so many of each, lie one after the other in one
    /// tensor. They are always multiplied with the same activations.
    pub fn stacked(
        &self,
        name: &str,
        rows: &[usize],
        cols: usize,
    ) -> Result<Vec<D::Matrix>, ModelError> {
        let all = rows.iter().sum();
        let (format, tensor) = self.find(name, &[cols, all])?;
        let row_bytes = tensor.bytes.len() / all;
        let mut start = tensor.bytes.range().start;
        let parts = rows.iter().map(|&rows| {
            let range = start..start + rows * row_bytes;
            start = range.end;
            Sibling {
                format,
                rows,
                bytes: Bytes::new(tensor.bytes.mapping().clone(), range),
            }
        });
        Ok(self.device.siblings(cols, parts.collect()))
    }

    fn stack(&self, name: &str, dims: &[usize]) -> Result<D::Matrix, ModelError> {
        let (format, tensor) = self.find(name, dims)?;
        let (rows, cols) = (dims[1..].iter().product(), dims[0]);
        Ok(self.device.matrix(format, rows, cols, tensor.bytes.clone()))
    }

    /// A tensor that can be computed with.
    fn find(&self, name: &str, dims: &[usize]) -> Result<(Format, &'a Tensor), ModelError> {
        let tensor = self.tensors.require(name, dims)?;
        let format = Format::from_tensor_type(tensor.ty).ok_or_else(|| ModelError::TensorType {
            name: name.to_owned(),
            found: tensor.ty.name().to_owned(),
            supported: Format::all()
                .map(Format::name)
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        Ok((format, tensor))
    }

    /// A vector of parameters, such as a norm's weight.
    pub fn vector(&self, name: &str, len: usize) -> Result<D::Vector, ModelError> {
        Ok(self.device.vector(self.tensors.vector(name, len)?))
    }

    /// The same, all of it times a factor.
    pub fn scaled_vector(
        &self,
        name: &str,
        len: usize,
        factor: f32,
    ) -> Result<D::Vector, ModelError> {
        let mut vector = self.tensors.vector(name, len)?;
        vector.factor = factor;
        Ok(self.device.vector(vector))
    }

    /// The vectors, so long each, that lie one after the other in a tensor, which a file
    /// may lack.
    pub fn optional_vectors(
        &self,
        name: &str,
        lens: &[usize],
    ) -> Result<Option<Vec<D::Vector>>, ModelError> {
        if !self.has(name) {
            return Ok(None);
        }
        let all = self.tensors.vector(name, lens.iter().sum())?;
        let parts = all.split(lens).into_iter();
        Ok(Some(parts.map(|part| self.device.vector(part)).collect()))
    }

    /// The vectors of several matrices, one after the other in one tensor.
    pub fn vector_of(&self, name: &str, dims: &[usize]) -> Result<D::Vector, ModelError> {
        Ok(self.device.vector(self.tensors.vector_of(name, dims)?))
    }

    /// A matrix of parameters, column after column.
    pub fn transposed(&self, name: &str, dims: [usize; 2]) -> Result<D::Vector, ModelError> {
        Ok(self.device.vector(self.tensors.transposed(name, dims)?))
    }

    /// The weight of a norm that has none.
    pub fn ones(&self, len: usize) -> D::Vector {
        self.device.vector(Vector::ones(len))
    }

    /// A vector that a file may lack, such as a bias.
    pub fn optional_vector(&self, name: &str, len: usize) -> Result<Option<D::Vector>, ModelError> {
        self.has(name).then(|| self.vector(name, len)).transpose()
    }
}
