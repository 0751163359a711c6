//! The `ernie4_5` and `ernie4_5-moe` families: the first is `llama`; in the second, all
//! layers but the first have experts, chosen by the softmax of all scores and a bias and
//! weighted by shares of their sum, beside one that all tokens use.
//!
//! Source: "ERNIE 4.5 Technical Report" (2025); tensor names and keys from the GGUF
//! specification.

use super::decoder::Decoder;
use super::dense::SharedShape;
use super::feed_forward::FeedForward;
use super::{Hyperparameters, llama};
use crate::backend::Gating;
use crate::error::ModelError;
use crate::tensors::Tensors;

/// Reads and checks the hyperparameters of the mixtures of experts.
pub fn experts(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let name = "interleave_moe_layer_step";
    let step = keys.require(name, 1..=1024)?;
    if step != 1 {
        let expected = "1: all layers after the dense ones have experts";
        return Err(ModelError::value(&keys.key(name), expected, step));
    }
    let mut decoder = llama::from_file(keys, tensors)?;
    let n_embd = decoder.config.n_embd;
    let mut feed_forward = FeedForward::with_experts_after(keys, n_embd, Gating::Softmax)?;
    feed_forward.routing.normalized = true;
    feed_forward.selection_bias = true;
    feed_forward.shared = SharedShape::without_switch(keys)?;
    decoder.feed_forward = feed_forward;
    Ok(decoder)
}
