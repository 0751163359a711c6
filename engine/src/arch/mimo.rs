//! The `mimo2` family, MiMo V2 Flash and later: most layers attend to a short window, with
//! sinks, more heads of keys, and a rope base of their own; keys are wider than values,
//! and what is made of these has a factor. Behind the first layers there are experts,
//! chosen by sigmoids and a bias and weighted by shares of their sum.
//!
//! Source: "MiMo-V2-Flash Technical Report" (2026); tensor names and keys from the GGUF
//! specification and from files that exist.

use super::attention::{Attention, Sinks};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Heads, Hyperparameters, MAX_WIDTH, Norming, Windows, check_kv_heads, rope};
use crate::backend::Gating;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let norming = Norming::rms_from_file(keys)?;
    let mut config = Config::with_heads(keys, tensors, norming, heads(keys)?)?;
    config.leave_out_further_layers(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.window_rope = Some(rope::of_windows(keys, attention.rope(), 10000.0)?);
    attention.stacked = tensors.any(|name| name.ends_with(".attn_qkv.weight"));
    attention.sinks = Sinks::IfAny;
    attention.value_scale = keys.positive_unless_0("attention.value_scale")?;
    let positions = keys.require("attention.sliding_window", 1..=1 << 30)?;
    let mut layers = keys.require_flags("attention.sliding_window_pattern")?;
    layers.truncate(config.n_layer);
    config.windows = Some(Windows { positions, layers });
    // All have experts from the first on for which the file has a router.
    let has_experts = |layer: &usize| {
        let name = format!("blk.{layer}.ffn_gate_inp.weight");
        tensors.get(&name).is_some()
    };
    let leading = (0..config.n_layer).find(has_experts).unwrap_or(0);
    keys.optional("expert_gating_func", 2..=2)?;
    let (n_embd, gating) = (config.n_embd, Gating::Sigmoid);
    let mut feed_forward = FeedForward::with_experts_behind(keys, n_embd, gating, leading)?;
    feed_forward.routing.normalized = true;
    feed_forward.selection_bias = tensors.any(|name| name.ends_with(".exp_probs_b.bias"));
    Ok(Decoder::new(config, attention, feed_forward))
}

/// The heads of each layer, which differ in how many there are of keys.
fn heads(keys: &Hyperparameters<'_, '_>) -> Result<Vec<Heads>, ModelError> {
    let n_head = keys.require("attention.head_count", 1..=MAX_WIDTH)?;
    let widest = MAX_WIDTH / n_head;
    let head_dim_k = keys.require("attention.key_length", 1..=widest)?;
    let head_dim_v = keys.require("attention.value_length", 1..=widest)?;
    let each = keys.require_each("attention.head_count_kv", 0..=usize::MAX)?;
    let heads = |n_head_kv| {
        check_kv_heads(keys, n_head, n_head_kv)?;
        Ok(Heads {
            n_head,
            n_head_kv,
            head_dim_k,
            head_dim_v,
        })
    };
    each.into_iter().map(heads).collect()
}
