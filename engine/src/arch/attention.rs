//! Self-attention of a layer, with queries in groups that share keys and values.

use super::{Config, Hyperparameters, Linear};
use crate::backend::{AttentionShape, Backend, Device, HeadNorms, QueriesAndKeys, Step};
use crate::error::ModelError;
use crate::tensors::{Loader, Tensors};
use kernels::ops::{Pairing, Rope};

/// Its hyperparameters.
pub struct Attention {
    n_embd: usize,
    norm_eps: f32,
    shape: AttentionShape,
    rope: Rope,
    /// Whether queries and keys are normed, head by head.
    head_norms: bool,
}

/// Its weights in a layer.
pub struct Weights<D: Device> {
    q: Linear<D>,
    k: Linear<D>,
    v: Linear<D>,
    output: Linear<D>,
    /// Norms of the heads of queries and of keys.
    norms: Option<[D::Vector; 2]>,
}

impl Attention {
    /// With queries and keys that are turned as the metadata say, in these pairs.
    pub fn new(
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
        config: &Config,
        pairing: Pairing,
    ) -> Result<Self, ModelError> {
        Ok(Attention {
            n_embd: config.n_embd,
            norm_eps: config.norm_eps,
            shape: AttentionShape {
                n_head: config.n_head,
                n_head_kv: config.n_head_kv,
                head_dim_k: config.head_dim_k,
                head_dim_v: config.head_dim_v,
                scale: 1.0 / (config.head_dim_k as f32).sqrt(),
            },
            rope: super::rope::from_file(keys, tensors, config.head_dim_k, pairing)?,
            head_norms: false,
        })
    }

    /// With a norm of every head of queries and keys.
    pub fn with_head_norms(self) -> Self {
        Attention {
            head_norms: true,
            ..self
        }
    }

    /// Finds the tensors of layer `index`.
    pub fn load<D: Device>(
        &self,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Weights<D>, ModelError> {
        let AttentionShape {
            n_head,
            n_head_kv,
            head_dim_k,
            head_dim_v,
            ..
        } = self.shape;
        let name = |tensor: &str| format!("blk.{index}.{tensor}");
        let qkv = [
            (&*name("attn_q"), n_head * head_dim_k),
            (&*name("attn_k"), n_head_kv * head_dim_k),
            (&*name("attn_v"), n_head_kv * head_dim_v),
        ];
        let [q, k, v] = Linear::load_siblings(loader, qkv, self.n_embd)?;
        let norm = |tensor| loader.vector(&name(tensor), head_dim_k);
        let norms = match self.head_norms {
            true => Some([norm("attn_q_norm.weight")?, norm("attn_k_norm.weight")?]),
            false => None,
        };
        let output = Linear::load(
            loader,
            &name("attn_output"),
            self.n_embd,
            n_head * head_dim_v,
        )?;
        Ok(Weights {
            q,
            k,
            v,
            output,
            norms,
        })
    }

    /// `x += attention(normed)`, of the rows that the step keeps; `x` has those
    /// alone afterwards. If it keeps none, `x` stays as it is.
    pub fn add<B: Backend>(
        &self,
        b: &mut B,
        index: usize,
        weights: &Weights<B::Device>,
        normed: &B::Tensor,
        step: &mut Step<'_>,
        x: &mut B::Tensor,
    ) {
        let (shape, rows) = (&self.shape, step.rows());
        let mut q = b.tensor(rows, shape.n_head * shape.head_dim_k);
        let mut k = b.tensor(rows, shape.n_head_kv * shape.head_dim_k);
        let mut v = b.tensor(rows, shape.n_head_kv * shape.head_dim_v);
        b.matmul(
            normed,
            &mut [
                weights.q.product(&mut q),
                weights.k.product(&mut k),
                weights.v.product(&mut v),
            ],
        );
        let mut attended = b.tensor(step.rows_kept(), shape.n_head * shape.head_dim_v);
        let prepared = QueriesAndKeys {
            norms: weights.norms.as_ref().map(|[q, k]| HeadNorms {
                q,
                k,
                eps: self.norm_eps,
            }),
            rope: &self.rope,
        };
        b.attention(
            index,
            shape,
            &prepared,
            &mut q,
            &mut k,
            &v,
            step,
            &mut attended,
        );
        if step.rows_kept() == 0 {
            return;
        }
        if let Some(kept) = &step.kept {
            *x = b.select(x, kept);
        }
        weights.output.add(b, &attended, x);
    }
}
