//! The `deepseek` and `deepseek2` families. The first is `llama` with experts after the
//! first layers, weighted by the softmax of all scores, beside one that all tokens use:
//! DeepSeekMoE, and, as `bailingmoe`, the first Ling. The second is DeepSeek V2, V3 and
//! R1, and others that are built like them, such as GLM 4.7 Flash. There keys and values come from a latent vector; layers after the
//! first few have experts, chosen by the softmax of all scores or by sigmoids, a bias and
//! groups, beside one that all tokens use.
//!
//! Groups are taken by their two highest values, as V3 does; V2, where it has groups,
//! was trained with the highest alone, which its files do not tell.
//!
//! Sources: Dai et al., "DeepSeekMoE: Towards Ultimate Expert Specialization in
//! Mixture-of-Experts Language Models" (2024); DeepSeek-AI, "DeepSeek-V2: A Strong, Economical, and Efficient
//! Mixture-of-Experts Language Model" (2024) and "DeepSeek-V3 Technical Report" (2024);
//! tensor names and keys from the GGUF specification and from files that exist.

use super::attention::{Attention, Temperature};
use super::decoder::Decoder;
use super::dense::SharedShape;
use super::feed_forward::FeedForward;
use super::latent::Latents;
use super::{Config, Hyperparameters, Norming, rope};
use crate::backend::Gating;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the first generation.
pub fn first(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let config = Config::from_file(keys, tensors)?;
    let attention = Attention::new(keys, tensors, &config, Pairing::Adjacent)?;
    let mut feed_forward = FeedForward::with_experts_after(keys, config.n_embd, Gating::Softmax)?;
    feed_forward.shared = Some(SharedShape::counted(keys)?);
    Ok(Decoder::new(config, attention, feed_forward))
}

/// Reads and checks the hyperparameters of the second generation and later.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let latents = Latents::from_file(keys, tensors)?;
    let heads = latents.heads();
    let (norming, heads_each) = (Norming::rms_from_file(keys)?, vec![heads; keys.n_layer()?]);
    let mut config = Config::with_heads(keys, tensors, norming, heads_each)?;
    config.leave_out_further_layers(keys, tensors)?;
    let (rope, growth) = rope::of_latents(keys, tensors, &config, heads.head_dim_k)?;
    let scale = growth / (latents.key_length() as f64).sqrt();
    let mut attention = Attention::with_rope(rope, scale as f32);
    if let Some(scale) = keys.positive_unless_0("attention.temperature_scale")? {
        let length = keys.require("attention.temperature_length", 1..=1 << 30)?;
        attention.temperature = Some(Temperature { scale, length });
    }
    let feed_forward = match keys.optional("expert_count", 0..=4096)? {
        None | Some(0) => FeedForward::dense(keys, config.n_embd)?,
        Some(_) => experts(keys, tensors, &config)?,
    };
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.latents = Some(latents);
    Ok(decoder)
}

fn experts(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    config: &Config,
) -> Result<FeedForward, ModelError> {
    // Files of GLM 4.7 Flash do not say what its scores go through.
    let is_glm = config.n_vocab == 154_880 && matches!(config.n_layer, 47 | 48);
    let gating = match is_glm {
        true => Gating::Sigmoid,
        false => Gating::Softmax,
    };
    let mut feed_forward = FeedForward::with_experts_after(keys, config.n_embd, gating)?;
    let mut names = tensors.iter().map(|(name, _)| name);
    feed_forward.selection_bias = names.any(|name| name.ends_with(".exp_probs_b.bias"));
    let name = "expert_gating_func";
    let says = keys.optional(name, 0..=2)?.is_some_and(|gating| gating > 0);
    if feed_forward.selection_bias && !says && !is_glm {
        // Models with such a bias use sigmoids, but readers of such files would not.
        let expected = "1 or 2 where a bias chooses experts";
        return Err(ModelError::value(&keys.key(name), expected, "missing"));
    }
    feed_forward.shared = Some(SharedShape::counted(keys)?);
    Ok(feed_forward)
}
