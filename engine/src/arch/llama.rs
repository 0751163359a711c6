//! The `llama` family: Llama 1 to 3.x, Mistral, TinyLlama, SmolLM, and
//! mixtures of experts of the Mixtral kind.
//!
//! Sources: Touvron et al., "LLaMA: Open and Efficient Foundation Language
//! Models" (2023); Jiang et al., "Mixtral of Experts" (2024); tensor names and
//! keys from the GGUF specification.
//!
//! ```text
//! x ─┬─ rms_norm ─ q,k,v ─ rope(q,k) ─ attention ─ output ─(+)─┬─ rms_norm ─ ffn ─(+)─ x
//!    └──────────────────────────────────────────────────────┘ └────────────────┘
//! ```

use super::{Config, Family, Hyperparameters, MAX_WIDTH};
use crate::backend::{AttentionShape, Backend, Device, Experts, Product, Step};
use crate::error::ModelError;
use crate::tensors::{Loader, Tensors};
use gguf::Metadata;
use kernels::ops::Rope;

/// Hyperparameters.
pub struct Llama {
    config: Config,
    attention: AttentionShape,
    n_ff: usize,
    /// Experts and how many each token uses.
    experts: Option<(usize, usize)>,
    rope: Rope,
}

/// A layer's weights.
pub struct Layer<D: Device> {
    attn_norm: D::Vector,
    attn_q: Linear<D>,
    attn_k: Linear<D>,
    attn_v: Linear<D>,
    attn_output: Linear<D>,
    ffn_norm: D::Vector,
    ffn: FeedForward<D>,
}

/// A matrix and the bias that some files have.
struct Linear<D: Device> {
    weight: D::Matrix,
    bias: Option<D::Vector>,
}

enum FeedForward<D: Device> {
    Dense {
        gate: Linear<D>,
        up: Linear<D>,
        down: Linear<D>,
    },
    Experts {
        router: D::Matrix,
        gate: D::Matrix,
        up: D::Matrix,
        down: D::Matrix,
    },
}

impl<D: Device> Linear<D> {
    fn load(
        loader: &Loader<'_, D>,
        name: &str,
        rows: usize,
        cols: usize,
    ) -> Result<Self, ModelError> {
        let [linear] = Linear::load_siblings(loader, [(name, rows)], cols)?;
        Ok(linear)
    }

    /// Those that are multiplied with the same activations.
    fn load_siblings<const N: usize>(
        loader: &Loader<'_, D>,
        names: [(&str, usize); N],
        cols: usize,
    ) -> Result<[Self; N], ModelError> {
        let weights = names.map(|(name, rows)| (format!("{name}.weight"), rows));
        let weights = loader.siblings(&weights, cols)?;
        let mut linears = Vec::new();
        for ((name, rows), weight) in names.into_iter().zip(weights) {
            let bias = loader.optional_vector(&format!("{name}.bias"), rows)?;
            linears.push(Linear { weight, bias });
        }
        let linears = linears.try_into();
        Ok(linears.unwrap_or_else(|_| panic!("one for each of {N} names")))
    }

    fn product<'a, B: Backend<Device = D>>(&'a self, out: &'a mut B::Tensor) -> Product<'a, B> {
        Product {
            weight: &self.weight,
            bias: self.bias.as_ref(),
            out,
        }
    }

    fn add<B: Backend<Device = D>>(&self, backend: &mut B, x: &B::Tensor, sum: &mut B::Tensor) {
        backend.matmul_add(x, &self.weight, self.bias.as_ref(), sum);
    }
}

impl Family for Llama {
    type Layer<D: Device> = Layer<D>;

    fn from_file(metadata: &Metadata<'_>, tensors: &Tensors) -> Result<Self, ModelError> {
        let keys = Hyperparameters::new(metadata)?;
        let n_embd = keys.require("embedding_length", 1..=MAX_WIDTH)?;
        let n_layer = keys.require("block_count", 1..=1024)?;
        let n_ff = keys.require("feed_forward_length", 1..=MAX_WIDTH)?;
        let n_head = keys.require("attention.head_count", 1..=MAX_WIDTH)?;
        let n_head_kv = keys
            .optional("attention.head_count_kv", 1..=n_head)?
            .unwrap_or(n_head);
        if !n_head.is_multiple_of(n_head_kv) {
            let key = keys.key("attention.head_count_kv");
            return Err(ModelError::value(
                &key,
                format!("a divisor of {n_head} heads"),
                n_head_kv,
            ));
        }
        let head_dim_k = match keys.optional("attention.key_length", 1..=MAX_WIDTH / n_head)? {
            Some(found) => found,
            None if n_embd.is_multiple_of(n_head) => n_embd / n_head,
            None => {
                let key = keys.key("attention.head_count");
                return Err(ModelError::value(
                    &key,
                    format!("a divisor of the width {n_embd}"),
                    n_head,
                ));
            }
        };
        let head_dim_v = keys
            .optional("attention.value_length", 1..=MAX_WIDTH / n_head)?
            .unwrap_or(head_dim_k);
        let context_length = keys.require("context_length", 1..=1 << 30)?;
        let experts = match keys.optional("expert_count", 0..=4096)? {
            None | Some(0) => None,
            Some(count) => Some((count, keys.require("expert_used_count", 1..=count)?)),
        };
        let norm_eps = keys.positive("attention.layer_norm_rms_epsilon", None)?;
        let n_vocab = tensors.vocabulary_rows()?;
        let rope =
            super::rope::from_file(&keys, tensors, head_dim_k, kernels::ops::Pairing::Adjacent)?;
        Ok(Llama {
            config: Config {
                n_embd,
                n_layer,
                n_vocab,
                context_length,
                norm_eps,
                n_head_kv,
                head_dim_k,
                head_dim_v,
            },
            attention: AttentionShape {
                n_head,
                n_head_kv,
                head_dim_k,
                head_dim_v,
                scale: 1.0 / (head_dim_k as f32).sqrt(),
            },
            n_ff,
            experts,
            rope,
        })
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn load_layer<D: Device>(
        &self,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Layer<D>, ModelError> {
        let n_embd = self.config.n_embd;
        let AttentionShape {
            n_head,
            n_head_kv,
            head_dim_k,
            head_dim_v,
            ..
        } = self.attention;
        let name = |tensor: &str| format!("blk.{index}.{tensor}");
        let linear = |tensor: &str, rows, cols| Linear::load(loader, &name(tensor), rows, cols);
        let attn_norm = loader.vector(&name("attn_norm.weight"), n_embd)?;
        let qkv = [
            (&*name("attn_q"), n_head * head_dim_k),
            (&*name("attn_k"), n_head_kv * head_dim_k),
            (&*name("attn_v"), n_head_kv * head_dim_v),
        ];
        let [attn_q, attn_k, attn_v] = Linear::load_siblings(loader, qkv, n_embd)?;
        Ok(Layer {
            attn_norm,
            attn_q,
            attn_k,
            attn_v,
            attn_output: linear("attn_output", n_embd, n_head * head_dim_v)?,
            ffn_norm: loader.vector(&name("ffn_norm.weight"), n_embd)?,
            ffn: match self.experts {
                None => {
                    let names = [
                        (&*name("ffn_gate"), self.n_ff),
                        (&*name("ffn_up"), self.n_ff),
                    ];
                    let [gate, up] = Linear::load_siblings(loader, names, n_embd)?;
                    let down = linear("ffn_down", n_embd, self.n_ff)?;
                    FeedForward::Dense { gate, up, down }
                }
                Some((count, _)) => FeedForward::Experts {
                    router: loader.matrix(&name("ffn_gate_inp.weight"), count, n_embd)?,
                    gate: loader.matrices(
                        &name("ffn_gate_exps.weight"),
                        count,
                        self.n_ff,
                        n_embd,
                    )?,
                    up: loader.matrices(&name("ffn_up_exps.weight"), count, self.n_ff, n_embd)?,
                    down: loader.matrices(
                        &name("ffn_down_exps.weight"),
                        count,
                        n_embd,
                        self.n_ff,
                    )?,
                },
            },
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
        let (config, attention) = (&self.config, &self.attention);
        let rows = step.rows();

        // Attention.
        let mut normed = b.tensor(rows, config.n_embd);
        let mut q = b.tensor(rows, attention.n_head * attention.head_dim_k);
        let mut k = b.tensor(rows, attention.n_head_kv * attention.head_dim_k);
        let mut v = b.tensor(rows, attention.n_head_kv * attention.head_dim_v);
        b.rms_norm(x, &layer.attn_norm, config.norm_eps, &mut normed);
        b.matmul(
            &normed,
            &mut [
                layer.attn_q.product(&mut q),
                layer.attn_k.product(&mut k),
                layer.attn_v.product(&mut v),
            ],
        );
        // From here on, only the rows that are kept.
        let rows = step.rows_kept();
        let mut attended = b.tensor(rows, attention.n_head * attention.head_dim_v);
        b.attention(
            index,
            attention,
            &self.rope,
            &mut q,
            &mut k,
            &v,
            step,
            &mut attended,
        );
        if rows == 0 {
            return;
        }
        if let Some(kept) = &step.kept {
            *x = b.select(x, kept);
            normed = b.tensor(rows, config.n_embd);
        }
        layer.attn_output.add(b, &attended, x);

        // Feed-forward.
        b.rms_norm(x, &layer.ffn_norm, config.norm_eps, &mut normed);
        match &layer.ffn {
            FeedForward::Dense { gate, up, down } => {
                let mut hidden = b.tensor(rows, self.n_ff);
                let mut other = b.tensor(rows, self.n_ff);
                b.gate_up(&normed, gate.product(&mut hidden), up.product(&mut other));
                down.add(b, &hidden, x);
            }
            FeedForward::Experts {
                router,
                gate,
                up,
                down,
            } => {
                let (count, used) = self.experts.expect("the layer has experts");
                b.experts(
                    &normed,
                    &Experts {
                        router,
                        gate,
                        up,
                        down,
                        count,
                        used,
                    },
                    x,
                );
            }
        }
    }
}
