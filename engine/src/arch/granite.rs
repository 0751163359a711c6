//! The `granite`, `granitemoe` and `minicpm` families: `llama` with factors on embeddings, scores,
//! what is added to the residual stream, and logits; the second with experts, beside
//! which some have one that all tokens use.
//!
//! The factor `r` of what is added needs no operation: the residual stream is
//! kept divided by `r`, and a norm of `x / r` is that of `x` if its epsilon is
//! divided by `r²`.
//!
//! Source: "Granite 3.0 Language Models" (2024); keys from the GGUF
//! specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::dense::SharedShape;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, LogitScale};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    let residual_scale = keys.positive("residual_scale", Some(1.0))?;
    config.embedding_scale = keys.positive("embedding_scale", Some(1.0))? / residual_scale;
    config.norming.eps /= residual_scale * residual_scale;
    config.logits = LogitScale {
        factor: 1.0 / keys.positive("logit_scale", None)?,
        cap: None,
    };
    let attention = Attention::new(keys, tensors, &config, Pairing::Adjacent)?;
    let feed_forward = FeedForward::dense(keys, config.n_embd)?;
    Ok(Decoder::new(config, attention, feed_forward))
}

/// Reads and checks the hyperparameters of MiniCPM, whose files must say all factors:
/// what readers take the others for differs.
pub fn minicpm(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    for name in ["embedding_scale", "residual_scale"] {
        keys.positive(name, None)?;
    }
    from_file(keys, tensors)
}

/// Reads and checks the hyperparameters of the mixtures of experts.
pub fn experts(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = from_file(keys, tensors)?;
    let n_embd = decoder.config.n_embd;
    let mut feed_forward = FeedForward::with_experts(keys, n_embd, "feed_forward_length")?;
    feed_forward.shared = SharedShape::without_switch(keys)?;
    decoder.feed_forward = feed_forward;
    Ok(decoder)
}
