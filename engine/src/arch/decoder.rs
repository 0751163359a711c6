//! The layer that most families share.
//!
//! ```text
//! x ─┬─ norm ─ q,k,v ─ norm, rope (q,k) ─ attention ─ output ─ norm ─(+)─┬─ norm ─ ffn ─ norm ─(+)─ x
//!    └──────────────────────────────────────────────────────────────────┘ └────────────────────┘
//! ```
//!
//! What a family has of it and what not, and where its hyperparameters are, is in
//! the family's file. All norms are RMS norms.

use super::attention::{self, Attention};
use super::feed_forward::{self, FeedForward};
use super::latent::{self, Latents};
use super::linear::Norm;
use super::{Config, Family, delta, layer_input, short_conv};
use crate::backend::{Backend, Device, LayerInputs, Step};
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
    /// Whether the residual stream is multiplied with a number behind a layer, where
    /// the file has one.
    pub scaled: bool,
    /// The tensor that norms what the feed-forward network sees, if one does.
    pub ffn_norm: &'static str,
}

/// A layer's weights.
pub struct Layer<D: Device> {
    attn_norm: Option<D::Vector>,
    mixer: Mixer<D>,
    attn_post_norm: Option<D::Vector>,
    ffn_norm: Option<D::Vector>,
    feed_forward: feed_forward::Weights<D>,
    ffn_post_norm: Option<D::Vector>,
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
            scaled: false,
            ffn_norm: "ffn_norm.weight",
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
        norm: Option<&<B::Device as Device>::Vector>,
        rows: usize,
    ) -> B::Tensor {
        let Some(weight) = norm else {
            let all: Vec<usize> = (0..rows).collect();
            return b.select(x, &all);
        };
        let mut normed = b.tensor(rows, self.config.n_embd);
        b.rms_norm(x, weight, self.config.norm_eps, &mut normed);
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
        let norm = |name| loader.vector(&format!("blk.{index}.{name}"), self.config.n_embd);
        let norm_if = |is_there, name| match is_there {
            true => norm(name).map(Some),
            false => Ok(None),
        };
        Ok(Layer {
            attn_norm: norm_if(self.pre_norms, "attn_norm.weight")?,
            mixer: match self.config.recurrent_of(index) {
                Some(RecurrentShape::Delta(shape)) => {
                    Mixer::Delta(delta::load(&self.config, shape, index, loader)?)
                }
                Some(RecurrentShape::Conv(shape)) => {
                    Mixer::Conv(short_conv::load(shape, index, loader)?)
                }
                None => match &self.latents {
                    Some(latents) => {
                        Mixer::Latent(latents.load(self.config.n_embd, index, loader)?)
                    }
                    None => Mixer::Attention(self.attention.load(&self.config, index, loader)?),
                },
            },
            attn_post_norm: norm_if(self.post_norms, "post_attention_norm.weight")?,
            ffn_norm: norm_if(self.pre_norms, self.ffn_norm)?,
            feed_forward: self.feed_forward.load(index, loader)?,
            ffn_post_norm: norm_if(self.post_norms, "post_ffw_norm.weight")?,
            input: match self.config.layer_inputs {
                Some(width) => Some(layer_input::load(self.config.n_embd, width, index, loader)?),
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
        let norm = |weight| Norm {
            weight,
            eps: self.config.norm_eps,
            width: self.config.n_embd,
        };
        let normed = self.normed(b, x, layer.attn_norm.as_ref(), step.rows());
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
                let post_norm = layer.attn_post_norm.as_ref().map(norm);
                self.attention
                    .add(b, &self.config, index, weights, &normed, post_norm, step, x);
            }
        }
        // From here on, only the rows that are kept.
        let rows = step.rows_kept();
        if rows == 0 {
            return;
        }
        let normed = self.normed(b, x, layer.ffn_norm.as_ref(), rows);
        let post_norm = layer.ffn_post_norm.as_ref().map(norm);
        self.feed_forward
            .add(b, &layer.feed_forward, &normed, post_norm, rows, x);
        if let (Some(weights), Some(inputs)) = (&layer.input, inputs) {
            let Config {
                n_embd, norm_eps, ..
            } = self.config;
            layer_input::add(b, index, weights, inputs, (norm_eps, n_embd), step, x);
        }
        if let Some(scale) = &layer.scale {
            b.scale_by(x, scale);
        }
    }
}
