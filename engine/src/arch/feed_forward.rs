//! The feed-forward network of a layer: gated, dense or a mixture of experts.

use super::linear::{Linear, Norm};
use super::{Hyperparameters, MAX_WIDTH};
use crate::backend::{Activation, Backend, Device, ExpertBiases, Experts};
use crate::error::ModelError;
use crate::tensors::Loader;

/// Its hyperparameters.
pub struct FeedForward {
    n_embd: usize,
    n_ff: usize,
    /// Widths of the layers, if they differ.
    widths: Option<Vec<usize>>,
    /// Experts and how many each token uses.
    experts: Option<(usize, usize)>,
    /// What gates go through.
    pub activation: Activation,
    /// Whether the rows of gate and up lie one after the other in one tensor, `ffn_up`.
    pub stacked: bool,
    /// Whether experts and their router have biases.
    pub expert_biases: bool,
    /// Width of the expert that all tokens use beside those.
    pub shared: Option<usize>,
}

/// Its weights in a layer.
pub enum Weights<D: Device> {
    /// One network for all tokens.
    Dense {
        n_ff: usize,
        gate: Linear<D>,
        up: Linear<D>,
        down: Linear<D>,
    },
    /// Networks of which each token uses some.
    Experts {
        router: D::Matrix,
        gate: D::Matrix,
        up: D::Matrix,
        down: D::Matrix,
        /// Of the router, and of gate, up and down.
        biases: Option<[D::Vector; 4]>,
        shared: Option<Shared<D>>,
    },
}

/// An expert that all tokens use, each as far as its switch says.
pub struct Shared<D: Device> {
    width: usize,
    gate: Linear<D>,
    up: Linear<D>,
    switch: Linear<D>,
    down: Linear<D>,
}

impl FeedForward {
    /// The same for all tokens.
    pub fn dense(keys: &Hyperparameters<'_, '_>, n_embd: usize) -> Result<Self, ModelError> {
        let n_ff = keys.require("feed_forward_length", 1..=MAX_WIDTH)?;
        Ok(FeedForward::new(n_embd, n_ff, None))
    }

    /// The same for all tokens, in each layer as wide as this says.
    pub fn of_widths(n_embd: usize, widths: Vec<usize>) -> Self {
        let n_ff = widths.iter().copied().max().unwrap_or(0);
        FeedForward {
            widths: Some(widths),
            ..FeedForward::new(n_embd, n_ff, None)
        }
    }

    /// Experts whose width is what the key `length` says, as far as there are any.
    pub fn with_experts(
        keys: &Hyperparameters<'_, '_>,
        n_embd: usize,
        length: &str,
    ) -> Result<Self, ModelError> {
        match keys.optional("expert_count", 0..=4096)? {
            None | Some(0) => FeedForward::dense(keys, n_embd),
            Some(count) => {
                let n_ff = keys.require(length, 1..=MAX_WIDTH)?;
                let used = keys.require("expert_used_count", 1..=count)?;
                Ok(FeedForward::new(n_embd, n_ff, Some((count, used))))
            }
        }
    }

    fn new(n_embd: usize, n_ff: usize, experts: Option<(usize, usize)>) -> Self {
        FeedForward {
            n_embd,
            n_ff,
            widths: None,
            experts,
            activation: Activation::Silu,
            stacked: false,
            expert_biases: false,
            shared: None,
        }
    }

    /// Finds the tensors of layer `index`.
    pub fn load<D: Device>(
        &self,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Weights<D>, ModelError> {
        let FeedForward { n_embd, n_ff, .. } = *self;
        let name = |tensor: &str| format!("blk.{index}.{tensor}");
        let Some((count, _)) = self.experts else {
            let n_ff = self.widths.as_ref().map_or(n_ff, |widths| widths[index]);
            let names = [(&*name("ffn_gate"), n_ff), (&*name("ffn_up"), n_ff)];
            let [gate, up] = match self.stacked {
                true => Linear::load_stacked(loader, &name("ffn_up"), [n_ff; 2], n_embd)?,
                false => Linear::load_siblings(loader, names, n_embd)?,
            };
            let down = Linear::load(loader, &name("ffn_down"), n_embd, n_ff)?;
            return Ok(Weights::Dense {
                n_ff,
                gate,
                up,
                down,
            });
        };
        let bias = |tensor, rows| loader.vector_of(&name(tensor), &[rows, count]);
        let biases = match self.expert_biases {
            true => Some([
                loader.vector(&name("ffn_gate_inp.bias"), count)?,
                bias("ffn_gate_exps.bias", n_ff)?,
                bias("ffn_up_exps.bias", n_ff)?,
                bias("ffn_down_exps.bias", n_embd)?,
            ]),
            false => None,
        };
        let stack = |tensor, rows, cols| loader.matrices(&name(tensor), count, rows, cols);
        Ok(Weights::Experts {
            router: loader.matrix(&name("ffn_gate_inp.weight"), count, n_embd)?,
            gate: stack("ffn_gate_exps.weight", n_ff, n_embd)?,
            up: stack("ffn_up_exps.weight", n_ff, n_embd)?,
            down: stack("ffn_down_exps.weight", n_embd, n_ff)?,
            biases,
            shared: match self.shared {
                Some(width) => Some(Shared::load(&name, n_embd, width, loader)?),
                None => None,
            },
        })
    }

    /// `x += ffn(normed)`, row by row; where there is a norm, of what is added.
    pub fn add<B: Backend>(
        &self,
        b: &mut B,
        weights: &Weights<B::Device>,
        normed: &B::Tensor,
        norm: Option<Norm<'_, B::Device>>,
        rows: usize,
        x: &mut B::Tensor,
    ) {
        match weights {
            Weights::Dense {
                n_ff,
                gate,
                up,
                down,
            } => {
                let [mut hidden, mut other] = [(); 2].map(|()| b.tensor(rows, *n_ff));
                let (gate, up) = (gate.product(&mut hidden), up.product(&mut other));
                b.gate_up(normed, self.activation, gate, up);
                down.add(b, &hidden, norm, rows, x);
            }
            Weights::Experts {
                router,
                gate,
                up,
                down,
                biases,
                shared,
            } => {
                assert!(norm.is_none(), "no family norms what its experts add");
                let (count, used) = self.experts.expect("the layer has experts");
                let experts = Experts {
                    router,
                    gate,
                    up,
                    down,
                    count,
                    used,
                    activation: self.activation,
                    biases: biases
                        .as_ref()
                        .map(|[router, gate, up, down]| ExpertBiases {
                            router,
                            gate,
                            up,
                            down,
                        }),
                };
                b.experts(normed, &experts, x);
                if let Some(shared) = shared {
                    shared.add(b, normed, self.activation, rows, x);
                }
            }
        }
    }
}

impl<D: Device> Shared<D> {
    fn load(
        name: &impl Fn(&str) -> String,
        n_embd: usize,
        width: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Self, ModelError> {
        let names = [
            (&*name("ffn_gate_shexp"), width),
            (&*name("ffn_up_shexp"), width),
        ];
        let [gate, up] = Linear::load_siblings(loader, names, n_embd)?;
        Ok(Shared {
            width,
            gate,
            up,
            switch: Linear::load(loader, &name("ffn_gate_inp_shexp"), 1, n_embd)?,
            down: Linear::load(loader, &name("ffn_down_shexp"), n_embd, width)?,
        })
    }

    /// `x += sigmoid(switch) · ffn(normed)`, row by row.
    fn add<B: Backend<Device = D>>(
        &self,
        b: &mut B,
        normed: &B::Tensor,
        activation: Activation,
        rows: usize,
        x: &mut B::Tensor,
    ) {
        let mut hidden = b.tensor(rows, self.width);
        let mut other = b.tensor(rows, self.width);
        let mut switch = b.tensor(rows, 1);
        let (gate, up) = (self.gate.product(&mut hidden), self.up.product(&mut other));
        b.gate_up(normed, activation, gate, up);
        b.matmul(normed, &mut [self.switch.product(&mut switch)]);
        b.sigmoid_rows(&mut hidden, &switch);
        self.down.add(b, &hidden, None, rows, x);
    }
}
