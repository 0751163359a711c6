//! The `lfm2` and `lfm2moe` families: most layers have a short gated convolution
//! instead of attention, which are those without key and value heads; the others norm
//! the heads of q and k. In the second, all layers but the first few have experts,
//! chosen by sigmoids and a bias and weighted by shares of their sum.
//!
//! Source: "LFM2 Technical Report" (2025); tensor names and keys from the GGUF
//! specification, and what files call the last norm from those that exist.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, Norming, RecurrentLayers, Windows};
use crate::backend::Gating;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;
use kernels::recurrent::{ConvShape, RecurrentShape};

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = decoder(keys, tensors, FeedForward::dense)?;
    if let Some(positions) = keys.optional("attention.sliding_window", 1..=1 << 30)? {
        let n_layer = decoder.config.n_layer;
        decoder.config.windows = Some(Windows::everywhere(n_layer, positions));
    }
    Ok(decoder)
}

/// Reads and checks the hyperparameters of its mixtures of experts.
pub fn second_experts(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
) -> Result<Decoder, ModelError> {
    decoder(keys, tensors, experts)
}

fn experts(keys: &Hyperparameters<'_, '_>, n_embd: usize) -> Result<FeedForward, ModelError> {
    keys.require("expert_gating_func", 1..=2)?;
    let mut feed_forward = FeedForward::with_experts_after(keys, n_embd, Gating::Sigmoid)?;
    feed_forward.routing.normalized = true;
    feed_forward.selection_bias = true;
    Ok(feed_forward)
}

/// What both have, with a feed-forward network of that kind.
fn decoder(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    feed_forward: fn(&Hyperparameters<'_, '_>, usize) -> Result<FeedForward, ModelError>,
) -> Result<Decoder, ModelError> {
    let norming = Norming::rms_from_file(keys)?;
    let mut config = Config::where_some_attend(keys, tensors, norming)?;
    let channels = config.n_embd;
    if !channels.is_multiple_of(16) {
        let key = keys.key("embedding_length");
        return Err(ModelError::value(&key, "a multiple of 16", channels));
    }
    let width = keys.require("shortconv.l_cache", 2..=16)?;
    config.recurrent = Some(RecurrentLayers {
        shape: RecurrentShape::Conv(ConvShape { channels, width }),
        layers: (config.heads.iter().map(|heads| heads.n_head_kv == 0)).collect(),
        beside: false,
    });
    config.output_norm = "token_embd_norm";
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::Heads;
    let feed_forward = feed_forward(keys, config.n_embd)?;
    Ok(Decoder::new(config, attention, feed_forward))
}
