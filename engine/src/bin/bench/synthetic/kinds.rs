//! Layers of two kinds: those that see all, and those that attend to a window.

use super::shapes::{Role, Shape};
use firstlight::arch::Heads;
use gguf::write::Writer;

/// What Gemma 4 has beside what a shape says of the layers that attend to a window.
#[derive(Debug, PartialEq)]
pub struct Kinds {
    /// Every so manieth layer sees all.
    pub period: u32,
    /// Its heads of keys, and the width of its heads.
    pub n_head_kv: u32,
    pub head_dim: u32,
    /// Whether it has no matrix for values, which that of the keys makes.
    pub keys_are_values: bool,
    /// The last so many layers attend to what others keep, and have feed-forward
    /// networks of their own width.
    pub shared: u32,
    pub shared_ff: u32,
    /// Width of the embeddings for each layer; 0 without.
    pub inputs: u32,
}

impl Kinds {
    pub fn sees_all(&self, layer: u32) -> bool {
        (layer + 1).is_multiple_of(self.period)
    }

    /// The layer whose keys and values a layer attends to.
    pub fn source(&self, shape: &Shape, layer: u32) -> u32 {
        let own = shape.n_layer - self.shared;
        let same = |before: &u32| self.sees_all(*before) == self.sees_all(layer);
        match layer < own {
            true => layer,
            false => (0..own).rfind(same).unwrap_or(layer),
        }
    }

    /// Changes the heads of a layer that attends to a window to what the layer has.
    pub fn heads(&self, layer: u32, mut heads: Heads) -> Heads {
        if self.sees_all(layer) {
            heads.n_head_kv = self.n_head_kv as usize;
            (heads.head_dim_k, heads.head_dim_v) = (self.head_dim as usize, self.head_dim as usize);
        }
        heads
    }

    /// Tensors before the layers: name, role and shape.
    pub fn front(
        &self,
        shape: &Shape,
        [embd, vocab]: [u64; 2],
    ) -> Vec<(&'static str, Role, Vec<u64>)> {
        let all = u64::from(self.inputs * shape.n_layer);
        let factors = (
            "rope_freqs.weight",
            Role::Float,
            vec![u64::from(self.head_dim / 2)],
        );
        if all == 0 {
            return vec![factors];
        }
        let width = vec![u64::from(self.inputs)];
        vec![
            factors,
            (
                "per_layer_token_embd.weight",
                Role::Matrix,
                vec![all, vocab],
            ),
            ("per_layer_model_proj.weight", Role::Matrix, vec![embd, all]),
            ("per_layer_proj_norm.weight", Role::Float, width),
        ]
    }

    /// Further tensors of a layer.
    pub fn of_layer(&self, embd: u64) -> Vec<(&'static str, Role, Vec<u64>)> {
        let mut tensors = vec![("layer_output_scale.weight", Role::Float, vec![1])];
        if self.inputs > 0 {
            let width = u64::from(self.inputs);
            tensors.extend([
                ("inp_gate.weight", Role::Matrix, vec![embd, width]),
                ("proj.weight", Role::Matrix, vec![width, embd]),
                ("post_norm.weight", Role::Float, vec![embd]),
            ]);
        }
        tensors
    }

    /// Adds what the file says of it; the shape's own keys are of all layers.
    pub fn metadata(&self, shape: &Shape, mut writer: Writer<'static>) -> Writer<'static> {
        let layers = || 0..shape.n_layer;
        let key = |name: &str| format!("gemma4.{name}");
        let windowed: Vec<bool> = layers().map(|layer| !self.sees_all(layer)).collect();
        writer = writer
            .metadata(&key("attention.sliding_window_pattern"), windowed)
            .metadata(&key("rope.freq_base_swa"), 10000f32)
            .metadata(&key("final_logit_softcapping"), 30f32);
        for (name, value) in [
            ("attention.key_length_swa", shape.head_dim),
            ("attention.value_length_swa", shape.head_dim),
            ("rope.dimension_count_swa", shape.head_dim),
            ("attention.shared_kv_layers", self.shared),
            ("embedding_length_per_layer_input", self.inputs),
        ] {
            writer = writer.metadata(&key(name), value);
        }
        writer
    }
}
