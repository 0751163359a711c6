//! The `gpt-oss` family: mixtures of experts with biases and limited gates, a sink
//! for every head, and attention to a window in every other layer.
//!
//! Source: "gpt-oss-120b & gpt-oss-20b Model Card" (2025) and the reference code
//! published with it; tensor names and keys from the GGUF specification.

use super::attention::{Attention, Sinks};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, Windows};
use crate::backend::Activation;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.sinks = Sinks::All;
    let positions = keys.require("attention.sliding_window", 1..=1 << 30)?;
    config.windows = Some(Windows::from_file(keys, config.n_layer, positions, 2)?);
    let width = "expert_feed_forward_length";
    let mut feed_forward = FeedForward::with_experts(keys, config.n_embd, width)?;
    feed_forward.activation = Activation::Limited;
    feed_forward.expert_biases = true;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    // It stands where others norm what attention adds.
    decoder.ffn_norm = "post_attention_norm";
    Ok(decoder)
}
