//! The `minimax-m2` family: norms of all heads of q and of k together, a rope over part of
//! each head, and experts in all layers, chosen by sigmoids and a bias and weighted by
//! shares of their sum.
//!
//! Sources: the published configuration and implementation of MiniMax M2 (2025); tensor
//! names and keys from the GGUF specification.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters};
use crate::backend::Gating;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::from_file(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::Whole;
    keys.require("expert_gating_func", 1..=2)?;
    let mut feed_forward = FeedForward::with_experts_after(keys, config.n_embd, Gating::Sigmoid)?;
    feed_forward.routing.normalized = true;
    feed_forward.selection_bias = true;
    Ok(Decoder::new(config, attention, feed_forward))
}
