//! The `olmo2` and `olmoe` families. In `olmo2`, OLMo 2 and 3, what attention and the feed-forward network add is
//! normed, and not what they see; queries and keys are normed over all heads of a token
//! together. In OLMo 3 three layers of four attend to a window, with a rope that is not
//! scaled. `olmoe` has the norms of queries and keys, those before and not those after,
//! and experts weighted by the softmax of all scores as it is.
//!
//! Sources: "OLMoE: Open Mixture-of-Experts Language Models" (2024); "2 OLMo 2 Furious"
//! (2024); "Olmo 3" (2025); tensor names and keys from the
//! GGUF specification.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, Windows, rope};
use crate::backend::Gating;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the second generation and the third.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::Whole;
    let positions = keys.optional("attention.sliding_window", 0..=1 << 30)?;
    if let Some(positions @ 1..) = positions {
        config.windows = Some(Windows::from_file(keys, config.n_layer, positions, 4)?);
        let base = rope::base(keys)?;
        attention.window_rope = Some(rope::of_windows(keys, attention.rope(), base)?);
    }
    let feed_forward = FeedForward::dense(keys, config.n_embd)?;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.pre_norms = false;
    decoder.post_norms = true;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the mixtures of experts.
pub fn experts(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::from_file(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::Whole;
    keys.require("expert_count", 1..=4096)?;
    let mut feed_forward = FeedForward::with_experts(keys, config.n_embd, "feed_forward_length")?;
    feed_forward.routing.gating = Gating::Softmax;
    Ok(Decoder::new(config, attention, feed_forward))
}
