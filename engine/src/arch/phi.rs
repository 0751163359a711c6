//! The `phi2` and `phi3` families. `phi2`, to which Phi 1 belongs: parallel layers with
//! layer norms, biases everywhere, also of the output, a rope over part of each head,
//! and feed-forward networks without gates. `phi3`, to which Phi 4 belongs: `llama` with
//! a rope of halves, and with q, k and v, and gate and up, in one tensor each.
//!
//! Where a file of `phi3` has a window of attention that is shorter than the context,
//! all layers have it.
//!
//! Sources: "Textbooks Are All You Need II: phi-1.5 technical report" (2023) and the
//! published implementation of Phi 2; "Phi-3 Technical Report" (2024); tensor names and
//! keys from the GGUF specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, Windows};
use crate::backend::Activation;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the second generation and the first.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::with_layer_norms(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    // Older files have q, k and v in one tensor.
    attention.stacked = tensors.any(|name| name.ends_with(".attn_qkv.weight"));
    let mut feed_forward = FeedForward::dense(keys, config.n_embd)?;
    feed_forward.gated = false;
    feed_forward.activation = Activation::Gelu;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.parallel = true;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the third generation.
pub fn third(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.stacked = true;
    let window = keys.optional("attention.sliding_window", 0..=1 << 30)?;
    let is_shorter = |window: &usize| (1..config.context_length).contains(window);
    if let Some(positions) = window.filter(is_shorter) {
        config.windows = Some(Windows::everywhere(config.n_layer, positions));
    }
    let mut feed_forward = FeedForward::dense(keys, config.n_embd)?;
    feed_forward.stacked = true;
    Ok(Decoder::new(config, attention, feed_forward))
}
