//! The `exaone4` family: what attention and the feed-forward network add is normed, and
//! not what they see; norms of every head of q and k. In the larger sizes three layers of
//! four attend to a window; the others leave heads unturned there.
//!
//! Sources: "EXAONE 4.0: Unified Large Language Models Integrating Non-reasoning and
//! Reasoning Modes" (2025); "Rope to Nope and Back Again" (2025); tensor names and keys
//! from the GGUF specification and from files that exist.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, Windows, rope};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Layers of the size whose first files did not say that it has windows, and how many
/// positions these see.
const LAYERS_WITH_WINDOWS: usize = 64;
const POSITIONS: usize = 4096;

/// Reads and checks the hyperparameters of the fourth generation.
pub fn fourth(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    config.leave_out_further_layers(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.norms = Normed::Heads;
    let unsaid = (config.n_layer == LAYERS_WITH_WINDOWS).then_some(POSITIONS);
    let positions = keys.optional("attention.sliding_window", 1..=1 << 30)?;
    if let Some(positions) = positions.or(unsaid) {
        config.windows = Some(Windows::from_file(keys, config.n_layer, positions, 4)?);
        // Each that sees all.
        attention.unturned = Some(1);
        rope::refuse_another_base(keys)?;
    }
    let feed_forward = FeedForward::dense(keys, config.n_embd)?;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.pre_norms = false;
    decoder.post_norms = true;
    Ok(decoder)
}
