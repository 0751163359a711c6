//! The `apertus` family: norms of every head of q and k, and feed-forward networks without
//! gates whose activation, xIELU, has learned its shape in each layer.
//!
//! Sources: "Apertus: Democratizing Open and Compliant LLMs for Global Language
//! Environments" (2025); tensor names and keys from the GGUF specification and from files
//! that exist.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::{Pairing, Xielu};

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::from_file(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::Heads;
    let mut feed_forward = FeedForward::dense(keys, config.n_embd)?;
    feed_forward.gated = false;
    feed_forward.xielu = Some(activations(keys)?);
    Ok(Decoder::new(config, attention, feed_forward))
}

/// What each layer has learned.
fn activations(keys: &Hyperparameters<'_, '_>) -> Result<Vec<Xielu>, ModelError> {
    let each = |name: &str| keys.each_number_of(&format!("xielu.{name}"));
    let factors = each("alpha_n")?.into_iter().zip(each("alpha_p")?);
    let others = each("beta")?.into_iter().zip(each("eps")?);
    let learned = |((alpha_n, alpha_p), (beta, eps))| {
        Xielu::of_trained(Xielu {
            alpha_n,
            alpha_p,
            beta,
            eps,
        })
    };
    Ok(factors.zip(others).map(learned).collect())
}
