//! The `qwen2`, `qwen2moe`, `qwen2vl`, `qwen3`, `qwen3moe`, `qwen3next`, `qwen3vl`, `qwen3vlmoe`, `qwen35` and `qwen35moe` families: what sets them apart from
//! `llama` is how dimensions of a head are paired for the rope, biases of q, k and v
//! in the second generation, norms of every head of q and k in the third, and in Next
//! and 3.5 that three layers of four have Gated DeltaNet instead of attention, whose
//! results pass gates in the fourth. Of those that see (`vl`), text alone is computed.
//! `seed_oss` is the second generation with another name for a
//! norm.
//!
//! Sources: "Qwen2 Technical Report" (2024); "Qwen3 Technical Report" (2025);
//! tensor names and keys from the GGUF specification.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::dense::SharedShape;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, MAX_WIDTH, RecurrentLayers, delta};
use crate::backend::Gating;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;
use kernels::recurrent::RecurrentShape;

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    decoder(keys, tensors, FeedForward::dense)
}

/// Reads and checks the hyperparameters of the second generation's mixtures of
/// experts, whose weights are the softmax of all scores as it is.
pub fn second_experts(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    let mut decoder = with_shared_expert(keys, decoder(keys, tensors, experts)?)?;
    decoder.feed_forward.routing.gating = Gating::Softmax;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the second generation's models that see: see
/// [`third_seeing`]. Here sections of pairs follow one another.
pub fn second_seeing(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    let decoder = second(keys, tensors)?;
    let pairs = decoder.attention.rope().n_rot() / 2;
    let name = "rope.dimension_sections";
    let sections = keys.integers(name)?;
    let firsts = sections.iter().take(3);
    let all = firsts.fold(0_u64, |sum, &section| sum.saturating_add(section));
    match sections.is_empty() || all >= pairs as u64 {
        true => Ok(decoder),
        false => {
            let expected = format!("three that have all of {pairs} pairs");
            let found = format!("{sections:?}");
            Err(ModelError::value(&keys.key(name), expected, found))
        }
    }
}

/// Reads and checks the hyperparameters of Seed-OSS.
pub fn seed_oss(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = second(keys, tensors)?;
    decoder.ffn_norm = "post_attention_norm";
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the third generation.
pub fn third(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = second(keys, tensors)?;
    decoder.attention.norms = Normed::Heads;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the third generation's mixtures of
/// experts.
pub fn third_experts(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    let mut decoder = decoder(keys, tensors, experts)?;
    decoder.attention.norms = Normed::Heads;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the third generation's models that see. What
/// sees is in a file of its own, and what it adds to the first layers is nothing where
/// there are no images; text turns all pairs by one position, whichever section they are
/// in.
pub fn third_seeing(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    keys.integers("rope.dimension_sections")?;
    third(keys, tensors)
}

/// The same of the mixtures of experts.
pub fn third_seeing_experts(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    keys.integers("rope.dimension_sections")?;
    third_experts(keys, tensors)
}

/// Reads and checks the hyperparameters of 3.5.
pub fn third_and_a_half(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    with_delta_layers(keys, tensors, third(keys, tensors)?, false)
}

/// Reads and checks the hyperparameters of 3.5's mixtures of experts.
pub fn third_and_a_half_experts(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    let decoder = with_shared_expert(keys, third_experts(keys, tensors)?)?;
    with_delta_layers(keys, tensors, decoder, false)
}

/// Reads and checks the hyperparameters of Next, whose heads lie in its files as they
/// were trained.
pub fn next(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    keys.require("expert_count", 1..=4096)?;
    let decoder = with_shared_expert(keys, third_experts(keys, tensors)?)?;
    with_delta_layers(keys, tensors, decoder, true)
}

/// The same with an expert that all tokens use as far as its switch says.
fn with_shared_expert(
    keys: &Hyperparameters<'_, '_>,
    mut decoder: Decoder,
) -> Result<Decoder, ModelError> {
    let width = keys.require("expert_shared_feed_forward_length", 1..=MAX_WIDTH)?;
    decoder.feed_forward.shared = Some(SharedShape {
        width,
        switched: true,
    });
    Ok(decoder)
}

/// What all generations have, with a feed-forward network of that kind.
fn decoder(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    feed_forward: fn(&Hyperparameters<'_, '_>, usize) -> Result<FeedForward, ModelError>,
) -> Result<Decoder, ModelError> {
    let config = Config::from_file(keys, tensors)?;
    let attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    let feed_forward = feed_forward(keys, config.n_embd)?;
    Ok(Decoder::new(config, attention, feed_forward))
}

fn experts(keys: &Hyperparameters<'_, '_>, n_embd: usize) -> Result<FeedForward, ModelError> {
    FeedForward::with_experts(keys, n_embd, "expert_feed_forward_length")
}

/// The same with Gated DeltaNet in most layers, and gates in the others. Heads of values
/// that share a key head lie together if they are `grouped`.
fn with_delta_layers(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    mut decoder: Decoder,
    grouped: bool,
) -> Result<Decoder, ModelError> {
    check_sections(keys, decoder.attention.rope().n_rot() / 2)?;
    let config = &mut decoder.config;
    config.leave_out_further_layers(keys, tensors)?;
    let period = keys.optional("full_attention_interval", 1..=1024)?;
    let attends = |layer: usize| (layer + 1).is_multiple_of(period.unwrap_or(4));
    let named = keys.each_flag("attention.recurrent_layers")?;
    config.recurrent = Some(RecurrentLayers {
        shape: RecurrentShape::Delta(delta::shape_from_file(keys, grouped)?),
        layers: match named {
            Some(layers) => layers[..config.n_layer].to_vec(),
            None => (0..config.n_layer).map(|layer| !attends(layer)).collect(),
        },
        beside: false,
    });
    decoder.attention.gated = true;
    decoder.ffn_norm = "post_attention_norm";
    Ok(decoder)
}

/// Pairs of dimensions turn, one after the other, by the time, the height and the
/// width of what is seen, each as many as its section says. Text has one position in
/// all three, so its rope is as any other; what no section has would stay unturned.
fn check_sections(keys: &Hyperparameters<'_, '_>, pairs: usize) -> Result<(), ModelError> {
    let name = "rope.dimension_sections";
    let sections = keys.integers(name)?;
    let has = |pair: usize| {
        let section = sections.get(pair % 3);
        section.is_some_and(|&len| ((pair / 3) as u64) < len)
    };
    match sections.is_empty() || (0..pairs).all(has) {
        true => Ok(()),
        false => {
            let expected = format!("three that have all of {pairs} pairs");
            let found = format!("{sections:?}");
            Err(ModelError::value(&keys.key(name), expected, found))
        }
    }
}
