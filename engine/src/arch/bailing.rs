//! The `bailingmoe2` and `dots1` families, Ling 2.0 and Ring 2.0, and dots.llm1: norms of
//! every head of q and k, and behind the first layers experts beside one that all tokens
//! use, chosen by sigmoids and a bias as in DeepSeek V3. The first has a rope over part of
//! each head, q, k and v in one tensor, and groups of experts.
//!
//! Sources: "Every Activation Boosted: Scaling General Reasoner to 1 Trillion Open
//! Language Foundation" (2025); "dots.llm1 Technical Report" (2025); tensor names and keys
//! from the GGUF specification and from files that exist.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::dense::SharedShape;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, MAX_WIDTH};
use crate::backend::Gating;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of Ling's second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    config.leave_out_further_layers(keys, tensors)?;
    let own = "expert_shared_feed_forward_length";
    let length = match keys.optional(own, 0..=MAX_WIDTH)? {
        Some(1..) => own,
        _ => "expert_feed_forward_length",
    };
    let mut decoder = decoder(keys, tensors, config, length)?;
    decoder.attention.stacked = true;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of dots.llm1.
pub fn dots(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::from_file(keys, tensors)?;
    decoder(keys, tensors, config, "expert_feed_forward_length")
}

/// What both have; the key `length` says how wide experts are that all tokens use.
fn decoder(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    config: Config,
    length: &str,
) -> Result<Decoder, ModelError> {
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::Heads;
    keys.require("expert_gating_func", 1..=2)?;
    let mut feed_forward = FeedForward::with_experts_after(keys, config.n_embd, Gating::Sigmoid)?;
    feed_forward.selection_bias = tensors.any(|name| name.ends_with(".exp_probs_b.bias"));
    feed_forward.shared = Some(SharedShape::counted_of(keys, length)?);
    Ok(Decoder::new(config, attention, feed_forward))
}
