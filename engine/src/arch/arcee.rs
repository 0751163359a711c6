//! The `arcee` family: `llama` with feed-forward networks without gates, whose activation
//! is the square of relu.
//!
//! Sources: the published configuration and implementation of AFM 4.5B (2025); So et al.,
//! "Primer: Searching for Efficient Transformers for Language Modeling" (2021); tensor
//! names and keys from the GGUF specification.

use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Hyperparameters, llama};
use crate::backend::Activation;
use crate::error::ModelError;
use crate::tensors::Tensors;

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = llama::from_file(keys, tensors)?;
    let mut feed_forward = FeedForward::dense(keys, decoder.config.n_embd)?;
    feed_forward.gated = false;
    feed_forward.activation = Activation::ReluSquared;
    decoder.feed_forward = feed_forward;
    Ok(decoder)
}
