//! Model families: one file and one line of the table each.
//!
//! A family reads its hyperparameters from the metadata, lists the tensors of a
//! layer, and says how a layer computes. Everything around the layers
//! (embedding, final norm, output) is common and lives in [`crate::model`].

pub mod llama;
mod rope;

use crate::backend::{Backend, Device, Step};
use crate::error::ModelError;
use crate::network::{Network, Runner};
use crate::tensors::{Loader, Tensors};
use gguf::Metadata;

/// Hyperparameters that every family has.
#[derive(Clone, Debug)]
pub struct Config {
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// Number of tokens in the vocabulary.
    pub n_vocab: usize,
    /// Longest context the model was trained for.
    pub context_length: usize,
    /// Epsilon of the norms.
    pub norm_eps: f32,
    /// Key and value heads.
    pub n_head_kv: usize,
    /// Width of a key head.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
}

/// A model family.
pub trait Family: Sized + Send + Sync + 'static {
    /// A layer's weights on a device.
    type Layer<D: Device>: Send + Sync;

    /// Reads and checks the hyperparameters.
    fn from_file(metadata: &Metadata<'_>, tensors: &Tensors) -> Result<Self, ModelError>;

    /// What every family has.
    fn config(&self) -> &Config;

    /// Finds and checks the tensors of layer `index`.
    fn load_layer<D: Device>(
        &self,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Self::Layer<D>, ModelError>;

    /// Takes the residual stream `x` through layer `index`. Afterwards `x` has the
    /// rows that the step keeps.
    fn layer<B: Backend>(
        &self,
        backend: &mut B,
        index: usize,
        layer: &Self::Layer<B::Device>,
        step: &mut Step<'_>,
        x: &mut B::Tensor,
    );
}

/// No model is wider, in its residual stream, its heads together or its
/// feed-forward network: what a step allocates stays within bounds.
pub const MAX_WIDTH: usize = 1 << 18;

/// Makes a network of a family from a file.
type Build = fn(&Metadata<'_>, &Tensors) -> Result<Box<dyn Network>, ModelError>;

/// The family table: `general.architecture` and the family that runs it.
static FAMILIES: &[(&str, Build)] = &[("llama", build::<llama::Llama>)];

fn build<F: Family>(
    metadata: &Metadata<'_>,
    tensors: &Tensors,
) -> Result<Box<dyn Network>, ModelError> {
    let family = F::from_file(metadata, tensors)?;
    Ok(Box::new(Runner::new(family, tensors)?))
}

/// Makes the network that the file describes.
pub fn network(metadata: &Metadata<'_>, tensors: &Tensors) -> Result<Box<dyn Network>, ModelError> {
    let found = metadata.require_str("general.architecture")?;
    match FAMILIES.iter().find(|(name, _)| *name == found) {
        Some((_, build)) => build(metadata, tensors),
        None => Err(ModelError::Architecture {
            found: found.to_owned(),
            known: FAMILIES
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// Metadata of one architecture: keys that start with its name, and the checks
/// that every family makes.
pub struct Hyperparameters<'a, 'f> {
    metadata: &'a Metadata<'f>,
    architecture: &'f str,
}

impl<'a, 'f> Hyperparameters<'a, 'f> {
    /// Of the architecture that the file names.
    pub fn new(metadata: &'a Metadata<'f>) -> Result<Self, ModelError> {
        Ok(Hyperparameters {
            metadata,
            architecture: metadata.require_str("general.architecture")?,
        })
    }

    /// The full name of a key.
    pub fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// An integer in `range`, or `None` if the file does not say.
    pub fn optional(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<usize>, ModelError> {
        let key = self.key(name);
        // Some files hold one value per layer; uniform ones mean the same.
        let found = match self.metadata.get(&key) {
            Some(gguf::Value::Array(array)) => {
                let n_layer = self.metadata.require_u64(&self.key("block_count"))?;
                if array.len() as u64 != n_layer {
                    return Err(ModelError::value(
                        &key,
                        format!("one for each of {n_layer} layers"),
                        format!("an array of {} values", array.len()),
                    ));
                }
                let mut values = array.iter().map(|value| value.integer());
                let first = values.next().flatten();
                match first {
                    Some(first) if values.all(|value| value == Some(first)) => {
                        Some(u64::try_from(first).unwrap_or(u64::MAX))
                    }
                    _ => return Err(ModelError::value(&key, "one value for all layers", array)),
                }
            }
            _ => self.metadata.get_u64(&key)?,
        };
        let Some(found) = found else { return Ok(None) };
        match usize::try_from(found) {
            Ok(value) if range.contains(&value) => Ok(Some(value)),
            _ => {
                let expected = format!("{} to {}", range.start(), range.end());
                Err(ModelError::value(&key, expected, found))
            }
        }
    }

    /// An integer in `range`.
    pub fn require(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize, ModelError> {
        match self.optional(name, range)? {
            Some(value) => Ok(value),
            // Says which key is missing.
            None => Ok(self.metadata.require_u64(&self.key(name))? as usize),
        }
    }

    /// A float, finite and above zero.
    pub fn positive(&self, name: &str, default: Option<f32>) -> Result<f32, ModelError> {
        let key = self.key(name);
        let found = match (self.metadata.get_f32(&key)?, default) {
            (Some(found), _) => found,
            (None, Some(default)) => default,
            (None, None) => self.metadata.require_f32(&key)?,
        };
        if found.is_finite() && found > 0.0 {
            Ok(found)
        } else {
            Err(ModelError::value(&key, "a finite number above 0", found))
        }
    }

    /// A text, or `None` if the file does not say.
    pub fn text(&self, name: &str) -> Result<Option<&'f str>, ModelError> {
        Ok(self.metadata.get_str(&self.key(name))?)
    }
}
