//! Self-attention of a layer, with queries in groups that share keys and values.

use super::linear::{Linear, Norm};
use super::{Config, Hyperparameters};
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
    /// What is normed of queries and keys.
    pub norms: Normed,
    /// Every so manieth layer leaves heads unturned.
    pub unturned: Option<usize>,
    /// Layers that attend only to what came shortly before.
    pub windows: Option<Windows>,
    /// Whether the rows of q, k and v lie one after the other in one tensor.
    pub stacked: bool,
    /// Whether every head has a sink.
    pub sinks: bool,
    /// How queries grow with their position.
    pub temperature: Option<Temperature>,
    /// Whether results pass gates, whose rows follow each head's of q.
    pub gated: bool,
}

/// What is normed of queries and keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Normed {
    Nothing,
    /// Every head alone.
    Heads,
    /// Every head alone, in layers where the file has these norms.
    HeadsIfAny,
    /// All heads of a token together.
    Whole,
}

/// Layers that attend only to what came shortly before.
pub struct Windows {
    /// Positions that a token sees there, its own included.
    pub positions: usize,
    /// Which layers are these.
    pub layers: Vec<bool>,
    /// How heads turn there, if not as elsewhere.
    pub rope: Option<Rope>,
}

impl Windows {
    /// In all layers.
    pub fn everywhere(config: &Config, positions: usize) -> Windows {
        Windows {
            positions,
            layers: vec![true; config.n_layer],
            rope: None,
        }
    }

    /// In the layers that the file names; or every so manieth layer sees all and the
    /// others are these, by default that of `period`.
    pub fn from_file(
        keys: &Hyperparameters<'_, '_>,
        config: &Config,
        positions: usize,
        period: usize,
    ) -> Result<Windows, ModelError> {
        let (n_layer, name) = (config.n_layer, "attention.sliding_window_pattern");
        let layers = match keys.flags(name)? {
            Some(layers) => layers[..n_layer].to_vec(),
            None => {
                let found = keys.optional(name, 1..=n_layer.max(period))?;
                let period = found.unwrap_or(period);
                let layers = 1..=n_layer;
                layers.map(|layer| !layer.is_multiple_of(period)).collect()
            }
        };
        Ok(Windows {
            positions,
            layers,
            rope: None,
        })
    }
}

/// How queries grow with their position `p`: by `1 + scale · ln(1 + ⌊p / length⌋)`.
pub struct Temperature {
    pub scale: f32,
    pub length: usize,
}

impl Temperature {
    fn factor(&self, position: usize) -> f32 {
        let lengths = 1 + position / self.length;
        (1.0 + f64::from(self.scale) * kernels::ops::ln(lengths as f64)) as f32
    }
}

/// Its weights in a layer.
pub struct Weights<D: Device> {
    q: Linear<D>,
    k: Linear<D>,
    v: Linear<D>,
    output: Linear<D>,
    /// Norms of the heads of queries and of keys.
    head_norms: Option<[D::Vector; 2]>,
    /// Norms of all heads of a token's queries, and of its keys.
    whole_norms: Option<[D::Vector; 2]>,
    /// For each query head a score that adds nothing.
    sinks: Option<D::Vector>,
}

impl Attention {
    /// With queries and keys that are turned as the metadata say, in these pairs,
    /// and nothing special.
    pub fn new(
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
        config: &Config,
        pairing: Pairing,
    ) -> Result<Self, ModelError> {
        let default_scale = 1.0 / (config.head_dim_k as f32).sqrt();
        Ok(Attention {
            n_embd: config.n_embd,
            norm_eps: config.norm_eps,
            shape: AttentionShape {
                n_head: config.n_head,
                n_head_kv: config.n_head_kv,
                head_dim_k: config.head_dim_k,
                head_dim_v: config.head_dim_v,
                scale: keys.positive("attention.scale", Some(default_scale))?,
                window: None,
                cap: None,
            },
            rope: super::rope::from_file(keys, tensors, config, pairing)?,
            norms: Normed::Nothing,
            unturned: None,
            windows: None,
            stacked: false,
            sinks: false,
            gated: false,
            temperature: None,
        })
    }

    /// With another factor of the scores.
    pub fn set_scale(&mut self, scale: f32) {
        self.shape.scale = scale;
    }

    /// With scores that stay below this, in magnitude.
    pub fn set_cap(&mut self, cap: Option<f32>) {
        self.shape.cap = cap;
    }

    /// How heads turn, unless a layer has a way of its own.
    pub fn rope(&self) -> &Rope {
        &self.rope
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
        let [q, k, v] = [
            self.width_of_q(),
            n_head_kv * head_dim_k,
            n_head_kv * head_dim_v,
        ];
        let names = [
            (&*name("attn_q"), q),
            (&*name("attn_k"), k),
            (&*name("attn_v"), v),
        ];
        let [q, k, v] = match self.stacked {
            true => Linear::load_stacked(loader, &name("attn_qkv"), [q, k, v], self.n_embd)?,
            false => Linear::load_siblings(loader, names, self.n_embd)?,
        };
        let [q_norm, k_norm] = ["attn_q_norm.weight", "attn_k_norm.weight"].map(name);
        let norms = |of_q, of_k| -> Result<_, ModelError> {
            Ok(Some([
                loader.vector(&q_norm, of_q)?,
                loader.vector(&k_norm, of_k)?,
            ]))
        };
        let has_any = loader.has(&q_norm) || loader.has(&k_norm);
        let (head_norms, whole_norms) = match self.norms {
            Normed::Heads => (norms(head_dim_k, head_dim_k)?, None),
            Normed::HeadsIfAny if has_any => (norms(head_dim_k, head_dim_k)?, None),
            Normed::Whole => (None, norms(n_head * head_dim_k, n_head_kv * head_dim_k)?),
            Normed::Nothing | Normed::HeadsIfAny => (None, None),
        };
        let sinks = match self.sinks {
            true => Some(loader.vector(&name("attn_sinks.weight"), n_head)?),
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
            head_norms,
            whole_norms,
            sinks,
        })
    }

    /// Outputs of q: queries, and the gates if there are any.
    fn width_of_q(&self) -> usize {
        let queries = self.shape.n_head * self.shape.head_dim_k;
        if self.gated { 2 * queries } else { queries }
    }

    /// What layer `index` sees, and how heads turn there.
    fn of_layer(&self, index: usize) -> (AttentionShape, Option<&Rope>) {
        let is_every = |period: usize| (index + 1).is_multiple_of(period);
        match &self.windows {
            Some(windows) if windows.layers[index] => {
                let window = Some(windows.positions);
                let shape = AttentionShape {
                    window,
                    ..self.shape
                };
                (shape, Some(windows.rope.as_ref().unwrap_or(&self.rope)))
            }
            _ if self.unturned.is_some_and(is_every) => (self.shape, None),
            _ => (self.shape, Some(&self.rope)),
        }
    }

    /// `x += attention(normed)`, of the rows that the step keeps; where there is a
    /// norm, of what is added. `x` has those rows alone afterwards; if there are
    /// none, it stays as it is.
    #[allow(clippy::too_many_arguments)] // weights, operands, and where they go
    pub fn add<B: Backend>(
        &self,
        b: &mut B,
        index: usize,
        weights: &Weights<B::Device>,
        normed: &B::Tensor,
        norm: Option<Norm<'_, B::Device>>,
        step: &mut Step<'_>,
        x: &mut B::Tensor,
    ) {
        let (shape, rope) = self.of_layer(index);
        let rows = step.rows();
        let mut q = b.tensor(rows, self.width_of_q());
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
        let mut gate = None;
        if self.gated {
            let width = shape.n_head * shape.head_dim_k;
            let both = std::mem::replace(&mut q, b.tensor(rows, width));
            let gate = gate.insert(b.tensor(rows, width));
            b.deal(&both, shape.head_dim_k, &mut q, gate);
        }
        if let Some(norms) = &weights.whole_norms {
            let widths = [shape.n_head, shape.n_head_kv].map(|heads| heads * shape.head_dim_k);
            for ((x, norm), width) in [&mut q, &mut k].into_iter().zip(norms).zip(widths) {
                let mut normed = b.tensor(rows, width);
                b.rms_norm(x, norm, self.norm_eps, &mut normed);
                *x = normed;
            }
        }
        if let Some(temperature) = &self.temperature {
            let factors = step.positions.iter();
            let factors: Vec<f32> = factors.map(|&at| temperature.factor(at)).collect();
            if factors.iter().any(|&factor| factor != 1.0) {
                b.scale_rows(&mut q, &factors);
            }
        }
        let rows = step.rows_kept();
        let mut attended = b.tensor(rows, shape.n_head * shape.head_dim_v);
        let prepared = QueriesAndKeys {
            norms: weights.head_norms.as_ref().map(|[q, k]| HeadNorms {
                q,
                k,
                eps: self.norm_eps,
            }),
            rope,
            sinks: weights.sinks.as_ref(),
        };
        b.attention(
            index,
            &shape,
            &prepared,
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
            gate = gate.map(|gate| b.select(&gate, kept));
        }
        if let Some(gate) = &gate {
            b.sigmoid_mul(&mut attended, gate);
        }
        weights.output.add(b, &attended, norm, rows, x);
    }
}
