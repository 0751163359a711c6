//! Layers whose keys and values come from a latent vector, with experts after dense
//! layers.

use super::shapes::{Role, Shape};
use firstlight::arch::Heads;
use gguf::write::Writer;

/// What `deepseek2` has beside what a shape says; the shape's feed-forward width is that
/// of an expert.
#[derive(Debug, PartialEq)]
pub struct Latents {
    /// Width of the latent, and of what queries are made of; 0 if of what the layer sees.
    pub rank: u32,
    pub q_rank: u32,
    /// Dimensions of a head that meet the latent, and of those that turn.
    pub plain: u32,
    pub rot: u32,
    /// Width of a head's results.
    pub results: u32,
    /// The first layers, so many, have no experts and this width.
    pub dense: u32,
    pub dense_ff: u32,
    /// Experts that all tokens use.
    pub shared: u32,
    /// Whether experts are chosen by sigmoids and a bias.
    pub sigmoid: bool,
}

impl Latents {
    /// The heads that meet.
    pub fn heads(&self, heads: Heads) -> Heads {
        Heads {
            n_head_kv: 1,
            head_dim_k: (self.rot + self.rank) as usize,
            head_dim_v: self.rank as usize,
            ..heads
        }
    }

    /// The tensors of attention: name, role and shape.
    pub fn attention(&self, embd: u64, heads: u64) -> Vec<(&'static str, Role, Vec<u64>)> {
        let [rank, q_rank, plain, rot, results] =
            [self.rank, self.q_rank, self.plain, self.rot, self.results].map(u64::from);
        let queries = heads * (plain + rot);
        let mut tensors = match q_rank {
            0 => vec![("attn_q.weight", Role::Matrix, vec![embd, queries])],
            _ => vec![
                ("attn_q_a.weight", Role::Matrix, vec![embd, q_rank]),
                ("attn_q_a_norm.weight", Role::Float, vec![q_rank]),
                ("attn_q_b.weight", Role::Matrix, vec![q_rank, queries]),
            ],
        };
        tensors.extend([
            ("attn_kv_a_mqa.weight", Role::Matrix, vec![embd, rank + rot]),
            ("attn_kv_a_norm.weight", Role::Float, vec![rank]),
            ("attn_k_b.weight", Role::Matrix, vec![plain, rank, heads]),
            ("attn_v_b.weight", Role::Matrix, vec![rank, results, heads]),
            (
                "attn_output.weight",
                Role::AttnOutput,
                vec![heads * results, embd],
            ),
        ]);
        tensors
    }

    /// What layers with so many experts have beside them.
    pub fn beside_experts(
        &self,
        embd: u64,
        ff: u64,
        experts: u64,
    ) -> Vec<(&'static str, Role, Vec<u64>)> {
        let ff = ff * u64::from(self.shared);
        let mut tensors = vec![
            ("ffn_gate_shexp.weight", Role::Matrix, vec![embd, ff]),
            ("ffn_up_shexp.weight", Role::Matrix, vec![embd, ff]),
            ("ffn_down_shexp.weight", Role::FfnDown, vec![ff, embd]),
        ];
        if self.sigmoid {
            tensors.push(("exp_probs_b.bias", Role::Float, vec![experts]));
        }
        tensors
    }

    /// Adds what the file says of it.
    pub fn metadata(&self, mut writer: Writer<'static>) -> Writer<'static> {
        let gating = if self.sigmoid { 2 } else { 1 };
        for (name, value) in [
            ("attention.head_count_kv", 1),
            ("attention.key_length", self.rot + self.rank),
            ("attention.value_length", self.rank),
            ("attention.key_length_mla", self.plain + self.rot),
            ("attention.value_length_mla", self.results),
            ("attention.kv_lora_rank", self.rank),
            ("attention.q_lora_rank", self.q_rank),
            ("rope.dimension_count", self.rot),
            ("leading_dense_block_count", self.dense),
            ("expert_shared_count", self.shared),
            ("expert_gating_func", gating),
        ] {
            writer = writer.metadata(&format!("deepseek2.{name}"), value);
        }
        writer.metadata("deepseek2.expert_weights_norm", self.sigmoid)
    }

    /// Width of a layer's feed-forward network, or of each of its experts.
    pub fn ff(&self, shape: &Shape, layer: u32) -> u32 {
        match layer < self.dense {
            true => self.dense_ff,
            false => shape.n_ff,
        }
    }
}
