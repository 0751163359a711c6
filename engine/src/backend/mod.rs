//! What model families are written against.
//!
//! A [`Device`] holds weights, a [`Backend`] computes with them: some ten
//! operations on activations `[tokens, width]`. Families call nothing else, and
//! a backend never names a family. Dispatch is static within a layer; which
//! backend computes a layer is decided once per layer, outside.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(not(feature = "gpu"))]
#[path = "gpu_absent.rs"]
pub mod gpu;
pub mod profile;

use crate::cache::KvCache;
use crate::mapping::Bytes;
use crate::tensors::Vector;
use kernels::Format;
use kernels::ops::{NormKind, Rope, Xielu};
use kernels::recurrent::{ConvShape, DeltaShape, SsmShape};
use std::ops::Range;

/// Holds weights.
pub trait Device {
    /// A weight matrix `[outputs, inputs]`, or several stacked.
    type Matrix: Send + Sync;
    /// A vector of parameters.
    type Vector: Send + Sync;

    /// Places a matrix of `rows` by `cols`; `bytes` has exactly that shape.
    fn matrix(&self, format: Format, rows: usize, cols: usize, bytes: Bytes) -> Self::Matrix;

    /// Places matrices of `cols` inputs that are always multiplied with the same
    /// activations, in this order.
    fn siblings(&self, cols: usize, matrices: Vec<Sibling>) -> Vec<Self::Matrix> {
        let place = |each: Sibling| self.matrix(each.format, each.rows, cols, each.bytes);
        matrices.into_iter().map(place).collect()
    }

    /// Places a vector.
    fn vector(&self, vector: Vector) -> Self::Vector;
}

/// A matrix to be placed with others.
pub struct Sibling {
    /// The format of its weights.
    pub format: Format,
    /// Its outputs.
    pub rows: usize,
    /// Its weights: exactly that many rows.
    pub bytes: Bytes,
}

/// A norm of rows, or of pieces that lie in them side by side, such as heads.
pub struct Norm<D: Device> {
    /// What they are divided by.
    pub kind: NormKind,
    /// Epsilon.
    pub eps: f32,
    /// Values that are normed together.
    pub width: usize,
    /// Their factors: the same for all pieces, or one piece's after the other.
    pub weight: D::Vector,
    /// What is added to them afterwards, if anything is.
    pub bias: Option<D::Vector>,
}

/// Consecutive tokens of one sequence in a step.
pub struct Rows<'a> {
    /// The sequence's cache.
    pub cache: &'a mut KvCache,
    /// Which rows of the step's activations are its tokens.
    pub rows: Range<usize>,
    /// Position of the first of them.
    pub position: usize,
}

/// The tokens that go through the model together.
pub struct Step<'a> {
    /// The sequences; their rows follow each other and cover all.
    pub sequences: Vec<Rows<'a>>,
    /// Position of every row's token in its sequence.
    pub positions: Vec<usize>,
    /// The rows that a layer hands on, if not all: of the others nothing is read
    /// but their keys and values.
    pub kept: Option<Vec<usize>>,
}

/// Consecutive tokens of one sequence whose queries attend.
#[derive(Debug, PartialEq)]
pub struct Queries {
    /// Which of the step's sequences.
    pub sequence: usize,
    /// Which of the rows that the layer hands on.
    pub rows: Range<usize>,
    /// Position of the first of them.
    pub position: usize,
}

impl Step<'_> {
    /// Number of tokens: rows of the activations.
    pub fn rows(&self) -> usize {
        self.positions.len()
    }

    /// Number of rows that a layer hands on.
    pub fn rows_kept(&self) -> usize {
        self.kept.as_ref().map_or(self.rows(), Vec::len)
    }

    /// The queries of the rows that a layer hands on, in their order, as many together
    /// as follow one another.
    pub fn queries(&self) -> Vec<Queries> {
        let Some(kept) = &self.kept else {
            let sequences = self.sequences.iter().enumerate();
            let all = sequences.map(|(sequence, each)| Queries {
                sequence,
                rows: each.rows.clone(),
                position: each.position,
            });
            return all.collect();
        };
        let mut found: Vec<Queries> = Vec::new();
        for (index, &row) in kept.iter().enumerate() {
            let of_row = |each: &Rows<'_>| each.rows.contains(&row);
            let sequence = self.sequences.iter().position(of_row);
            let sequence = sequence.expect("the sequences cover all rows");
            let position = self.positions[row];
            match found.last_mut() {
                Some(last)
                    if last.sequence == sequence && last.position + last.rows.len() == position =>
                {
                    last.rows.end += 1;
                }
                _ => found.push(Queries {
                    sequence,
                    rows: index..index + 1,
                    position,
                }),
            }
        }
        found
    }
}

/// What layers take of the tokens beside the residual stream, where they do.
pub struct LayerInputs<'a, T> {
    /// `[tokens · layers, width]`.
    pub values: &'a T,
    /// Number of layers.
    pub layers: usize,
    /// Width of what each takes.
    pub width: usize,
}

/// One product of a call to [`Backend::matmul`].
pub struct Product<'a, B: Backend + ?Sized> {
    /// The weights.
    pub weight: &'a <B::Device as Device>::Matrix,
    /// Added to the product.
    pub bias: Option<&'a <B::Device as Device>::Vector>,
    /// Where it goes.
    pub out: &'a mut B::Tensor,
}

/// How queries meet keys.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads; each serves `n_head / n_head_kv` query heads.
    pub n_head_kv: usize,
    /// Width of a query or key head.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// How many positions a token sees, its own included; `None`: all.
    pub window: Option<usize>,
    /// What scores stay below, in magnitude: `cap · tanh(score / cap)`.
    pub cap: Option<f32>,
}

/// What the gates of a feed-forward network go through, or what would be gated if it has
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(−x))`.
    Silu,
    /// The form of GELU with tanh.
    Gelu,
    /// The limited gate of gpt-oss: see `kernels::ops::limited_mul`.
    Limited,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    ReluSquared,
}

impl Activation {
    /// All there are.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    pub const ALL: [Activation; 5] = [
        Activation::Silu,
        Activation::Gelu,
        Activation::Limited,
        Activation::Relu,
        Activation::ReluSquared,
    ];
}

/// How the heads of queries and keys meet: they are normed, if the model does that, and
/// turned to their positions, if the layer does that.
pub struct QueriesAndKeys<'a, B: Backend + ?Sized> {
    /// The norms.
    pub norms: Option<HeadNorms<'a, B>>,
    /// How heads turn.
    pub rope: Option<&'a Rope>,
    /// For each head of queries a score that takes its share of the softmax and adds
    /// nothing.
    pub sinks: Option<&'a <B::Device as Device>::Vector>,
}

/// Norms of every head, or of all heads of a token together.
pub struct HeadNorms<'a, B: Backend + ?Sized> {
    /// Of queries.
    pub q: &'a Norm<B::Device>,
    /// Of keys, of layers that append some.
    pub k: Option<&'a Norm<B::Device>>,
    /// Whether heads are normed after they have turned, rather than before.
    pub after_turn: bool,
}

/// A layer's experts.
pub struct Experts<'a, B: Backend + ?Sized> {
    /// Scores of the experts, `[experts, width]`.
    pub router: &'a <B::Device as Device>::Matrix,
    /// What it sees, if not what the experts see.
    pub router_input: Option<&'a B::Tensor>,
    /// How scores choose experts and weigh them.
    pub routing: Routing,
    /// For each expert what is added where it is chosen, and not where it is weighted;
    /// none if scores choose as they are.
    pub selection_bias: Option<&'a <B::Device as Device>::Vector>,
    /// All gate matrices, if there are gates.
    pub gate: Option<Stack<'a, B>>,
    /// All up matrices.
    pub up: Stack<'a, B>,
    /// All down matrices.
    pub down: Stack<'a, B>,
    /// Number of experts.
    pub count: usize,
    /// How many each token uses.
    pub used: usize,
    /// What gates go through.
    pub activation: Activation,
    /// What is added to the products, if anything is.
    pub biases: Option<ExpertBiases<'a, B>>,
    /// For each expert a factor of what it makes, if there are any.
    pub factors: Option<&'a <B::Device as Device>::Vector>,
    /// Whether what all make is added to what was there.
    pub adds: bool,
}

/// A matrix of every expert, one after the other in one tensor, which may hold more of
/// each.
pub struct Stack<'a, B: Backend + ?Sized> {
    /// The tensor.
    pub matrix: &'a <B::Device as Device>::Matrix,
    /// The matrix's rows among those of an expert.
    pub rows: Range<usize>,
}

/// How the scores of experts choose some and weigh them: those with the highest values
/// are chosen, and their values are their weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routing {
    /// What makes values of scores.
    pub gating: Gating,
    /// Whether a token's weights are divided by their sum, or by [`MIN_WEIGHT_SUM`] if
    /// that is more.
    pub normalized: bool,
    /// Factor of the weights.
    pub scale: f32,
    /// Of which experts those are chosen, if not of all.
    pub groups: Option<ExpertGroups>,
}

/// Experts in groups of equal size, of which a token uses some: those whose two
/// highest values, as they count for choosing, add up to the most. Of equals the first
/// are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertGroups {
    /// Number of groups, up to [`MOST_GROUPS`].
    pub count: usize,
    /// How many each token uses.
    pub used: usize,
}

/// Groups of experts there can be: a bit each.
pub const MOST_GROUPS: usize = 32;

/// What makes values of the scores of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gating {
    /// They choose as they are, and weigh through the softmax of those that are chosen.
    Chosen,
    /// The softmax of all.
    Softmax,
    /// The sigmoid of each.
    Sigmoid,
}

/// What weights are divided by at least: the least normal number of f16.
pub const MIN_WEIGHT_SUM: f32 = 1.0 / 16384.0;

/// What is added to the products of experts.
pub struct ExpertBiases<'a, B: Backend + ?Sized> {
    /// To the scores.
    pub router: &'a <B::Device as Device>::Vector,
    /// To all gates, one expert after the other.
    pub gate: &'a <B::Device as Device>::Vector,
    /// To what they gate.
    pub up: &'a <B::Device as Device>::Vector,
    /// To the outputs.
    pub down: &'a <B::Device as Device>::Vector,
}

/// What a layer of Gated DeltaNet has beside its products.
pub struct DeltaWeights<'a, B: Backend + ?Sized> {
    /// The convolution, `[inputs, channels]`.
    pub conv: &'a <B::Device as Device>::Vector,
    /// Factor of each head's decay.
    pub a: &'a <B::Device as Device>::Vector,
    /// Added to what decays follow from.
    pub bias: &'a <B::Device as Device>::Vector,
    /// Epsilon of the norms of queries and keys.
    pub eps: f32,
}

/// What products make of the tokens for a layer of Gated DeltaNet.
pub struct DeltaInputs<'a, B: Backend + ?Sized> {
    /// Queries, keys and values, before the convolution.
    pub qkv: &'a B::Tensor,
    /// What the decays follow from, `[tokens, heads]`.
    pub alpha: &'a B::Tensor,
    /// How far memory is corrected, `[tokens, heads]`.
    pub beta: &'a B::Tensor,
}

/// What a layer of Mamba-2 has beside its products.
pub struct SsmWeights<'a, B: Backend + ?Sized> {
    /// The convolution, `[inputs, channels]`.
    pub conv: &'a <B::Device as Device>::Vector,
    /// Added to what it makes, if anything is.
    pub conv_bias: Option<&'a <B::Device as Device>::Vector>,
    /// Factor of each head's decay.
    pub a: &'a <B::Device as Device>::Vector,
    /// Added to each head's step.
    pub dt_bias: &'a <B::Device as Device>::Vector,
    /// How much of its input each head lets through.
    pub d: &'a <B::Device as Device>::Vector,
}

/// What products make of the tokens for a layer of Mamba-2.
pub struct SsmInputs<'a, B: Backend + ?Sized> {
    /// Heads, and the groups of B and C, before the convolution.
    pub x: &'a B::Tensor,
    /// What steps and decays follow from, `[tokens, heads]`.
    pub steps: &'a B::Tensor,
}

/// Computes.
pub trait Backend {
    /// Where the weights are.
    type Device: Device;
    /// Activations `[tokens, width]`.
    type Tensor;

    /// Activations `[rows, width]` with any contents.
    fn tensor(&mut self, rows: usize, width: usize) -> Self::Tensor;

    /// Activations with these values, rows of `width`.
    fn write(&mut self, values: &[f32], width: usize) -> Self::Tensor;

    /// The rows of `table` that belong to `tokens`.
    fn embed(&mut self, table: &<Self::Device as Device>::Matrix, tokens: &[u32]) -> Self::Tensor;

    /// The given rows of `x`.
    fn select(&mut self, x: &Self::Tensor, rows: &[usize]) -> Self::Tensor;

    /// Copies activations to memory.
    fn read(&mut self, x: &Self::Tensor, out: &mut Vec<f32>);

    /// The `count` highest values of each row, with their columns, in no order:
    /// `[rows, min(count, width)]`. Of equals the lower columns count; what is
    /// no number counts as the highest.
    fn highest(&mut self, x: &Self::Tensor, count: usize, out: &mut Vec<(u32, f32)>);

    /// `out = norm(x)`.
    fn norm(&mut self, x: &Self::Tensor, norm: &Norm<Self::Device>, out: &mut Self::Tensor);

    /// `sum += norm(x)`.
    fn norm_add(&mut self, x: &Self::Tensor, norm: &Norm<Self::Device>, sum: &mut Self::Tensor);

    /// `out = x·wᵀ (+ bias)` for each product; all share `x`.
    fn matmul(&mut self, x: &Self::Tensor, products: &mut [Product<'_, Self>]);

    /// `sum += x·wᵀ (+ bias)`: the residual.
    fn matmul_add(
        &mut self,
        x: &Self::Tensor,
        weight: &<Self::Device as Device>::Matrix,
        bias: Option<&<Self::Device as Device>::Vector>,
        sum: &mut Self::Tensor,
    );

    /// Norms the heads of `q` and of the keys `new` and turns them to their token's
    /// position, as `prepared` says, appends the keys and values `new` to the cache
    /// that layer `cache` has of each sequence, and lets every token's queries
    /// attend to its own sequence up to itself. Without `new`, that layer has appended
    /// the tokens' keys and values before. Of the tokens whose rows the step
    /// does not keep, keys and values are appended and nothing else is computed:
    /// `out` has the rows that it keeps. What `q` and the keys hold afterwards means
    /// nothing.
    #[allow(clippy::too_many_arguments)] // the operation has these operands
    fn attention(
        &mut self,
        cache: usize,
        shape: &AttentionShape,
        prepared: &QueriesAndKeys<'_, Self>,
        q: &mut Self::Tensor,
        new: Option<(&mut Self::Tensor, &Self::Tensor)>,
        step: &mut Step<'_>,
        out: &mut Self::Tensor,
    );

    /// The same values in rows of another width.
    fn in_rows_of(&mut self, x: Self::Tensor, width: usize) -> Self::Tensor;

    /// Cuts every row into pieces, which go to the two in turn and are as wide as
    /// each of them takes.
    fn deal(
        &mut self,
        x: &Self::Tensor,
        widths: [usize; 2],
        first: &mut Self::Tensor,
        second: &mut Self::Tensor,
    );

    /// Puts every row together from pieces of the two in turn, which are so wide.
    fn join(
        &mut self,
        first: &Self::Tensor,
        second: &Self::Tensor,
        widths: [usize; 2],
        out: &mut Self::Tensor,
    );

    /// `out = x·wᵀ`, rows being the heads of one token after the other and `w` the
    /// matrix of the row's head; `weight` has one for each.
    fn head_products(
        &mut self,
        x: &Self::Tensor,
        weight: &<Self::Device as Device>::Matrix,
        heads: usize,
        out: &mut Self::Tensor,
    );

    /// `x = x · sigmoid(gate)`.
    fn sigmoid_mul(&mut self, x: &mut Self::Tensor, gate: &Self::Tensor);

    /// Multiplies every row with its factor.
    fn scale_rows(&mut self, x: &mut Self::Tensor, factors: &[f32]);

    /// Multiplies all values with one parameter.
    fn scale_by(&mut self, x: &mut Self::Tensor, factor: &<Self::Device as Device>::Vector);

    /// Multiplies every row with the sigmoid of its gate, `[rows, 1]`.
    fn sigmoid_rows(&mut self, x: &mut Self::Tensor, gates: &Self::Tensor);

    /// `x = x · y`, value by value.
    fn mul(&mut self, x: &mut Self::Tensor, y: &Self::Tensor);

    /// Takes every sequence's tokens through the convolution of a layer: see
    /// [`kernels::recurrent::short_conv`].
    fn short_conv(
        &mut self,
        layer: usize,
        shape: &ConvShape,
        weights: &<Self::Device as Device>::Vector,
        x: &Self::Tensor,
        step: &mut Step<'_>,
        out: &mut Self::Tensor,
    );

    /// Takes every sequence's tokens through a layer of Gated DeltaNet: see
    /// [`kernels::recurrent::delta_net`].
    fn delta_net(
        &mut self,
        layer: usize,
        shape: &DeltaShape,
        weights: &DeltaWeights<'_, Self>,
        inputs: &DeltaInputs<'_, Self>,
        step: &mut Step<'_>,
        out: &mut Self::Tensor,
    );

    /// Takes every sequence's tokens through a layer of Mamba-2: see
    /// [`kernels::recurrent::ssm`].
    fn ssm(
        &mut self,
        layer: usize,
        shape: &SsmShape,
        weights: &SsmWeights<'_, Self>,
        inputs: &SsmInputs<'_, Self>,
        step: &mut Step<'_>,
        out: &mut Self::Tensor,
    );

    /// `gate = activation(x·gateᵀ) · x·upᵀ`, with the biases they have. What the
    /// second product's tensor holds afterwards means nothing.
    fn gate_up(
        &mut self,
        x: &Self::Tensor,
        activation: Activation,
        gate: Product<'_, Self>,
        up: Product<'_, Self>,
    ) {
        let mut products = [gate, up];
        self.matmul(x, &mut products);
        let [gate, up] = products;
        self.gate_mul(activation, gate.out, up.out);
    }

    /// `gate = activation(gate) · up`.
    fn gate_mul(&mut self, activation: Activation, gate: &mut Self::Tensor, up: &Self::Tensor);

    /// `x = activation(x)`.
    fn activate(&mut self, activation: Activation, x: &mut Self::Tensor);

    /// `x = xielu(x)`: see [`kernels::ops::xielu`].
    fn xielu(&mut self, x: &mut Self::Tensor, parameters: &Xielu);

    /// `sum += Σ weight_e · down_e(activation(gate_e(x)) · up_e(x))` over the experts
    /// that the routing chooses; without gates, it is `activation(up_e(x))`. Of equals the
    /// first are. Without [`Experts::adds`],
    /// what was there is overwritten.
    fn experts(&mut self, x: &Self::Tensor, experts: &Experts<'_, Self>, sum: &mut Self::Tensor);
}
