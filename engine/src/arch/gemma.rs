//! The `gemma`, `gemma2` and `gemma3` families: gates through GELU and embeddings
//! scaled by the root of their width. From the second generation on there are norms
//! also after attention and the feed-forward network, and layers that attend to a
//! window. The second caps scores and logits, and every other layer has a window; the
//! third norms the heads of q and k, and, unless the file says otherwise, five layers
//! of six have one, with a rope base of their own.
//!
//! Sources: "Gemma: Open Models Based on Gemini Research and Technology" (2024);
//! "Gemma 2: Improving Open Language Models at a Practical Size" (2024); "Gemma 3
//! Technical Report" (2025); tensor names and keys from the GGUF specification.

use super::attention::{Attention, Normed};
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, LogitScale, Windows};
use crate::backend::Activation;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Layers of the sizes whose queries are scaled by the width of the residual stream
/// per head, not by that of a head. No key of a file tells them apart.
const LAYERS_OF_27B: [usize; 2] = [46, 62];

/// Reads and checks the hyperparameters of the first generation.
pub fn first(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = decoder(keys, tensors)?;
    decoder.post_norms = false;
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the second generation.
pub fn second(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = decoder(keys, tensors)?;
    let attention = &mut decoder.attention;
    attention.cap = keys.positive_unless_0("attn_logit_softcapping")?;
    let positions = keys.optional("attention.sliding_window", 1..=1 << 30)?;
    let positions = positions.unwrap_or(4096);
    let config = &mut decoder.config;
    config.windows = Some(Windows::from_file(keys, config.n_layer, positions, 2)?);
    Ok(decoder)
}

/// Reads and checks the hyperparameters of the third generation.
pub fn third(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut decoder = decoder(keys, tensors)?;
    let attention = &mut decoder.attention;
    attention.norms = Normed::Heads;
    if let Some(positions) = keys.optional("attention.sliding_window", 1..=1 << 30)? {
        let config = &mut decoder.config;
        config.windows = Some(Windows::from_file(keys, config.n_layer, positions, 6)?);
        attention.window_rope = Some(super::rope::of_windows(keys, attention.rope(), 10000.0)?);
    }
    Ok(decoder)
}

/// What all have, or all but the first.
fn decoder(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    config.embedding_scale = (config.n_embd as f32).sqrt();
    config.logits = LogitScale {
        factor: 1.0,
        cap: keys.positive_unless_0("final_logit_softcapping")?,
    };
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    if LAYERS_OF_27B.contains(&config.n_layer) {
        attention.scale = 1.0 / ((config.n_embd / config.heads[0].n_head) as f32).sqrt();
    }
    let mut feed_forward = FeedForward::dense(keys, config.n_embd)?;
    feed_forward.activation = Activation::Gelu;
    let mut decoder = Decoder::new(config, attention, feed_forward);
    decoder.post_norms = true;
    Ok(decoder)
}
