//! The `glm4` and `glm4moe` families. `glm4` has norms also after attention and the
//! feed-forward network, and gate and up in one tensor. `glm4moe`, which is GLM 4.5 and
//! later, has neither, but experts in all layers after the first: chosen by sigmoids
//! and a bias, beside one that all tokens use; some sizes norm the heads of q and k.
//! Both have a rope over part of each head and biases of q, k and v.
//!
//! Sources: "ChatGLM: A Family of Large Language Models from GLM-130B to GLM-4 All
//! Tools" (2024) and the configuration of GLM-4-0414; "GLM-4.5: Agentic, Reasoning, and
//! Coding (ARC) Foundation Models" (2025); tensor names and keys from the GGUF
//! specification.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::dense::SharedShape;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, rope};
use crate::backend::Gating;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the fourth generation.
pub fn fourth(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = config(keys, tensors)?;
    let attention = Attention::new(keys, tensors, &config, Pairing::Adjacent)?;
    let mut feed_forward = FeedForward::dense(keys, config.n_embd)?;
    feed_forward.stacked = true;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.post_norms = true;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of its mixtures of experts.
pub fn fourth_experts(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    let config = config(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::HeadsIfAny;
    let mut feed_forward = FeedForward::with_experts_after(keys, config.n_embd, Gating::Sigmoid)?;
    feed_forward.selection_bias = true;
    feed_forward.shared = Some(SharedShape::counted(keys)?);
    let mut decoder = Decoder::new(config, attention, feed_forward);
    // It stands where others norm what attention adds.
    decoder.ffn_norm = "post_attention_norm";
    Ok(decoder)
}

/// What both have.
fn config(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Config, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    rope::refuse_sections(keys)?;
    config.leave_out_further_layers(keys, tensors)?;
    Ok(config)
}
