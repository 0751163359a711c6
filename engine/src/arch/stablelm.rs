//! The `stablelm` family: layer norms, and a rope over part of each head. The largest size
//! has parallel layers, which files show by lacking a norm, and norms every head of q and
//! k with weights of its own.
//!
//! Source: "Stable LM 2 1.6B Technical Report" (2024) and the published configuration and
//! implementation of Stable LM 2 12B; tensor names and keys from the GGUF specification.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::with_layer_norms(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::each_head_if_any(tensors);
    let feed_forward = FeedForward::dense(keys, config.n_embd)?;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    // What the key `use_parallel_residual` says is not always so.
    decoder.parallel = !tensors.any(|name| name.ends_with(".ffn_norm.weight"));
    Ok(decoder)
}
