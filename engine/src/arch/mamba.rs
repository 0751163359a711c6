//! The `mamba2` family: layers of Mamba-2 and nothing else.
//!
//! Sources: Dao and Gu, "Transformers are SSMs", 2024; keys from the GGUF specification.

use super::attention::Attention;
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Heads, Hyperparameters, Norming, RecurrentLayers, ssm};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::recurrent::RecurrentShape;

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let norming = Norming::rms_from_file(keys)?;
    let n_layer = keys.n_layer()?;
    let heads = vec![Heads::NONE; n_layer];
    let mut config = Config::with_heads(keys, tensors, norming, heads)?;
    config.recurrent = Some(RecurrentLayers {
        shape: RecurrentShape::Ssm(ssm::shape_from_file(keys)?),
        layers: vec![true; n_layer],
        beside: false,
    });
    let feed_forward = FeedForward::of_widths(config.n_embd, vec![0; n_layer]);
    let mut decoder = Decoder::new(config, Attention::none(), feed_forward);
    decoder.single = true;
    Ok(decoder)
}
