//! The `phi3` family, to which Phi 4 belongs: `llama` with a rope of halves, and
//! with q, k and v, and gate and up, in one tensor each.
//!
//! Where a file has a window of attention that is shorter than the context, all
//! layers have it.
//!
//! Source: "Phi-3 Technical Report" (2024); tensor names and keys from the GGUF
//! specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, Windows};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

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
