//! The `starcoder2` family: layer norms, biases everywhere, and feed-forward networks
//! without gates. All layers attend to a window if the file has one.
//!
//! Source: "StarCoder 2 and The Stack v2: The Next Generation" (2024); tensor names and
//! keys from the GGUF specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, Windows};
use crate::backend::Activation;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::with_layer_norms(keys, tensors)?;
    let attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    if let Some(positions) = keys.optional("attention.sliding_window", 1..=1 << 30)? {
        config.windows = Some(Windows::everywhere(config.n_layer, positions));
    }
    let mut feed_forward = FeedForward::dense(keys, config.n_embd)?;
    feed_forward.gated = false;
    feed_forward.activation = Activation::Gelu;
    Ok(Decoder::new(config, attention, feed_forward))
}
