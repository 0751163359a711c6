//! The `gemma4` family: as `gemma3`, but that layers which see all and those that
//! attend to a window differ in the width of their heads and in how many have keys;
//! scores are not scaled, values are normed, and what a layer makes of the residual
//! stream may be multiplied with a number. In small sizes the last layers attend to
//! what earlier ones of their kind keep, and layers have embeddings of their own
//! ([`super::layer_input`]); in one size they have experts beside the feed-forward
//! network ([`super::beside`]).
//!
//! Sources: the published configurations and implementation of Gemma 4 (2026); tensor
//! names and keys from the GGUF specification and from files that exist.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{
    Config, Heads, Hyperparameters, LogitScale, MAX_WIDTH, Norming, Windows, check_kv_heads,
};
use crate::backend::Activation;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let in_window = keys.require_flags("attention.sliding_window_pattern")?;
    let heads = heads(keys, &in_window)?;
    let sources = sources(keys, &in_window, &heads)?;
    let mut config = Config::with_heads(keys, tensors, Norming::rms_from_file(keys)?, heads)?;
    config.sources = sources;
    config.embedding_scale = (config.n_embd as f32).sqrt();
    config.logits = LogitScale {
        factor: 1.0,
        cap: keys.positive_unless_0("final_logit_softcapping")?,
    };
    config.layer_inputs = match keys.require("embedding_length_per_layer_input", 0..=MAX_WIDTH)? {
        0 => None,
        width if width * config.n_layer <= MAX_WIDTH => Some(width),
        width => {
            let key = keys.key("embedding_length_per_layer_input");
            let expected = format!("at most {} in each layer", MAX_WIDTH / config.n_layer);
            return Err(ModelError::value(&key, expected, width));
        }
    };

    let width_of = |windowed: bool| {
        let layer = in_window.iter().position(|&each| each == windowed);
        layer.map(|layer| config.heads[layer].head_dim_k)
    };
    let all_width = width_of(false).or(width_of(true)).unwrap_or(1);
    let rope = super::rope::from_file(keys, tensors, &config, all_width, Pairing::Halves)?;
    // Most dimensions of the layers that see all hardly turn; these factors say which.
    if width_of(false).is_some() {
        tensors.vector("rope_freqs.weight", rope.n_rot() / 2)?;
    }
    let of_windows = |width| super::rope::of_narrow_windows(keys, &rope, width, 10000.0);
    let window_rope = width_of(true).map(of_windows).transpose()?;
    let mut attention = Attention::with_rope(rope, 1.0);
    attention.window_rope = window_rope;
    attention.norms = Normed::Heads;
    attention.normed_values = true;
    config.windows = Some(Windows {
        positions: keys.require("attention.sliding_window", 1..=1 << 30)?,
        layers: in_window,
    });
    let widths = keys.require_each("feed_forward_length", 1..=MAX_WIDTH)?;
    let mut feed_forward = FeedForward::beside_experts(keys, &config, widths)?;
    feed_forward.activation = Activation::Gelu;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.post_norms = true;
    decoder.scaled = true;
    Ok(decoder)
}

/// The heads of each layer.
fn heads(keys: &Hyperparameters<'_, '_>, in_window: &[bool]) -> Result<Vec<Heads>, ModelError> {
    let n_head = keys.require_each("attention.head_count", 1..=MAX_WIDTH)?;
    let n_head_kv = match keys.each("attention.head_count_kv", 0..=MAX_WIDTH)? {
        Some(found) => found,
        None => n_head.clone(),
    };
    let widest = n_head.iter().copied().max().unwrap_or(1);
    let width = |suffix: &str| {
        let width = keys.require(
            &format!("attention.key_length{suffix}"),
            1..=MAX_WIDTH / widest,
        )?;
        let of_values = format!("attention.value_length{suffix}");
        match keys.require(&of_values, 1..=MAX_WIDTH)? {
            same if same == width => Ok(width),
            other => {
                let expected = format!("{width}, as that of keys");
                Err(ModelError::value(&keys.key(&of_values), expected, other))
            }
        }
    };
    let (of_all, of_windows) = (width("")?, width("_swa")?);
    let counts = n_head.into_iter().zip(n_head_kv).zip(in_window);
    let heads = counts.map(|((n_head, n_head_kv), &in_window)| {
        check_kv_heads(keys, n_head, n_head_kv)?;
        let width = if in_window { of_windows } else { of_all };
        Ok(Heads {
            n_head,
            n_head_kv,
            head_dim_k: width,
            head_dim_v: width,
        })
    });
    heads.collect()
}

/// The layer whose keys and values each layer attends to: of the last layers, as many
/// as the file says, the last one of the same kind before them.
fn sources(
    keys: &Hyperparameters<'_, '_>,
    in_window: &[bool],
    heads: &[Heads],
) -> Result<Vec<usize>, ModelError> {
    let n_layer = heads.len();
    let name = "attention.shared_kv_layers";
    let shared = keys.optional(name, 0..=n_layer - 1)?.unwrap_or(0);
    let own = n_layer - shared;
    let source = |layer: usize| {
        if layer < own {
            return Ok(layer);
        }
        let kind = |layer: usize| {
            let Heads { n_head_kv, .. } = heads[layer];
            (in_window[layer], n_head_kv)
        };
        let before = (0..own).rfind(|&before| in_window[before] == in_window[layer]);
        before
            .filter(|&before| kind(before) == kind(layer))
            .ok_or_else(|| {
                let expected = format!("layers before of the kind of layer {layer}");
                ModelError::value(&keys.key(name), expected, shared)
            })
    };
    (0..n_layer).map(source).collect()
}
