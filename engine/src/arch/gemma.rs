//! The `gemma3` family: norms also after attention and the feed-forward network,
//! norms of the heads of q and k, gates through GELU, embeddings scaled by the
//! root of their width, and, unless the file says otherwise, five layers of six
//! that attend to a window, with a rope base of their own.
//!
//! Source: "Gemma 3 Technical Report" (2025); tensor names and keys from the GGUF
//! specification.

use super::attention::{Attention, Windows};
use super::decoder::{Decoder, FFN_NORM};
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, LogitScale};
use crate::backend::Activation;
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// Layers of the size whose queries are scaled by the width of the residual
/// stream per head, not by that of a head. No key of a file tells them apart.
const LAYERS_OF_27B: usize = 62;

/// Reads and checks the hyperparameters of the third generation.
pub fn third(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    config.embedding_scale = (config.n_embd as f32).sqrt();
    config.logits = LogitScale {
        factor: 1.0,
        cap: keys.optional_positive("final_logit_softcapping")?,
    };
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    attention.head_norms = true;
    if config.n_layer == LAYERS_OF_27B {
        attention.set_scale(1.0 / ((config.n_embd / config.n_head) as f32).sqrt());
    }
    if let Some(positions) = keys.optional("attention.sliding_window", 1..=1 << 30)? {
        let period = keys.optional(
            "attention.sliding_window_pattern",
            1..=config.n_layer.max(6),
        )?;
        attention.windows = Some(Windows {
            positions,
            period: Some(period.unwrap_or(6)),
            rope: super::rope::of_windows(keys, attention.rope(), 10000.0)?,
        });
    }
    let feed_forward = FeedForward::dense(keys, config.n_embd)?;
    Ok(Decoder {
        attention,
        feed_forward: feed_forward.with_activation(Activation::Gelu),
        post_norms: true,
        ffn_norm: FFN_NORM,
        config,
    })
}
