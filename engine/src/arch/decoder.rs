//! The layer that most families share.
//!
//! ```text
//! x ─┬─ norm ─ q,k,v ─ norm, rope (q,k) ─ attention ─ output ─ norm ─(+)─┬─ norm ─ ffn ─ norm ─(+)─ x
//!    └──────────────────────────────────────────────────────────────────┘ └────────────────────┘
//! ```
//!
//! Some layers are parallel: the feed-forward network sees what attention sees, and both
//! are added to the same.
//!
//! ```text
//! x ─┬─ norm ─┬─ q,k,v ─ norm, rope (q,k) ─ attention ─ output ─(+)─(+)─ x
//!    │        └─ ffn ────────────────────────────────────────────│───┘
//!    └───────────────────────────────────────────────────────────┘
//! ```
//!
//! And some are single: what mixes tokens, or a feed-forward network, alone.
//!
//! What a family has of it and what not, and where its hyperparameters are, is in
//! the family's file.

use super::attention::{self, Attention};
use super::feed_forward::{self, FeedForward};
use super::latent::{self, Latents};
use super::ssm::{self, GroupNorms};
use super::{Config, Family, delta, keep, layer_input, short_conv};
use crate::backend::{Backend, Device, LayerInputs, Norm, Step};
use crate::error::ModelError;
use crate::tensors::Loader;
use kernels::recurrent::RecurrentShape;

/// Hyperparameters.
pub struct Decoder {
    pub config: Config,
    pub attention: Attention,
    /// What keys and values are made of, if they are all made of the same.
    pub latents: Option<Latents>,
    pub feed_forward: FeedForward,
    /// Whether what attention and the feed-forward network see is normed.
    pub pre_norms: bool,
    /// Whether what is added to the residual stream is normed.
    pub post_norms: bool,
    /// Whether the feed-forward network sees what attention sees.
    pub parallel: bool,
    /// Whether layers that mix tokens have no feed-forward network, and others nothing
    /// else.
    pub single: bool,
    /// How Mamba-2 norms its results.
    pub group_norms: GroupNorms,
    /// Whether the residual stream is multiplied with a number behind a layer, where
    /// the file has one.
    pub scaled: bool,
    /// What norms what the feed-forward network sees, if something does: the name of its
    /// tensors, without their endings.
    pub ffn_norm: &'static str,
}

/// A layer's weights.
pub struct Layer<D: Device> {
    attn_norm: Option<Norm<D>>,
    /// None, if it does not mix tokens; all see and add to the same.
    mixers: Vec<Mixer<D>>,
    attn_post_norm: Option<Norm<D>>,
    ffn_norm: Option<Norm<D>>,
    feed_forward: Option<feed_forward::Weights<D>>,
    ffn_post_norm: Option<Norm<D>>,
    input: Option<layer_input::Weights<D>>,
    scale: Option<D::Vector>,
}

/// What mixes tokens.
enum Mixer<D: Device> {
    Attention(attention::Weights<D>),
    Latent(latent::Weights<D>),
    Delta(delta::Weights<D>),
    Conv(short_conv::Weights<D>),
    Ssm(ssm::Weights<D>),
}

impl Decoder {
    /// Without norms of what is added, and with the usual names.
    pub fn new(config: Config, attention: Attention, feed_forward: FeedForward) -> Decoder {
        Decoder {
            group_norms: GroupNorms::all(config.norming),
            config,
            attention,
            latents: None,
            feed_forward,
            pre_norms: true,
            post_norms: false,
            parallel: false,
            single: false,
            scaled: false,
            ffn_norm: "ffn_norm",
        }
    }
}

impl Decoder {
    /// What a part of a layer sees of the residual stream, whose rows are so many:
    /// without a norm a copy, because it adds to the stream what it makes of it.
    fn normed<B: Backend>(
        &self,
        b: &mut B,
        x: &B::Tensor,
        norm: Option<&Norm<B::Device>>,
        rows: usize,
    ) -> B::Tensor {
        let Some(norm) = norm else {
            let all: Vec<usize> = (0..rows).collect();
            return b.select(x, &all);
        };
        let mut normed = b.tensor(rows, self.config.n_embd);
        b.norm(x, norm, &mut normed);
        normed
    }
}

impl Decoder {
    /// Finds the tensors of all that mixes tokens in layer `index`.
    fn load_mixers<D: Device>(
        &self,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Vec<Mixer<D>>, ModelError> {
        let config = &self.config;
        let mut mixers = Vec::new();
        if config.attends(index) {
            mixers.push(match &self.latents {
                Some(latents) => Mixer::Latent(latents.load(config, index, loader)?),
                None => Mixer::Attention(self.attention.load(config, index, loader)?),
            });
        }
        if let Some(shape) = config.recurrent_of(index) {
            mixers.push(match shape {
                RecurrentShape::Delta(shape) => {
                    Mixer::Delta(delta::load(config, shape, index, loader)?)
                }
                RecurrentShape::Conv(shape) => Mixer::Conv(short_conv::load(shape, index, loader)?),
                RecurrentShape::Ssm(shape) => {
                    let norms = &self.group_norms;
                    Mixer::Ssm(ssm::load(config, shape, norms, index, loader)?)
                }
            });
        }
        Ok(mixers)
    }

    /// `x += mixer(normed)`, of the rows that the step keeps, which are those of `x`;
    /// where there is a norm, of what is added.
    #[allow(clippy::too_many_arguments)] // weights, operands, and where they go
    fn mix<B: Backend>(
        &self,
        b: &mut B,
        index: usize,
        mixer: &Mixer<B::Device>,
        normed: &B::Tensor,
        post_norm: Option<&Norm<B::Device>>,
        step: &mut Step<'_>,
        x: &mut B::Tensor,
    ) {
        let Decoder {
            config, attention, ..
        } = self;
        match mixer {
            Mixer::Delta(weights) => delta::add(b, config, index, weights, normed, step, x),
            Mixer::Conv(weights) => short_conv::add(b, index, weights, normed, step, x),
            Mixer::Ssm(weights) => ssm::add(b, index, weights, normed, step, x),
            Mixer::Latent(weights) => {
                let latents = self.latents.as_ref().expect("the layer has latents");
                latents.add(b, attention, config, index, weights, normed, step, x);
            }
            Mixer::Attention(weights) => {
                attention.add(b, config, index, weights, normed, post_norm, step, x);
            }
        }
    }
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
        let Config {
            n_embd, norming, ..
        } = self.config;
        let norm = |name| norming.load(loader, &format!("blk.{index}.{name}"), n_embd);
        let norm_if = |is_there, name| match is_there {
            true => norm(name).map(Some),
            false => Ok(None),
        };
        let mixes = self.config.mixes(index);
        let feeds = !(self.single && mixes);
        Ok(Layer {
            attn_norm: norm_if(self.pre_norms && mixes, "attn_norm")?,
            mixers: self.load_mixers(index, loader)?,
            attn_post_norm: norm_if(self.post_norms, "post_attention_norm")?,
            ffn_norm: norm_if(self.pre_norms && !self.parallel && feeds, self.ffn_norm)?,
            feed_forward: match feeds {
                true => Some(self.feed_forward.load(index, loader)?),
                false => None,
            },
            ffn_post_norm: norm_if(self.post_norms, "post_ffw_norm")?,
            input: match self.config.layer_inputs {
                Some(width) => Some(layer_input::load(&self.config, width, index, loader)?),
                None => None,
            },
            scale: match self.scaled {
                true => {
                    let name = format!("blk.{index}.layer_output_scale.weight");
                    loader.optional_vector(&name, 1)?
                }
                false => None,
            },
        })
    }

    fn layer<B: Backend>(
        &self,
        b: &mut B,
        index: usize,
        layer: &Layer<B::Device>,
        inputs: Option<&LayerInputs<'_, B::Tensor>>,
        step: &mut Step<'_>,
        x: &mut B::Tensor,
    ) {
        let routed_by = match (self.feed_forward.routed_before, &step.kept) {
            (false, _) => None,
            (true, None) => Some(self.normed(b, x, None, step.rows())),
            (true, Some(kept)) => (!kept.is_empty()).then(|| b.select(x, kept)),
        };
        let mixes = !layer.mixers.is_empty();
        let mixed = mixes.then(|| self.normed(b, x, layer.attn_norm.as_ref(), step.rows()));
        // From here on, only the rows that are kept.
        let rows = keep(b, step, [&mut *x]);
        for (mixer, normed) in layer.mixers.iter().zip(mixed.iter().cycle()) {
            let post_norm = layer.attn_post_norm.as_ref();
            self.mix(b, index, mixer, normed, post_norm, step, x);
        }
        if rows == 0 {
            return;
        }
        if let Some(feed_forward) = &layer.feed_forward {
            let seen = mixed.filter(|_| self.parallel);
            let normed = match (seen, &step.kept) {
                (None, _) => self.normed(b, x, layer.ffn_norm.as_ref(), rows),
                (Some(normed), Some(kept)) => b.select(&normed, kept),
                (Some(normed), None) => normed,
            };
            let (routed_by, post_norm) = (routed_by.as_ref(), layer.ffn_post_norm.as_ref());
            self.feed_forward
                .add(b, feed_forward, &normed, routed_by, post_norm, rows, x);
        }
        if let (Some(weights), Some(inputs)) = (&layer.input, inputs) {
            layer_input::add(b, index, weights, inputs, step, x);
        }
        if let Some(scale) = &layer.scale {
            b.scale_by(x, scale);
        }
    }
}
