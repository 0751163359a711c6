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
//! What a family has of it and what not, and where its hyperparameters are, is in
//! the family's file.

use super::attention::{self, Attention};
use super::feed_forward::{self, FeedForward};
use super::latent::{self, Latents};
use super::{Config, Family, delta, layer_input, short_conv};
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
    mixer: Mixer<D>,
    attn_post_norm: Option<Norm<D>>,
    ffn_norm: Option<Norm<D>>,
    feed_forward: feed_forward::Weights<D>,
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
}

impl Decoder {
    /// Without norms of what is added, and with the usual names.
    pub fn new(config: Config, attention: Attention, feed_forward: FeedForward) -> Decoder {
        Decoder {
            config,
            attention,
            latents: None,
            feed_forward,
            pre_norms: true,
            post_norms: false,
            parallel: false,
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
        Ok(Layer {
            attn_norm: norm_if(self.pre_norms, "attn_norm")?,
            mixer: match self.config.recurrent_of(index) {
                Some(RecurrentShape::Delta(shape)) => {
                    Mixer::Delta(delta::load(&self.config, shape, index, loader)?)
                }
                Some(RecurrentShape::Conv(shape)) => {
                    Mixer::Conv(short_conv::load(shape, index, loader)?)
                }
                None => match &self.latents {
                    Some(latents) => Mixer::Latent(latents.load(&self.config, index, loader)?),
                    None => Mixer::Attention(self.attention.load(&self.config, index, loader)?),
                },
            },
            attn_post_norm: norm_if(self.post_norms, "post_attention_norm")?,
            ffn_norm: norm_if(self.pre_norms && !self.parallel, self.ffn_norm)?,
            feed_forward: self.feed_forward.load(index, loader)?,
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
        let normed = self.normed(b, x, layer.attn_norm.as_ref(), step.rows());
        let routed_by = match (self.feed_forward.routed_before, &step.kept) {
            (false, _) => None,
            (true, None) => Some(self.normed(b, x, None, step.rows())),
            (true, Some(kept)) => (!kept.is_empty()).then(|| b.select(x, kept)),
        };
        match &layer.mixer {
            Mixer::Delta(weights) => {
                delta::add(b, &self.config, index, weights, &normed, step, x);
            }
            Mixer::Conv(weights) => {
                short_conv::add(b, index, weights, &normed, step, x);
            }
            Mixer::Latent(weights) => {
                let latents = self.latents.as_ref().expect("the layer has latents");
                let Decoder {
                    attention, config, ..
                } = self;
                latents.add(b, attention, config, index, weights, &normed, step, x);
            }
            Mixer::Attention(weights) => {
                let post_norm = layer.attn_post_norm.as_ref();
                self.attention
                    .add(b, &self.config, index, weights, &normed, post_norm, step, x);
            }
        }
        // From here on, only the rows that are kept.
        let rows = step.rows_kept();
        if rows == 0 {
            return;
        }
        let normed = match (self.parallel, &step.kept) {
            (false, _) => self.normed(b, x, layer.ffn_norm.as_ref(), rows),
            (true, Some(kept)) => b.select(&normed, kept),
            (true, None) => normed,
        };
        let post_norm = layer.ffn_post_norm.as_ref();
        let (weights, routed_by) = (&layer.feed_forward, routed_by.as_ref());
        self.feed_forward
            .add(b, weights, &normed, routed_by, post_norm, rows, x);
        if let (Some(weights), Some(inputs)) = (&layer.input, inputs) {
            layer_input::add(b, index, weights, inputs, step, x);
        }
        if let Some(scale) = &layer.scale {
            b.scale_by(x, scale);
        }
    }
}
