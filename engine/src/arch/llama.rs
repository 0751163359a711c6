//! The `llama` family: Llama 1 to 3.x, Mistral, TinyLlama, SmolLM, and
//! mixtures of experts of the Mixtral kind.
//!
//! Sources: Touvron et al., "LLaMA: Open and Efficient Foundation Language
//! Models" (2023); Jiang et al., "Mixtral of Experts" (2024); tensor names and
//! keys from the GGUF specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::from_file(keys, tensors)?;
    Ok(Decoder {
        attention: Attention::new(keys, tensors, &config, Pairing::Adjacent)?,
        feed_forward: FeedForward::with_experts(keys, config.n_embd, "feed_forward_length")?,
        config,
    })
}
