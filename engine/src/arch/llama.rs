//! The `llama` family: Llama 1 to 3.x, Mistral, TinyLlama, SmolLM, and
//! mixtures of experts of the Mixtral kind; `mistral3`, whose queries grow with
//! their position; and `smollm3`, which leaves the heads of every fourth layer
//! unturned.
//!
//! Sources: Touvron et al., "LLaMA: Open and Efficient Foundation Language
//! Models" (2023); Jiang et al., "Mixtral of Experts" (2024); Yang et al., "Rope to
//! Nope and Back Again" (2025); tensor names and keys from the GGUF specification.

use super::attention::{Attention, Temperature};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::from_file(keys, tensors)?;
    let attention = Attention::new(keys, tensors, &config, Pairing::Adjacent)?;
    let feed_forward = FeedForward::with_experts(keys, config.n_embd, "feed_forward_length")?;
    Ok(Decoder::new(config, attention, feed_forward))
}

/// Reads and checks the hyperparameters of Mistral's third generation.
pub fn mistral_third(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    let mut decoder = from_file(keys, tensors)?;
    if let Some(scale) = keys.positive_unless_0("attention.temperature_scale")? {
        let length = super::rope::original_context(keys, &decoder.config)?;
        decoder.attention.temperature = Some(Temperature { scale, length });
    }
    Ok(decoder)
}

/// Reads and checks the hyperparameters of SmolLM's third generation.
pub fn smol_third(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    let mut decoder = from_file(keys, tensors)?;
    decoder.attention.unturned = Some(4);
    Ok(decoder)
}
