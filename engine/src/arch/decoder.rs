//! The layer that most families share.
//!
//! ```text
//! x ─┬─ rms_norm ─ q,k,v ─ norm, rope (q,k) ─ attention ─ output ─(+)─┬─ rms_norm ─ ffn ─(+)─ x
//!    └──────────────────────────────────────────────────────────────┘ └────────────────┘
//! ```
//!
//! What a family has of it and what not, and where its hyperparameters are, is in the family's file.

use super::attention::{self, Attention};
use super::feed_forward::{self, FeedForward};
use super::{Config, Family};
use crate::backend::{Backend, Device, Step};
use crate::error::ModelError;
use crate::tensors::Loader;

/// Hyperparameters.
pub struct Decoder {
    pub config: Config,
    pub attention: Attention,
    pub feed_forward: FeedForward,
}

/// A layer's weights.
pub struct Layer<D: Device> {
    attn_norm: D::Vector,
    attention: attention::Weights<D>,
    ffn_norm: D::Vector,
    feed_forward: feed_forward::Weights<D>,
}

impl Family for Decoder {
    type Layer<D: Device> = Layer<D>;

    fn config(&self) -> &Config {
        &self.config
    }

    fn load_layer<D: Device>(
        &self,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Layer<D>, ModelError> {
        let norm = |name| loader.vector(&format!("blk.{index}.{name}"), self.config.n_embd);
        Ok(Layer {
            attn_norm: norm("attn_norm.weight")?,
            attention: self.attention.load(index, loader)?,
            ffn_norm: norm("ffn_norm.weight")?,
            feed_forward: self.feed_forward.load(index, loader)?,
        })
    }

    fn layer<B: Backend>(
        &self,
        b: &mut B,
        index: usize,
        layer: &Layer<B::Device>,
        step: &mut Step<'_>,
        x: &mut B::Tensor,
    ) {
        let Config {
            n_embd, norm_eps, ..
        } = self.config;
        let mut normed = b.tensor(step.rows(), n_embd);
        b.rms_norm(x, &layer.attn_norm, norm_eps, &mut normed);
        self.attention
            .add(b, index, &layer.attention, &normed, step, x);
        // From here on, only the rows that are kept.
        let rows = step.rows_kept();
        if rows == 0 {
            return;
        }
        let mut normed = b.tensor(rows, n_embd);
        b.rms_norm(x, &layer.ffn_norm, norm_eps, &mut normed);
        self.feed_forward
            .add(b, &layer.feed_forward, &normed, rows, x);
    }
}
