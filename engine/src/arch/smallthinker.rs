//! The `smallthinker` family: experts in all layers whose gates are relu, chosen by the
//! residual stream as it is before attention, so that a device could fetch them
//! meanwhile. In the larger size three layers of four attend to a window; the first of
//! four sees all and leaves heads unturned.
//!
//! Source: "SmallThinker: A Family of Efficient Large Language Models Natively Trained for
//! Local Deployment" (2025); tensor names and keys from the GGUF specification and from
//! files that exist.

use super::attention::Attention;
use super::decoder::Decoder;
use super::feed_forward::FeedForward;
use super::{Config, Hyperparameters, Windows, rope};
use crate::backend::{Activation, Gating};
use crate::error::ModelError;
use crate::tensors::Tensors;
use kernels::ops::Pairing;

/// What windows see, in all models that have some.
const POSITIONS: usize = 4096;

/// Reads and checks the hyperparameters.
pub fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Decoder, ModelError> {
    let mut config = Config::from_file(keys, tensors)?;
    let mut attention = Attention::new(keys, tensors, &config, Pairing::Halves)?;
    let name = "attention.sliding_window";
    match keys.optional(name, 0..=1 << 30)? {
        None | Some(0) => {}
        Some(POSITIONS) => {
            let n_layer = config.n_layer;
            let windows = Windows::after_first_from_file(keys, n_layer, POSITIONS, 4)?;
            config.windows = Some(windows);
            // Each that sees all.
            attention.unturned = Some(1);
            rope::refuse_another_base(keys)?;
        }
        // Other readers take it for that, whatever a file says.
        Some(found) => {
            let expected = format!("0 or {POSITIONS}");
            return Err(ModelError::value(&keys.key(name), expected, found));
        }
    }
    keys.require("expert_gating_func", 1..=2)?;
    let mut feed_forward = FeedForward::with_experts_after(keys, config.n_embd, Gating::Sigmoid)?;
    feed_forward.routing.normalized = true;
    feed_forward.activation = Activation::Relu;
    feed_forward.routed_before = true;
    Ok(Decoder::new(config, attention, feed_forward))
}
