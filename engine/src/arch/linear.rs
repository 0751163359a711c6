//! A matrix and the bias that some files have.

use crate::backend::{Backend, Device, Product};
use crate::error::ModelError;
use crate::tensors::Loader;

/// A matrix and the bias that some files have.
pub struct Linear<D: Device> {
    weight: D::Matrix,
    bias: Option<D::Vector>,
}

impl<D: Device> Linear<D> {
    /// The tensors `name.weight` and, if there is one, `name.bias`.
    pub fn load(
        loader: &Loader<'_, D>,
        name: &str,
        rows: usize,
        cols: usize,
    ) -> Result<Self, ModelError> {
        let [linear] = Linear::load_siblings(loader, [(name, rows)], cols)?;
        Ok(linear)
    }

    /// Those that are multiplied with the same activations.
    pub fn load_siblings<const N: usize>(
        loader: &Loader<'_, D>,
        names: [(&str, usize); N],
        cols: usize,
    ) -> Result<[Self; N], ModelError> {
        let weights = names.map(|(name, rows)| (format!("{name}.weight"), rows));
        let weights = loader.siblings(&weights, cols)?;
        let mut linears = Vec::new();
        for ((name, rows), weight) in names.into_iter().zip(weights) {
            let bias = loader.optional_vector(&format!("{name}.bias"), rows)?;
            linears.push(Linear { weight, bias });
        }
        let linears = linears.try_into();
        Ok(linears.unwrap_or_else(|_| panic!("one for each of {N} names")))
    }

    /// One product of a call to [`Backend::matmul`].
    pub fn product<'a, B: Backend<Device = D>>(&'a self, out: &'a mut B::Tensor) -> Product<'a, B> {
        Product {
            weight: &self.weight,
            bias: self.bias.as_ref(),
            out,
        }
    }

    /// Adds the product to the residual stream.
    pub fn add<B: Backend<Device = D>>(&self, backend: &mut B, x: &B::Tensor, sum: &mut B::Tensor) {
        backend.matmul_add(x, &self.weight, self.bias.as_ref(), sum);
    }
}
