//! The `hunyuan-dense` and `hunyuan-moe` families: norms of every head of q and k after
//! these have turned; the second with experts, beside which there is one that all tokens
//! use.
//!
//! Sources: "Hunyuan-A13B Technical Report" (2025) and the published configurations and
//! implementations; tensor names and keys from the GGUF specification.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::dense::SharedShape;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, MAX_WIDTH, rope};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of models without experts.
pub fn dense(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    rope::refuse_sections(keys)?;
    let name = "rope.scaling.alpha";
    if let Some(alpha) = keys.positive_unless_0(name)? {
        // Other readers stretch the base by it, files of this family have done so.
        let expected = "none: the base says how far contexts stretch";
        return Err(ModelError::value(&keys.key(name), expected, alpha));
    }
    let config = Config::from_file(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::TurnedHeads;
    let feed_forward = FeedForward::dense(keys, config.n_embd)?;
    Ok(Decoder::new(config, attention, feed_forward))
}

/// Reads and checks the hyperparameters of mixtures of experts. All have the width of
/// the feed-forward network, and so has the one that all tokens use, if the file does not
/// say otherwise.
pub fn experts(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    keys.require("expert_count", 1..=4096)?;
    let mut decoder = dense(keys, tensors)?;
    let length = "feed_forward_length";
    let mut feed_forward = FeedForward::with_experts(keys, decoder.config.n_embd, length)?;
    let as_others = SharedShape {
        width: keys.require(length, 1..=MAX_WIDTH)?,
        switched: false,
    };
    feed_forward.shared = SharedShape::without_switch(keys)?.or(Some(as_others));
    decoder.feed_forward = feed_forward;
    Ok(decoder)
}
