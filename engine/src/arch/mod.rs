//! Model families: one file and one line of the table each.
//!
//! A family reads its hyperparameters from the metadata, lists the tensors of a
//! layer, and says how a layer computes. Everything around the layers
//! (embedding, final norm, output) is common and lives in [`crate::model`].

mod apertus;
mod arcee;
mod attention;
mod bailing;
mod beside;
mod cohere;
mod decoder;
mod deepseek;
mod delta;
mod dense;
mod ernie;
mod exaone;
mod falcon;
mod feed_forward;
mod gemma;
mod gemma4;
mod glm;
mod gpt_oss;
mod granite;
mod hunyuan;
mod hyperparameters;
mod latent;
mod layer_input;
mod lfm;
mod linear;
mod llama;
mod mamba;
mod mimo;
mod minimax;
mod nemotron;
mod norm;
mod olmo;
mod phi;
mod qwen;
mod rope;
mod short_conv;
mod smallthinker;
mod ssm;
mod stablelm;
mod starcoder;
mod windows;

use crate::backend::{Backend, Device, LayerInputs, Step};
use crate::error::ModelError;
use crate::network::{Network, Runner};
use crate::tensors::{Loader, Tensors};
use decoder::Decoder;
use gguf::Metadata;
pub use hyperparameters::Hyperparameters;
use kernels::recurrent::RecurrentShape;
pub(crate) use linear::Linear;
pub use norm::Norming;
pub use windows::Windows;

/// Hyperparameters that every family has.
#[derive(Clone, Debug)]
pub struct Config {
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// Number of tokens in the vocabulary.
    pub n_vocab: usize,
    /// Longest context the model was trained for.
    pub context_length: usize,
    /// How it norms.
    pub norming: Norming,
    /// The heads of each layer.
    pub heads: Vec<Heads>,
    /// The layer whose keys and values each layer attends to: itself, unless it has
    /// none of its own.
    pub sources: Vec<usize>,
    /// Layers that attend only to what came shortly before.
    pub windows: Option<Windows>,
    /// Factor of the embeddings.
    pub embedding_scale: f32,
    /// What becomes of the output's products.
    pub logits: LogitScale,
    /// Layers that remember a state.
    pub recurrent: Option<RecurrentLayers>,
    /// Width of the embedding that tokens have for each layer alone, if they have one.
    pub layer_inputs: Option<usize>,
    /// What norms what the output sees: the name of its tensors, without their endings.
    pub output_norm: &'static str,
}

/// The heads of a layer that attends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads, each of which serves as many query heads; 0 of a layer that
    /// does not attend.
    pub n_head_kv: usize,
    /// Width of a key head.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
}

impl Heads {
    /// Of a layer that does not attend.
    pub const NONE: Heads = Heads {
        n_head: 0,
        n_head_kv: 0,
        head_dim_k: 0,
        head_dim_v: 0,
    };
}

/// What a layer keeps of the tokens that it has seen: nothing, if it attends to what
/// another layer keeps, or does not mix tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// Their keys and values.
    pub keys: Option<KeptKeys<'a>>,
    /// A state.
    pub state: Option<&'a RecurrentShape>,
}

/// Keys and values that a layer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptKeys<'a> {
    /// Of these heads.
    pub heads: &'a Heads,
    /// How many positions a token sees of them, its own included; `None`: all.
    pub window: Option<usize>,
}

/// Layers that remember a state instead of attending, or beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecurrentLayers {
    /// What they are.
    pub shape: RecurrentShape,
    /// Which layers are these.
    pub layers: Vec<bool>,
    /// Whether they attend, too.
    pub beside: bool,
}

/// What becomes of the output's products before they are logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitScale {
    /// Factor of them.
    pub factor: f32,
    /// What they stay below, in magnitude: `cap · tanh(x / cap)`.
    pub cap: Option<f32>,
}

impl LogitScale {
    /// They are the logits.
    pub const NONE: LogitScale = LogitScale {
        factor: 1.0,
        cap: None,
    };

    /// What becomes of one: the order of several stays. What is no number is none
    /// afterwards.
    pub fn apply(&self, product: f32) -> f32 {
        let scaled = product * self.factor;
        match self.cap {
            Some(cap) if scaled.is_finite() => cap * kernels::ops::tanh(scaled / cap),
            _ => scaled,
        }
    }
}

impl Config {
    /// Reads and checks them, of a model with RMS norms.
    fn from_file(keys: &Hyperparameters<'_, '_>, tensors: &Tensors) -> Result<Self, ModelError> {
        Config::with_norms(keys, tensors, Norming::rms_from_file(keys)?)
    }

    /// The same of a model with layer norms.
    fn with_layer_norms(
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
    ) -> Result<Self, ModelError> {
        let norming = Norming::layer_from_file(keys, tensors)?;
        Config::with_norms(keys, tensors, norming)
    }

    fn with_norms(
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
        norming: Norming,
    ) -> Result<Self, ModelError> {
        let n_head_kv = keys.optional("attention.head_count_kv", 0..=usize::MAX)?;
        Config::with_kv_heads(keys, tensors, norming, n_head_kv)
    }

    /// The same with so many key and value heads, as many as of queries if that is not
    /// known.
    fn with_kv_heads(
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
        norming: Norming,
        n_head_kv: Option<usize>,
    ) -> Result<Self, ModelError> {
        let n_embd = keys.require("embedding_length", 1..=MAX_WIDTH)?;
        let n_layer = keys.n_layer()?;
        let n_head = keys.require("attention.head_count", 1..=MAX_WIDTH)?;
        let n_head_kv = n_head_kv.unwrap_or(n_head);
        check_kv_heads(keys, n_head, n_head_kv)?;
        let head_dim_k = match keys.optional("attention.key_length", 1..=MAX_WIDTH / n_head)? {
            Some(found) => found,
            None if n_embd.is_multiple_of(n_head) => n_embd / n_head,
            None => {
                let key = keys.key("attention.head_count");
                let expected = format!("a divisor of the width {n_embd}");
                return Err(ModelError::value(&key, expected, n_head));
            }
        };
        let head_dim_v = keys
            .optional("attention.value_length", 1..=MAX_WIDTH / n_head)?
            .unwrap_or(head_dim_k);
        let heads = Heads {
            n_head,
            n_head_kv,
            head_dim_k,
            head_dim_v,
        };
        Config::with_heads(keys, tensors, norming, vec![heads; n_layer])
    }

    /// The same with a number of key and value heads for each layer: 0 of those that do
    /// not attend, and the same of all others.
    fn where_some_attend(
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
        norming: Norming,
    ) -> Result<Self, ModelError> {
        let counts = keys.each_layer("attention.head_count_kv", 0..=MAX_WIDTH)?;
        let mut attending = counts.iter().copied().filter(|&count| count > 0);
        let n_head_kv = attending.next();
        if attending.any(|count| Some(count) != n_head_kv) {
            let key = keys.key("attention.head_count_kv");
            let expected = "one value for all layers that attend";
            return Err(ModelError::value(&key, expected, format!("{counts:?}")));
        }
        let mut config = Config::with_kv_heads(keys, tensors, norming, n_head_kv)?;
        for (heads, count) in config.heads.iter_mut().zip(counts) {
            heads.n_head_kv = count;
        }
        Ok(config)
    }

    /// The same with the heads of each layer.
    fn with_heads(
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
        norming: Norming,
        heads: Vec<Heads>,
    ) -> Result<Self, ModelError> {
        let n_layer = heads.len();
        Ok(Config {
            n_embd: keys.require("embedding_length", 1..=MAX_WIDTH)?,
            n_layer,
            n_vocab: tensors.vocabulary_rows()?,
            context_length: keys.require("context_length", 1..=1 << 30)?,
            norming,
            heads,
            sources: (0..n_layer).collect(),
            windows: None,
            embedding_scale: 1.0,
            logits: LogitScale::NONE,
            recurrent: None,
            layer_inputs: None,
            output_norm: OUTPUT_NORM,
        })
    }

    /// Without the last layers of files whose models can predict further tokens by
    /// them: nothing else needs these.
    fn leave_out_further_layers(
        &mut self,
        keys: &Hyperparameters<'_, '_>,
        tensors: &Tensors,
    ) -> Result<(), ModelError> {
        let further = keys.optional("nextn_predict_layers", 0..=self.n_layer - 1)?;
        let all = self.n_layer;
        self.n_layer -= further.unwrap_or(0);
        (self.n_layer..all).for_each(|layer| tensors.know_layer(layer));
        self.heads.truncate(self.n_layer);
        self.sources.truncate(self.n_layer);
        Ok(())
    }

    /// What layer `index` is if it remembers a state.
    pub fn recurrent_of(&self, index: usize) -> Option<&RecurrentShape> {
        let recurrent = self.recurrent.as_ref();
        let recurrent = recurrent.filter(|recurrent| recurrent.layers[index]);
        recurrent.map(|recurrent| &recurrent.shape)
    }

    /// How many positions a token sees in layer `index`, its own included; `None`: all.
    pub fn window_of(&self, index: usize) -> Option<usize> {
        let windows = self.windows.as_ref();
        let windows = windows.filter(|windows| windows.layers[index]);
        windows.map(|windows| windows.positions)
    }

    /// What layer `index` keeps of the tokens that it has seen.
    pub fn kept_by(&self, index: usize) -> Kept<'_> {
        let has_keys = self.attends(index) && self.sources[index] == index;
        Kept {
            keys: has_keys.then(|| KeptKeys {
                heads: &self.heads[index],
                window: self.window_of(index),
            }),
            state: self.recurrent_of(index),
        }
    }

    /// Whether layer `index` mixes tokens.
    pub fn mixes(&self, index: usize) -> bool {
        self.attends(index) || self.recurrent_of(index).is_some()
    }

    /// Whether layer `index` attends.
    pub fn attends(&self, index: usize) -> bool {
        let beside = (self.recurrent.as_ref()).is_some_and(|recurrent| recurrent.beside);
        let may = beside || self.recurrent_of(index).is_none();
        may && self.heads[index].n_head_kv > 0
    }

    /// The most layers, of the first `count`, that can be on another device than those
    /// behind them: a layer is where the keys and values are that it attends to.
    pub fn cut_at_most(&self, count: usize) -> usize {
        let behind = |count: usize| self.sources.iter().skip(count);
        let is_cut = |count: &usize| behind(*count).all(|source| source >= count);
        // Before the first layer everything can be cut.
        (0..=count).rev().find(is_cut).unwrap_or(0)
    }
}

/// That keys have a number of heads that so many query heads can share.
fn check_kv_heads(
    keys: &Hyperparameters<'_, '_>,
    n_head: usize,
    n_head_kv: usize,
) -> Result<(), ModelError> {
    let expected = match n_head_kv {
        found if !(1..=n_head).contains(&found) => format!("1 to {n_head}"),
        found if !n_head.is_multiple_of(found) => format!("a divisor of {n_head} heads"),
        _ => return Ok(()),
    };
    let key = keys.key("attention.head_count_kv");
    Err(ModelError::value(&key, expected, n_head_kv))
}

/// A model family.
pub trait Family: Sized + Send + Sync + 'static {
    /// A layer's weights on a device.
    type Layer<D: Device>: Send + Sync;

    /// What every family has.
    fn config(&self) -> &Config;

    /// Finds and checks the tensors of layer `index`.
    fn load_layer<D: Device>(
        &self,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Self::Layer<D>, ModelError>;

    /// Takes the residual stream `x` through layer `index`, which may take `inputs`
    /// beside it. Afterwards `x` has the rows that the step keeps.
    fn layer<B: Backend>(
        &self,
        backend: &mut B,
        index: usize,
        layer: &Self::Layer<B::Device>,
        inputs: Option<&LayerInputs<'_, B::Tensor>>,
        step: &mut Step<'_>,
        x: &mut B::Tensor,
    );
}

/// The usual name of what norms what the output sees.
pub const OUTPUT_NORM: &str = "output_norm";

/// No model is wider, in its residual stream, its heads together or its
/// feed-forward network: what a step allocates stays within bounds.
pub const MAX_WIDTH: usize = 1 << 18;

/// Leaves the rows of tensors that the step keeps, and says how many those are; if there are
/// none, tensors stay as they are.
fn keep<B: Backend, const N: usize>(
    b: &mut B,
    step: &Step<'_>,
    tensors: [&mut B::Tensor; N],
) -> usize {
    let rows = step.rows_kept();
    if let Some(kept) = step.kept.as_ref().filter(|_| rows > 0) {
        for tensor in tensors {
            *tensor = b.select(tensor, kept);
        }
    }
    rows
}

/// Reads and checks a family's hyperparameters.
type FromFile = fn(&Hyperparameters<'_, '_>, &Tensors) -> Result<Decoder, ModelError>;

/// The family table: `general.architecture` and what reads it.
static FAMILIES: &[(&str, FromFile)] = &[
    ("apertus", apertus::from_file),
    ("arcee", arcee::from_file),
    ("bailingmoe", deepseek::first),
    ("bailingmoe2", bailing::second),
    ("cohere2", cohere::second),
    ("command-r", cohere::first),
    ("deepseek", deepseek::first),
    ("deepseek2", deepseek::second),
    ("dots1", bailing::dots),
    ("ernie4_5", llama::from_file),
    ("ernie4_5-moe", ernie::experts),
    ("exaone4", exaone::fourth),
    ("falcon-h1", falcon::first_hybrid),
    ("gemma", gemma::first),
    ("gemma2", gemma::second),
    ("gemma3", gemma::third),
    ("gemma4", gemma4::from_file),
    ("glm4", glm::fourth),
    ("glm4moe", glm::fourth_experts),
    ("gpt-oss", gpt_oss::from_file),
    ("granite", granite::from_file),
    ("granitehybrid", granite::hybrid),
    ("granitemoe", granite::experts),
    ("hunyuan-dense", hunyuan::dense),
    ("hunyuan-moe", hunyuan::experts),
    ("internlm2", llama::from_file),
    ("lfm2", lfm::second),
    ("lfm2moe", lfm::second_experts),
    ("llama", llama::from_file),
    ("mamba2", mamba::second),
    ("mimo2", mimo::second),
    ("minicpm", granite::minicpm),
    ("minimax-m2", minimax::second),
    ("mistral3", llama::mistral_third),
    ("nemotron_h", nemotron::hybrid),
    ("nemotron_h_moe", nemotron::hybrid_experts),
    ("olmo2", olmo::second),
    ("olmoe", olmo::experts),
    ("phi2", phi::second),
    ("phi3", phi::third),
    ("qwen2", qwen::second),
    ("qwen2moe", qwen::second_experts),
    ("qwen2vl", qwen::second_seeing),
    ("qwen3", qwen::third),
    ("qwen35", qwen::third_and_a_half),
    ("qwen35moe", qwen::third_and_a_half_experts),
    ("qwen3moe", qwen::third_experts),
    ("qwen3next", qwen::next),
    ("qwen3vl", qwen::third_seeing),
    ("qwen3vlmoe", qwen::third_seeing_experts),
    ("seed_oss", qwen::seed_oss),
    ("smallthinker", smallthinker::from_file),
    ("smollm3", llama::smol_third),
    ("stablelm", stablelm::from_file),
    ("starcoder2", starcoder::second),
];

/// Makes the network that the file describes.
pub fn network(metadata: &Metadata<'_>, tensors: &Tensors) -> Result<Box<dyn Network>, ModelError> {
    let found = metadata.require_str("general.architecture")?;
    match FAMILIES.iter().find(|(name, _)| *name == found) {
        Some((_, from_file)) => {
            let decoder = from_file(&Hyperparameters::new(metadata)?, tensors)?;
            Ok(Box::new(Runner::new(decoder, tensors)?))
        }
        None => Err(ModelError::Architecture {
            found: found.to_owned(),
            known: FAMILIES
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}
