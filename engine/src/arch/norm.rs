//! How a model norms.

use super::Hyperparameters;
use crate::backend::{Device, Norm};
use crate::error::ModelError;
use crate::tensors::{Loader, Tensors};
use kernels::ops::NormKind;

/// How a model norms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norming {
    /// What rows are divided by.
    pub kind: NormKind,
    /// Epsilon of all norms.
    pub eps: f32,
    /// Whether norms have biases, but for those of heads.
    pub biased: bool,
}

impl Norming {
    /// RMS norms with this epsilon.
    pub const fn rms(eps: f32) -> Norming {
        Norming {
            kind: NormKind::Rms,
            eps,
            biased: false,
        }
    }

    /// RMS norms as the file has them.
    pub(super) fn rms_from_file(keys: &Hyperparameters<'_, '_>) -> Result<Norming, ModelError> {
        let eps = keys.positive("attention.layer_norm_rms_epsilon", None)?;
        Ok(Norming::rms(eps))
    }

    /// Layer norms as the file has them: all with a bias, or none.
    pub(super) fn layer_from_file(
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
    ) -> Result<Norming, ModelError> {
        Ok(Norming {
            kind: NormKind::Layer,
            eps: keys.positive("attention.layer_norm_epsilon", None)?,
            biased: tensors.any(|name| name.ends_with("_norm.bias")),
        })
    }

    /// The norm with the weights `name.weight`, so many, and perhaps as many biases.
    pub(crate) fn load<D: Device>(
        &self,
        loader: &Loader<'_, D>,
        name: &str,
        width: usize,
    ) -> Result<Norm<D>, ModelError> {
        let bias = match self.biased {
            true => Some(loader.vector(&format!("{name}.bias"), width)?),
            false => None,
        };
        // Falcon-H1 has one whose name has no ending.
        let ended = format!("{name}.weight");
        let weight = match loader.has(&ended) || !loader.has(name) {
            true => loader.vector(&ended, width)?,
            false => loader.vector(name, width)?,
        };
        let norm = self.with_weight(width, weight);
        Ok(Norm { bias, ..norm })
    }

    /// The norm of heads of that width with the weights `name.weight`: common ones, or
    /// as many as there are heads.
    pub(super) fn load_heads<D: Device>(
        &self,
        loader: &Loader<'_, D>,
        name: &str,
        [width, weights]: [usize; 2],
    ) -> Result<Norm<D>, ModelError> {
        let dims: &[usize] = match weights {
            1 => &[width],
            _ => &[width, weights],
        };
        let weight = loader.vector_of(&format!("{name}.weight"), dims)?;
        Ok(self.with_weight(width, weight))
    }

    /// The norm of that width with these weights and no bias.
    pub(super) fn with_weight<D: Device>(&self, width: usize, weight: D::Vector) -> Norm<D> {
        Norm {
            kind: self.kind,
            eps: self.eps,
            width,
            weight,
            bias: None,
        }
    }
}
