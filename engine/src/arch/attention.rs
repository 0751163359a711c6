//! Self-attention of a layer, with queries in groups that share keys and values.

use super::linear::Linear;
use super::{Config, Heads, Hyperparameters};
use crate::backend::{AttentionShape, Backend, Device, HeadNorms, Norm, QueriesAndKeys, Step};
use crate::error::ModelError;
use crate::tensors::{Loader, Tensors};
use kernels::ops::{Pairing, Rope};

/// Its hyperparameters.
pub struct Attention {
    /// Factor of the scores.
    pub scale: f32,
    /// What scores stay below, in magnitude.
    pub cap: Option<f32>,
    /// How heads turn, if they do.
    rope: Option<Rope>,
    /// How heads turn in layers that attend to a window, if not as elsewhere.
    pub window_rope: Option<Rope>,
    /// What is normed of queries and keys.
    pub norms: Normed,
    /// Every so manieth layer leaves heads unturned, if it sees all.
    pub unturned: Option<usize>,
    /// Whether the rows of q, k and v lie one after the other in one tensor.
    pub stacked: bool,
    /// In which layers every head has a sink.
    pub sinks: Sinks,
    /// Factor of what is made of values.
    pub value_scale: Option<f32>,
    /// How queries grow with their position.
    pub temperature: Option<Temperature>,
    /// Whether results pass gates, whose rows follow each head's of q.
    pub gated: bool,
    /// Whether values are normed, head by head and without weights. Layers without a
    /// matrix for them then norm what that of the keys makes.
    pub normed_values: bool,
}

/// Which layers have sinks: scores of each head that add nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sinks {
    None,
    All,
    /// Those for which the file has some.
    IfAny,
}

/// What is normed of queries and keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Normed {
    Nothing,
    /// Every head alone.
    Heads,
    /// Every head alone, after it has turned.
    TurnedHeads,
    /// Every head alone, in layers where the file has these norms.
    HeadsIfAny,
    /// Every head alone, with weights of its own.
    EachHead,
    /// All heads of a token together.
    Whole,
}

impl Normed {
    /// Every head with weights of its own, if the file has any.
    pub fn each_head_if_any(tensors: &Tensors) -> Normed {
        let ends = [".attn_q_norm.weight", ".attn_k_norm.weight"];
        match tensors.any(|name| ends.iter().any(|end| name.ends_with(end))) {
            true => Normed::EachHead,
            false => Normed::Nothing,
        }
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
    /// Of layers that attend to keys and values of their own.
    own: Option<KeysAndValues<D>>,
    output: Linear<D>,
    /// Norms of queries, and of the keys there are.
    norms: Option<(Norm<D>, Option<Norm<D>>)>,
    /// For each query head a score that adds nothing.
    sinks: Option<D::Vector>,
}

/// How a layer's heads meet, beside what all layers have in common.
pub(super) struct Prepared<'a, B: Backend + ?Sized> {
    pub norms: Option<HeadNorms<'a, B>>,
    pub sinks: Option<&'a <B::Device as Device>::Vector>,
}

/// What makes keys and values.
struct KeysAndValues<D: Device> {
    k: Linear<D>,
    /// If they are not made of what `k` makes.
    v: Option<Linear<D>>,
    /// The norm of values, if they are normed.
    v_norm: Option<Norm<D>>,
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
        let head_dim = config.heads[0].head_dim_k;
        let rope = super::rope::from_file(keys, tensors, config, head_dim, pairing)?;
        Ok(Attention::with_rope(rope, scale(keys, head_dim)?))
    }

    /// With queries and keys that are not turned, and nothing special.
    pub fn without_rope(
        keys: &Hyperparameters<'_, '_>,
        config: &Config,
    ) -> Result<Self, ModelError> {
        let scale = scale(keys, config.heads[0].head_dim_k)?;
        Ok(Attention::plain(None, scale))
    }

    /// Of models that do not attend.
    pub fn none() -> Self {
        Attention::plain(None, 1.0)
    }

    /// The same with this rope and factor of the scores.
    pub fn with_rope(rope: Rope, scale: f32) -> Self {
        Attention::plain(Some(rope), scale)
    }

    fn plain(rope: Option<Rope>, scale: f32) -> Self {
        Attention {
            scale,
            cap: None,
            rope,
            window_rope: None,
            norms: Normed::Nothing,
            unturned: None,
            stacked: false,
            sinks: Sinks::None,
            value_scale: None,
            gated: false,
            temperature: None,
            normed_values: false,
        }
    }

    /// How heads turn, unless a layer has a way of its own, of models whose heads do.
    pub fn rope(&self) -> &Rope {
        self.rope.as_ref().expect("heads that turn")
    }

    /// Finds the tensors of layer `index`.
    pub fn load<D: Device>(
        &self,
        config: &Config,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Weights<D>, ModelError> {
        let Heads {
            n_head,
            n_head_kv,
            head_dim_k,
            head_dim_v,
        } = config.heads[index];
        let name = |tensor: &str| format!("blk.{index}.{tensor}");
        let [q, k, v] = [
            self.width_of_q(&config.heads[index]),
            n_head_kv * head_dim_k,
            n_head_kv * head_dim_v,
        ];
        let has_own = config.sources[index] == index;
        let has_v = !self.normed_values || loader.has(&name("attn_v.weight"));
        let names = [name("attn_q"), name("attn_k"), name("attn_v")];
        let [of_q, of_k, of_v] = [(&*names[0], q), (&*names[1], k), (&*names[2], v)];
        let n_embd = config.n_embd;
        let (q, made) = if !has_own {
            // What files have of these is never used.
            let unused = ["attn_k.weight", "attn_v.weight", "attn_k_norm.weight"];
            loader.ignore(&unused.map(name));
            (Linear::load(loader, of_q.0, q, n_embd)?, None)
        } else if self.stacked {
            let [q, k, v] = Linear::load_stacked(loader, &name("attn_qkv"), [q, k, v], n_embd)?;
            // Some files have their biases apart.
            let (q, k) = (q.or_bias(loader, of_q)?, k.or_bias(loader, of_k)?);
            (q, Some((k, Some(v.or_bias(loader, of_v)?))))
        } else if has_v {
            let [q, k, v] = Linear::load_siblings(loader, [of_q, of_k, of_v], n_embd)?;
            (q, Some((k, Some(v))))
        } else {
            let [q, k] = Linear::load_siblings(loader, [of_q, of_k], n_embd)?;
            (q, Some((k, None)))
        };
        let own = made.map(|(k, v)| KeysAndValues {
            k,
            v,
            v_norm: self.normed_values.then(|| {
                let ones = loader.ones(head_dim_v);
                config.norming.with_weight(head_dim_v, ones)
            }),
        });
        let [q_norm, k_norm] = ["attn_q_norm", "attn_k_norm"].map(name);
        let has = |name: &str| loader.has(&format!("{name}.weight"));
        let has_norms = match self.norms {
            Normed::Nothing => false,
            Normed::HeadsIfAny => has(&q_norm) || has(&k_norm),
            Normed::Heads | Normed::TurnedHeads | Normed::EachHead | Normed::Whole => true,
        };
        let norm = |name: &str, heads: usize| {
            let shape = match self.norms {
                Normed::Whole => [heads * head_dim_k, 1],
                Normed::EachHead => [head_dim_k, heads],
                _ => [head_dim_k, 1],
            };
            config.norming.load_heads(loader, name, shape)
        };
        let norms = match has_norms {
            true => {
                let k = has_own.then(|| norm(&k_norm, n_head_kv));
                Some((norm(&q_norm, n_head)?, k.transpose()?))
            }
            false => None,
        };
        let of_sinks = name("attn_sinks.weight");
        let sinks = match self.sinks {
            Sinks::None => None,
            Sinks::All => Some(loader.vector(&of_sinks, n_head)?),
            Sinks::IfAny => loader.optional_vector(&of_sinks, n_head)?,
        };
        let output = Linear::load(loader, &name("attn_output"), n_embd, n_head * head_dim_v)?;
        Ok(Weights {
            q,
            own,
            output,
            norms,
            sinks,
        })
    }

    /// Outputs of q: queries, and the gates if there are any.
    fn width_of_q(&self, heads: &Heads) -> usize {
        let queries = heads.n_head * heads.head_dim_k;
        if self.gated { 2 * queries } else { queries }
    }

    /// What layer `index` sees, and how heads turn there.
    fn of_layer(&self, config: &Config, index: usize) -> (AttentionShape, Option<&Rope>) {
        let heads = &config.heads[index];
        let shape = AttentionShape {
            n_head: heads.n_head,
            n_head_kv: heads.n_head_kv,
            head_dim_k: heads.head_dim_k,
            head_dim_v: heads.head_dim_v,
            scale: self.scale,
            window: config.window_of(index),
            cap: self.cap,
        };
        let is_every = |period: usize| (index + 1).is_multiple_of(period);
        let rope = match shape.window {
            Some(_) => self.window_rope.as_ref().or(self.rope.as_ref()),
            None if self.unturned.is_some_and(is_every) => None,
            None => self.rope.as_ref(),
        };
        (shape, rope)
    }

    /// `x += attention(normed)`, of the rows that the step keeps, which are those of
    /// `x`; where there is a norm, of what is added.
    #[allow(clippy::too_many_arguments)] // weights, operands, and where they go
    pub fn add<B: Backend>(
        &self,
        b: &mut B,
        config: &Config,
        index: usize,
        weights: &Weights<B::Device>,
        normed: &B::Tensor,
        norm: Option<&Norm<B::Device>>,
        step: &mut Step<'_>,
        x: &mut B::Tensor,
    ) {
        let shape = &config.heads[index];
        let rows = step.rows();
        let mut q = b.tensor(rows, self.width_of_q(shape));
        let mut products = vec![weights.q.product(&mut q)];
        let mut new = weights.own.as_ref().map(|own| {
            let k = b.tensor(rows, shape.n_head_kv * shape.head_dim_k);
            (own, k, b.tensor(rows, shape.n_head_kv * shape.head_dim_v))
        });
        if let Some((own, k, v)) = &mut new {
            products.push(own.k.product(k));
            products.extend(own.v.as_ref().map(|matrix| matrix.product(v)));
        }
        b.matmul(normed, &mut products);
        if let Some((own, k, v)) = &mut new
            && let Some(norm) = &own.v_norm
        {
            let mut out = b.tensor(rows, shape.n_head_kv * shape.head_dim_v);
            let made = if own.v.is_some() { &*v } else { &*k };
            b.norm(made, norm, &mut out);
            *v = out;
        }
        let mut gate = None;
        if self.gated {
            let width = shape.n_head * shape.head_dim_k;
            let both = std::mem::replace(&mut q, b.tensor(rows, width));
            let gate = gate.insert(b.tensor(rows, width));
            b.deal(&both, [shape.head_dim_k; 2], &mut q, gate);
        }
        let prepared = Prepared {
            norms: (weights.norms.as_ref()).map(|(q, k)| HeadNorms {
                q,
                k: k.as_ref(),
                after_turn: self.norms == Normed::TurnedHeads,
            }),
            sinks: weights.sinks.as_ref(),
        };
        let new = new.as_mut().map(|(_, k, v)| (k, &*v));
        let attended = self.attend(b, config, index, prepared, &mut q, new, step);
        let Some(mut attended) = attended else {
            return;
        };
        if let Some(kept) = &step.kept {
            gate = gate.map(|gate| b.select(&gate, kept));
        }
        if let Some(gate) = &gate {
            b.sigmoid_mul(&mut attended, gate);
        }
        if let Some(scale) = self.value_scale {
            b.scale_rows(&mut attended, &vec![scale; step.rows_kept()]);
        }
        weights.output.add(b, &attended, norm, step.rows_kept(), x);
    }

    /// Lets queries attend, of the rows that the step keeps, if there are any.
    #[allow(clippy::too_many_arguments)] // how, operands, and what goes on
    pub(super) fn attend<B: Backend>(
        &self,
        b: &mut B,
        config: &Config,
        index: usize,
        prepared: Prepared<'_, B>,
        q: &mut B::Tensor,
        new: Option<(&mut B::Tensor, &B::Tensor)>,
        step: &mut Step<'_>,
    ) -> Option<B::Tensor> {
        if let Some(temperature) = &self.temperature {
            let factors = step.positions.iter();
            let factors: Vec<f32> = factors.map(|&at| temperature.factor(at)).collect();
            if factors.iter().any(|&factor| factor != 1.0) {
                b.scale_rows(q, &factors);
            }
        }
        let (shape, rope) = self.of_layer(config, index);
        let rows = step.rows_kept();
        let mut attended = b.tensor(rows, shape.n_head * shape.head_dim_v);
        let Prepared { norms, sinks } = prepared;
        let prepared = QueriesAndKeys { norms, rope, sinks };
        let source = config.sources[index];
        b.attention(source, &shape, &prepared, q, new, step, &mut attended);
        (rows > 0).then_some(attended)
    }
}

/// The factor of the scores of heads of that width.
fn scale(keys: &Hyperparameters<'_, '_>, head_dim: usize) -> Result<f32, ModelError> {
    let scale = keys.positive_unless_0("attention.scale")?;
    Ok(scale.unwrap_or(1.0 / (head_dim as f32).sqrt()))
}
