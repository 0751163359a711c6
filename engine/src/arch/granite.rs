//! The `granite`, `granitemoe` and `minicpm` families: `llama` with factors on embeddings, scores,
//! what is added to the residual stream, and logits; the second with experts, beside
//! which some have one that all tokens use. And `granitehybrid`: the same, dense or with
//! experts, but that most layers have Mamba-2 instead of attention, which are those
//! without key and value heads. All leave heads unturned if the file says so.
//!
//! The factor `r` of what is added needs no operation: the residual stream is
//! kept divided by `r`, and a norm of `x / r` is that of `x` if its epsilon is
//! divided by `r²`.
//!
//! Sources: "Granite 3.0 Language Models" (2024), the configurations of Granite 4.0;
//! keys from the GGUF specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::dense::SharedShape;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, LogitScale, Norming, RecurrentLayers, ssm};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;
use kernels::recurrent::RecurrentShape;

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = scaled(keys, Config::from_file(keys, tensors)?, None)?;
    let attention = attention(keys, tensors, &config)?;
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
    decoder.feed_forward = with_experts(keys, decoder.config.n_embd)?;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of those with Mamba-2.
pub fn hybrid(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let norming = Norming::rms_from_file(keys)?;
    let config = Config::where_some_attend(keys, tensors, norming)?;
    let mut config = scaled(keys, config, Some(1.0))?;
    config.recurrent = Some(RecurrentLayers {
        shape: RecurrentShape::Ssm(ssm::shape_from_file(keys)?),
        layers: (config.heads.iter().map(|heads| heads.n_head_kv == 0)).collect(),
        beside: false,
    });
    let attention = attention(keys, tensors, &config)?;
    let feed_forward = with_experts(keys, config.n_embd)?;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    // What stays within a layer is not divided.
    decoder.group_norms.norming = norming;
    Ok(decoder)
}

/// Attention, which leaves heads unturned if the file says so: with a key that elsewhere says
/// whether a model has learned with its rope's scaling.
fn attention(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    config: &Config,
) -> Result<Attention, ModelError> {
    match keys.flag("rope.scaling.finetuned")? {
        Some(false) => Attention::without_rope(keys, config),
        _ => Attention::new(keys, tensors, config, Pairing::Adjacent),
    }
}

/// Experts, as far as there are any.
fn with_experts(keys: &Hyperparameters<'_, '_>, n_embd: usize) -> Result<FeedForward, ModelError> {
    let mut feed_forward = FeedForward::with_experts(keys, n_embd, "feed_forward_length")?;
    feed_forward.shared = SharedShape::without_switch(keys)?;
    Ok(feed_forward)
}

/// The same with factors, of which files that lack one of the logits may have a default.
fn scaled(
    keys: &Hyperparameters<'_, '_>,
    mut config: Config,
    default: Option<f32>,
) -> Result<Config, ModelError> {
    let residual_scale = keys.positive("residual_scale", Some(1.0))?;
    config.embedding_scale = keys.positive("embedding_scale", Some(1.0))? / residual_scale;
    config.norming.eps /= residual_scale * residual_scale;
    config.logits = LogitScale {
        factor: 1.0 / keys.positive("logit_scale", default)?,
        cap: None,
    };
    Ok(config)
}
