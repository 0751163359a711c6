//! The `cohere2` family, Command R7B and Command A: parallel layers with layer norms
//! without biases, and logits times a factor. Three layers of four attend to a window;
//! the others leave heads unturned.
//!
//! Sources: the published configurations and implementation of Command R7B (2024); "Rope
//! to Nope and Back Again" (2025); tensor names and keys from the GGUF specification.

use super::attention::{Attention, Windows};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, LogitScale, rope};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::with_layer_norms(keys, tensors)?;
    config.logits = LogitScale {
        factor: keys.positive("logit_scale", None)?,
        cap: None,
    };
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Adjacent)?;
    let positions = keys.require("attention.sliding_window", 1..=1 << 30)?;
    attention.windows = Some(Windows::from_file(keys, &config, positions, 4)?);
    // Each that sees all.
    attention.unturned = Some(1);
    refuse_another_base(keys)?;
    let feed_forward = FeedForward::dense(keys, config.n_embd)?;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.parallel = true;
    Ok(decoder)
}

/// Only heads of layers with windows turn: a base for these alone means nothing.
fn refuse_another_base(keys: &Hyperparameters<'_, '_>) -> Result<(), ModelError> {
    let (name, base) = ("rope.freq_base_swa", rope::base(keys)?);
    match keys.optional_positive(name)? {
        Some(found) if found != base => {
            let expected = format!("{base}, that of all layers");
            Err(ModelError::value(&keys.key(name), expected, found))
        }
        _ => Ok(()),
    }
}
