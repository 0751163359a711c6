//! A matrix and the bias that some files have.

use crate::backend::{Backend, Device, Norm, Product};
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

    /// The tensor `name.weight`, whose rows are those of several, one after the other, and
    /// `name.bias`, if there is one.
    pub fn load_stacked<const N: usize>(
        loader: &Loader<'_, D>,
        name: &str,
        rows: [usize; N],
        cols: usize,
    ) -> Result<[Self; N], ModelError> {
        let weights = loader.stacked(&format!("{name}.weight"), &rows, cols)?;
        let biases = loader.optional_vectors(&format!("{name}.bias"), &rows)?;
        let mut biases = biases.into_iter().flatten();
        let linears: Vec<_> = weights
            .into_iter()
            .map(|weight| Linear {
                weight,
                bias: biases.next(),
            })
            .collect();
        Ok(linears
            .try_into()
            .unwrap_or_else(|_| panic!("one for each of {N} parts")))
    }

    /// The same with the bias `name.bias`, if it has none and there is one.
    pub fn or_bias(
        self,
        loader: &Loader<'_, D>,
        (name, rows): (&str, usize),
    ) -> Result<Self, ModelError> {
        let bias = match self.bias {
            None => loader.optional_vector(&format!("{name}.bias"), rows)?,
            bias => bias,
        };
        Ok(Linear { bias, ..self })
    }

    /// One product of a call to [`Backend::matmul`].
    pub fn product<'a, B: Backend<Device = D>>(&'a self, out: &'a mut B::Tensor) -> Product<'a, B> {
        Product {
            weight: &self.weight,
            bias: self.bias.as_ref(),
            out,
        }
    }

    /// The products of several with the same activations, whose rows are so many.
    pub fn products_of<B: Backend<Device = D>, const N: usize>(
        linears: &[Self; N],
        b: &mut B,
        x: &B::Tensor,
        widths: [usize; N],
        rows: usize,
    ) -> [B::Tensor; N] {
        let mut made = widths.map(|width| b.tensor(rows, width));
        let each = linears.iter().zip(&mut made);
        let mut products: Vec<_> = each.map(|(linear, out)| linear.product(out)).collect();
        b.matmul(x, &mut products);
        made
    }

    /// Adds the product to the residual stream, whose rows are so many; where there
    /// is a norm, what is added is normed first.
    pub fn add<B: Backend<Device = D>>(
        &self,
        b: &mut B,
        x: &B::Tensor,
        norm: Option<&Norm<D>>,
        rows: usize,
        sum: &mut B::Tensor,
    ) {
        match norm {
            None => b.matmul_add(x, &self.weight, self.bias.as_ref(), sum),
            Some(norm) => {
                let mut out = b.tensor(rows, norm.width);
                b.matmul(x, &mut [self.product(&mut out)]);
                b.norm_add(&out, norm, sum);
            }
        }
    }
}
