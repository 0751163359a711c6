//! Embeddings that tokens have for each layer, before the layers.
//!
//! ```text
//! values[t, l] = (norm(projection · x[t] / √n_embd)[l] + √width · table[t, l]) / √2
//!
//! t  token       l  layer       x  its embedding, scaled
//! ```
//!
//! They are computed on the CPU: the table is as large as the rest of the model, of
//! which a step reads as many rows as it has tokens. Layers take their part of them
//! ([`crate::arch`], `layer_input.rs`).
//!
//! Source: the published implementation of Gemma 3n (2025).

use crate::arch::Config;
use crate::backend::cpu::{CpuBackend, CpuDevice, Tensor};
use crate::backend::{Backend, Device, Norm, Product};
use crate::error::ModelError;
use crate::tensors::Loader;

/// The weights.
pub struct LayerEmbedding {
    width: usize,
    table: <CpuDevice as Device>::Matrix,
    projection: <CpuDevice as Device>::Matrix,
    norm: Norm<CpuDevice>,
}

impl LayerEmbedding {
    /// Finds the tensors, if layers have such embeddings.
    pub fn load(
        config: &Config,
        loader: &Loader<'_, CpuDevice>,
    ) -> Result<Option<Self>, ModelError> {
        let Some(width) = config.layer_inputs else {
            return Ok(None);
        };
        let all = width * config.n_layer;
        Ok(Some(LayerEmbedding {
            width,
            table: loader.matrix("per_layer_token_embd.weight", config.n_vocab, all)?,
            projection: loader.matrix("per_layer_model_proj.weight", all, config.n_embd)?,
            norm: config.norming.load(loader, "per_layer_proj_norm", width)?,
        }))
    }

    /// Width of a layer's part.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Asks the system to begin reading what tokens need.
    pub fn read_ahead(&self, tokens: &[u32]) {
        self.table.read_rows_ahead(tokens);
    }

    /// Those of tokens with the embeddings `x`: `[tokens · layers, width]`.
    pub fn of(
        &self,
        cpu: &mut CpuBackend<'_>,
        config: &Config,
        tokens: &[u32],
        x: &Tensor,
    ) -> Tensor {
        let mut values = cpu.embed(&self.table, tokens);
        cpu.scale(&mut values, (self.width as f32).sqrt());
        let mut projected = cpu.tensor(tokens.len(), self.width * config.n_layer);
        cpu.matmul(
            x,
            &mut [Product {
                weight: &self.projection,
                bias: None,
                out: &mut projected,
            }],
        );
        cpu.scale(&mut projected, 1.0 / (config.n_embd as f32).sqrt());
        cpu.norm_add(&projected, &self.norm, &mut values);
        cpu.scale(&mut values, 1.0 / 2f32.sqrt());
        values.in_rows_of(self.width)
    }
}
