//! The `glm4` family: norms also after attention and the feed-forward network, a
//! rope over part of each head, biases of q, k and v, and gate and up in one tensor.
//!
//! Source: "ChatGLM: A Family of Large Language Models from GLM-130B to GLM-4 All
//! Tools" (2024) and the configuration of GLM-4-0414; tensor names and keys from
//! the GGUF specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the fourth generation.
pub fn fourth(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    let sections = keys.integers("rope.dimension_sections")?;
    if !sections.is_empty() {
        let key = keys.key("rope.dimension_sections");
        let expected = "none: models that see are not supported";
        return Err(ModelError::value(&key, expected, format!("{sections:?}")));
    }
    config.leave_out_further_layers(keys)?;
    let attention = Attention::new(keys, tensors, &config, Pairing::Adjacent)?;
    let mut feed_forward = FeedForward::dense(keys, config.n_embd)?;
    feed_forward.stacked = true;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.post_norms = true;
    Ok(decoder)
}
