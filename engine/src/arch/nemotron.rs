//! The `nemotron_h` and `nemotron_h_moe` families: every layer is Mamba-2, attention or
//! a feed-forward network, alone. Attention leaves heads unturned; networks are without
//! gates and square what is above 0. In the second they are experts, chosen by sigmoids
//! and a bias, beside one that all tokens use.
//!
//! Sources: "Nemotron-H: A Family of Accurate and Efficient Hybrid Mamba-Transformer
//! Models" (2025), "Nemotron 3 Nano" (2025); keys from the GGUF specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::dense::SharedShape;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, MAX_WIDTH, Norming, RecurrentLayers, ssm};
use crate::backend::{Activation, Gating};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::recurrent::RecurrentShape;

/// Reads and checks the hyperparameters.
pub fn hybrid(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    decoder(keys, tensors, |_, n_embd, widths| {
        Ok(FeedForward::of_widths(n_embd, widths))
    })
}

/// Reads and checks the hyperparameters of the mixtures of experts.
pub fn hybrid_experts(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    decoder(keys, tensors, |keys, n_embd, _| experts(keys, n_embd))
}

fn experts(keys: &Hyperparameters<'_, '_>, n_embd: usize) -> Result<FeedForward, ModelError> {
    let refuse = |name: &str, expected: &str, found: usize| {
        Err(ModelError::value(&keys.key(name), expected, found))
    };
    if let Some(found @ 1..) = keys.optional("moe_latent_size", 0..=MAX_WIDTH)? {
        let expected = "0: experts of latents are not supported";
        return refuse("moe_latent_size", expected, found);
    }
    if let Some(found @ 1) = keys.optional("expert_gating_func", 0..=2)? {
        return refuse("expert_gating_func", "2, sigmoids", found);
    }
    let mut feed_forward = FeedForward::with_experts_after(keys, n_embd, Gating::Sigmoid)?;
    feed_forward.routing.gating = Gating::Sigmoid;
    feed_forward.selection_bias = true;
    feed_forward.shared = Some(SharedShape {
        width: keys.require("expert_shared_feed_forward_length", 1..=MAX_WIDTH)?,
        switched: false,
    });
    Ok(feed_forward)
}

/// What both have, with networks of that kind, which are told the width of each layer's,
/// 0 where there is none.
fn decoder(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    feed_forward: fn(
        &Hyperparameters<'_, '_>,
        usize,
        Vec<usize>,
    ) -> Result<FeedForward, ModelError>,
) -> Result<Decoder, ModelError> {
    let norming = match keys.optional_positive("attention.layer_norm_rms_epsilon")? {
        Some(eps) => Norming::rms(eps),
        None => Norming::rms(keys.positive("attention.layer_norm_epsilon", None)?),
    };
    let mut config = Config::where_some_attend(keys, tensors, norming)?;
    let widths = keys.require_each("feed_forward_length", 0..=MAX_WIDTH)?;
    config.leave_out_further_layers(keys, tensors)?;
    let attends = |layer: usize| config.heads[layer].n_head_kv > 0;
    if let Some(both) = (0..config.n_layer).find(|&layer| attends(layer) && widths[layer] > 0) {
        let key = keys.key("feed_forward_length");
        let expected = format!("0 for layer {both}, which attends");
        return Err(ModelError::value(&key, expected, widths[both]));
    }
    config.recurrent = Some(RecurrentLayers {
        shape: RecurrentShape::Ssm(ssm::shape_from_file(keys)?),
        layers: (0..config.n_layer)
            .map(|layer| !attends(layer) && widths[layer] == 0)
            .collect(),
        beside: false,
    });
    let attention = Attention::without_rope(keys, &config)?;
    let mut feed_forward = feed_forward(keys, config.n_embd, widths)?;
    feed_forward.gated = false;
    feed_forward.activation = Activation::ReluSquared;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.single = true;
    decoder.ffn_norm = "attn_norm";
    Ok(decoder)
}
