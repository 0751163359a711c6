//! What cases compute with: always the same numbers.

use crate::backend::{Backend, Device};
use crate::mapping::{Bytes, Mapping};
use crate::tensors::Vector;
use kernels::Format;
use kernels::format::ActivationForm;
use kernels::selftest::{Random, ordinary_weights};
use std::sync::Arc;

/// Numbers between −1 and 1, always the same.
pub(super) fn floats(seed: u64, len: usize) -> Vec<f32> {
    let mut random = Random(seed);
    (0..len).map(|_| random.float()).collect()
}

/// Activations that are the same as 8-bit integers however a device divides:
/// multiples of 1/128, the largest of each 32 being 127 of them.
pub(super) fn exact_activations(seed: u64, len: usize) -> Vec<f32> {
    let mut random = Random(seed);
    let value = |index| match index % 32 {
        0 => 127.0,
        _ => (random.float() * 127.0).round(),
    };
    (0..len).map(value).map(|x| x / 128.0).collect()
}

pub(super) fn bytes(bytes: &[u8]) -> Bytes {
    let mapping = Mapping::anonymous(bytes).expect("memory for test data");
    Bytes::new(Arc::new(mapping), 0..bytes.len())
}

pub(super) fn matrix<D: Device>(
    device: &D,
    format: Format,
    rows: usize,
    cols: usize,
    seed: u64,
) -> D::Matrix {
    device.matrix(format, rows, cols, weights(format, rows, cols, seed))
}

pub(super) fn weights(format: Format, rows: usize, cols: usize, seed: u64) -> Bytes {
    let weights = match format.info().activations {
        ActivationForm::Int8 => ordinary_weights(format, rows, cols, &mut Random(seed)),
        // Random bits of floats are mostly tiny; these are all of one size.
        ActivationForm::Float | ActivationForm::Bf16 => {
            let values = floats(seed, rows * cols);
            let f32s = || values.iter();
            match format {
                Format::F32 => f32s().flat_map(|v| v.to_le_bytes()).collect(),
                Format::F16 => f32s()
                    .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
                    .collect(),
                _ => f32s()
                    .flat_map(|&v| half::bf16::from_f32(v).to_le_bytes())
                    .collect(),
            }
        }
    };
    bytes(&weights)
}

pub(super) fn vector<D: Device>(device: &D, seed: u64, len: usize) -> D::Vector {
    vector_of(device, &floats(seed, len))
}

pub(super) fn vector_of<D: Device>(device: &D, values: &[f32]) -> D::Vector {
    let bytes = bytes(bytemuck::cast_slice(values));
    device.vector(Vector::new(Format::F32, values.len(), bytes))
}

pub(super) fn read<B: Backend>(backend: &mut B, x: &B::Tensor) -> Vec<f32> {
    let mut values = Vec::new();
    backend.read(x, &mut values);
    values
}
