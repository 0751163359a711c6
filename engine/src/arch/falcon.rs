//! The `falcon-h1` family: every layer has Mamba-2 beside attention, which see and add to
//! the same. What its makers multiply with is part of the weights in files.
//!
//! Sources: "Falcon-H1: A Family of Hybrid-Head Language Models Redefining Efficiency and
//! Performance" (2025); keys from the GGUF specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, RecurrentLayers, ssm};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;
use kernels::recurrent::RecurrentShape;

/// Reads and checks the hyperparameters.
pub fn first_hybrid(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    config.recurrent = Some(RecurrentLayers {
        shape: RecurrentShape::Ssm(ssm::shape_from_file(keys)?),
        layers: vec![true; config.n_layer],
        beside: true,
    });
    let attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    let feed_forward = FeedForward::dense(keys, config.n_embd)?;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.group_norms.may_lack = true;
    Ok(decoder)
}
