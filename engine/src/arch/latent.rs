//! Attention whose keys and values come from one latent vector of each token.
//!
//! ```text
//!            ┌─ latent ─ norm ──────┬─────────────────────────── v ─┐
//! x ─ norm ──┼─ turning ──────────┬─┴─ join ─ rope ───────────── k ─┼─ attention ─ · v_b ─ output ─(+)
//!            └─ q ─ deal ─┬─ turning ──────┬─ join ─ rope ────── q ─┘
//!                         └─ · k_b ────────┘
//! ```
//!
//! A head's key is `k_bᵀ · latent` beside the part that turns, which all heads share, and
//! its value is `v_b · latent`. Neither is made: `q · (k_bᵀ · latent) = (k_b · q) ·
//! latent`, so queries are multiplied with the one matrix and results with the other, and
//! all heads attend to the same key and the same value, the latent itself. Ropes turn the
//! first dimensions of a head, so what turns comes first.
//!
//! The cache has keys and values as any other, so it has the latent twice, once in each
//! of the layouts that they need: 1088 numbers of a token and layer in DeepSeek's models,
//! where 576 would say the same.
//!
//! Source: DeepSeek-AI, "DeepSeek-V2: A Strong, Economical, and Efficient
//! Mixture-of-Experts Language Model" (2024).

use super::attention::{Attention, Prepared};
use super::linear::Linear;
use super::{Config, Heads, Hyperparameters, MAX_WIDTH};
use crate::backend::{Backend, Device, Norm, Step};
use crate::error::ModelError;
use crate::tensors::{Loader, Tensors};

/// Its hyperparameters.
pub struct Latents {
    n_head: usize,
    /// Width of the latent.
    rank: usize,
    /// Dimensions of a head that turn, and those that the latent makes.
    n_rot: usize,
    n_plain: usize,
    /// Width of a head's results.
    head_dim_v: usize,
    /// Width of what queries are made of, if that is not what the layer sees.
    q_rank: Option<usize>,
}

/// Its weights in a layer.
pub struct Weights<D: Device> {
    /// Queries, or what they are made of.
    q: Linear<D>,
    /// How queries are made of that.
    of_q: Option<(Norm<D>, Linear<D>)>,
    latent: Linear<D>,
    latent_norm: Norm<D>,
    turning: Linear<D>,
    /// Of each head: `[rank, n_plain]` and `[head_dim_v, rank]`.
    k_b: D::Matrix,
    v_b: D::Matrix,
    output: Linear<D>,
}

impl Latents {
    /// Reads and checks them.
    pub fn from_file(
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
    ) -> Result<Latents, ModelError> {
        let n_head = keys.require("attention.head_count", 1..=MAX_WIDTH)?;
        let widest = MAX_WIDTH / n_head;
        let of_key = "attention.key_length_mla";
        if keys.optional(of_key, 1..=widest)?.is_none()
            && tensors.get("blk.0.attn_kv_b.weight").is_some()
        {
            let expected = "one: matrices of keys and values in one tensor, attn_kv_b, as older files have them, are not supported";
            return Err(ModelError::value(&keys.key(of_key), expected, "missing"));
        }
        let n_rot = keys.require("rope.dimension_count", 2..=widest)?;
        let rank = keys.require("attention.kv_lora_rank", 1..=widest - n_rot)?;
        let key_length = keys.require(of_key, n_rot + 1..=widest)?;
        // As the heads are that meet.
        for (name, expected, what) in [
            ("head_count_kv", 1, "heads share their keys"),
            ("key_length", rank + n_rot, "the latent and what turns"),
            ("value_length", rank, "the latent"),
        ] {
            let name = format!("attention.{name}");
            let found = keys.require(&name, 0..=usize::MAX)?;
            if found != expected {
                let expected = format!("{expected}: {what}");
                return Err(ModelError::value(&keys.key(&name), expected, found));
            }
        }
        let q_rank = keys.optional("attention.q_lora_rank", 0..=MAX_WIDTH)?;
        Ok(Latents {
            n_head,
            rank,
            n_rot,
            n_plain: key_length - n_rot,
            head_dim_v: keys.require("attention.value_length_mla", 1..=widest)?,
            q_rank: q_rank.filter(|&rank| rank > 0),
        })
    }

    /// The heads that meet.
    pub fn heads(&self) -> Heads {
        Heads {
            n_head: self.n_head,
            n_head_kv: 1,
            head_dim_k: self.n_rot + self.rank,
            head_dim_v: self.rank,
        }
    }

    /// Width of a head's key if it were made.
    pub fn key_length(&self) -> usize {
        self.n_rot + self.n_plain
    }

    /// Finds the tensors of layer `index`.
    pub fn load<D: Device>(
        &self,
        config: &Config,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Weights<D>, ModelError> {
        let Latents { n_head, rank, .. } = *self;
        let Config {
            n_embd, norming, ..
        } = *config;
        let name = |tensor: &str| format!("blk.{index}.{tensor}");
        let all = n_head * self.key_length();
        let (q, of_q) = match self.q_rank {
            None => (Linear::load(loader, &name("attn_q"), all, n_embd)?, None),
            Some(width) => {
                let norm = norming.load(loader, &name("attn_q_a_norm"), width)?;
                let queries = Linear::load(loader, &name("attn_q_b"), all, width)?;
                let q = Linear::load(loader, &name("attn_q_a"), width, n_embd)?;
                (q, Some((norm, queries)))
            }
        };
        let parts = [rank, self.n_rot];
        let [latent, turning] =
            Linear::load_stacked(loader, &name("attn_kv_a_mqa"), parts, n_embd)?;
        let results = n_head * self.head_dim_v;
        Ok(Weights {
            q,
            of_q,
            latent,
            latent_norm: norming.load(loader, &name("attn_kv_a_norm"), rank)?,
            turning,
            k_b: loader.matrices(&name("attn_k_b.weight"), n_head, rank, self.n_plain)?,
            v_b: loader.matrices(&name("attn_v_b.weight"), n_head, self.head_dim_v, rank)?,
            output: Linear::load(loader, &name("attn_output"), n_embd, results)?,
        })
    }

    /// `x += attention(normed)`, of the rows that the step keeps, which are those of `x`.
    #[allow(clippy::too_many_arguments)] // weights, operands, and where they go
    pub fn add<B: Backend>(
        &self,
        b: &mut B,
        attention: &Attention,
        config: &Config,
        index: usize,
        weights: &Weights<B::Device>,
        normed: &B::Tensor,
        step: &mut Step<'_>,
        x: &mut B::Tensor,
    ) {
        let Latents {
            n_head,
            rank,
            n_rot,
            n_plain,
            head_dim_v,
            q_rank,
        } = *self;
        let rows = step.rows();
        let width = n_head * self.key_length();
        let mut q = b.tensor(rows, q_rank.unwrap_or(width));
        let mut latent = b.tensor(rows, rank);
        let mut turning = b.tensor(rows, n_rot);
        b.matmul(
            normed,
            &mut [
                weights.q.product(&mut q),
                weights.latent.product(&mut latent),
                weights.turning.product(&mut turning),
            ],
        );
        let mut v = b.tensor(rows, rank);
        b.norm(&latent, &weights.latent_norm, &mut v);
        let mut k = b.tensor(rows, n_rot + rank);
        b.join(&turning, &v, [n_rot, rank], &mut k);
        if let (Some((norm, queries)), Some(width_before)) = (&weights.of_q, q_rank) {
            let mut normed = b.tensor(rows, width_before);
            b.norm(&q, norm, &mut normed);
            q = b.tensor(rows, width);
            b.matmul(&normed, &mut [queries.product(&mut q)]);
        }
        let [mut plain, mut turning] = [n_plain, n_rot].map(|width| b.tensor(rows * n_head, width));
        b.deal(&q, [n_plain, n_rot], &mut plain, &mut turning);
        let mut of_latent = b.tensor(rows * n_head, rank);
        b.head_products(&plain, &weights.k_b, n_head, &mut of_latent);
        let mut q = b.tensor(rows, n_head * (n_rot + rank));
        b.join(&turning, &of_latent, [n_rot, rank], &mut q);

        let prepared = Prepared {
            norms: None,
            sinks: None,
        };
        let new = Some((&mut k, &v));
        let attended = attention.attend(b, config, index, prepared, &mut q, new, step);
        let Some(attended) = attended else {
            return;
        };
        let rows = step.rows_kept();
        let attended = b.in_rows_of(attended, rank);
        let mut results = b.tensor(rows * n_head, head_dim_v);
        b.head_products(&attended, &weights.v_b, n_head, &mut results);
        let results = b.in_rows_of(results, n_head * head_dim_v);
        weights.output.add(b, &results, None, rows, x);
    }
}
