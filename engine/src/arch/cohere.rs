//! The `command-r` and `cohere2` families: parallel layers with layer norms without
//! biases, and logits times a factor. Of the first, Command R, the largest size norms
//! every head of q and k with weights of its own. In the second, Command R7B and
//! Command A, three layers of four attend to a window; the others leave heads unturned.
//!
//! Sources: the published configurations and implementations of Command R and Command R7B
//! (2024); "Rope to Nope and Back Again" (2025); tensor names and keys from the GGUF
//! specification.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, LogitScale, Windows, rope};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the first generation.
pub fn first(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = decoder(keys, tensors, Some(1.0))?;
    decoder.attention.norms = Normed::each_head_if_any(tensors);
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = decoder(keys, tensors, None)?;
    let positions = keys.require("attention.sliding_window", 1..=1 << 30)?;
    let config = &mut decoder.config;
    config.windows = Some(Windows::from_file(keys, config.n_layer, positions, 4)?);
    // Each that sees all.
    decoder.attention.unturned = Some(1);
    rope::refuse_another_base(keys)?;
    Ok(decoder)
}

/// What both have; logits are multiplied with `default` where the file does not say.
fn decoder(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    default: Option<f32>,
) -> Result<Decoder, ModelError> {
    let mut config = Config::with_layer_norms(keys, tensors)?;
    config.logits = LogitScale {
        factor: keys.positive("logit_scale", default)?,
        cap: None,
    };
    let attention = Attention::new(keys, tensors, &config, Pairing::Adjacent)?;
    let feed_forward = FeedForward::dense(keys, config.n_embd)?;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.parallel = true;
    Ok(decoder)
}
