//! The `qwen2`, `qwen3` and `qwen3moe` families: what sets them apart from `llama`
//! is how dimensions of a head are paired for the rope, biases of q, k and v in
//! the second generation, and norms of every head of q and k in the third.
//!
//! Sources: "Qwen2 Technical Report" (2024); "Qwen3 Technical Report" (2025);
//! tensor names and keys from the GGUF specification.

use super::attention::Attention;
use super::decoder::{Decoder, FFN_NORM};
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::from_file(keys, tensors)?;
    Ok(Decoder {
        attention: Attention::new(keys, tensors, &config, Pairing::Halves)?,
        feed_forward: FeedForward::dense(keys, config.n_embd)?,
        post_norms: false,
        ffn_norm: FFN_NORM,
        config,
    })
}

/// Reads and checks the hyperparameters of the third generation.
pub fn third(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = second(keys, tensors)?;
    decoder.attention.head_norms = true;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the third generation's mixtures of
/// experts.
pub fn third_experts(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    let mut decoder = third(keys, tensors)?;
    let width = "expert_feed_forward_length";
    decoder.feed_forward = FeedForward::with_experts(keys, decoder.config.n_embd, width)?;
    Ok(decoder)
}
