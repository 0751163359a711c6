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
    /// Experts and how many each token uses.
    experts: Option<(usize, usize)>,
    /// What gates go through.
    activation: Activation,
    /// Whether the rows of gate and up lie one after the other in one tensor.
    stacked: bool,
    /// Whether experts and their router have biases.
    expert_biases: bool,
}

/// Its weights in a layer.
pub enum Weights<D: Device> {
    /// One network for all tokens.
    Dense {
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
    },
}

impl FeedForward {
    /// The same for all tokens.
    pub fn dense(keys: &Hyperparameters<'_, '_>, n_embd: usize) -> Result<Self, ModelError> {
        Ok(FeedForward {
            n_embd,
            n_ff: keys.require("feed_forward_length", 1..=MAX_WIDTH)?,
            experts: None,
            activation: Activation::Silu,
            stacked: false,
            expert_biases: false,
        })
    }

    /// Experts whose width is what the key `length` says, as far as there are any.
    pub fn with_experts(
        keys: &Hyperparameters<'_, '_>,
        n_embd: usize,
        length: &str,
    ) -> Result<Self, ModelError> {
        match keys.optional("expert_count", 0..=4096)? {
            None | Some(0) => FeedForward::dense(keys, n_embd),
            Some(count) => Ok(FeedForward {
                n_embd,
                n_ff: keys.require(length, 1..=MAX_WIDTH)?,
                experts: Some((count, keys.require("expert_used_count", 1..=count)?)),
                activation: Activation::Silu,
                stacked: false,
                expert_biases: false,
            }),
        }
    }

    /// With gates that go through another function.
    pub fn with_activation(self, activation: Activation) -> Self {
        FeedForward { activation, ..self }
    }

    /// With biases of the experts and of their router.
    pub fn with_expert_biases(self) -> Self {
        FeedForward {
            expert_biases: true,
            ..self
        }
    }

    /// With gate and up in one tensor, `ffn_up`.
    pub fn with_stacked_weights(self) -> Self {
        FeedForward {
            stacked: true,
            ..self
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
            let names = [(&*name("ffn_gate"), n_ff), (&*name("ffn_up"), n_ff)];
            let [gate, up] = match self.stacked {
                true => Linear::load_stacked(loader, &name("ffn_up"), [n_ff; 2], n_embd)?,
                false => Linear::load_siblings(loader, names, n_embd)?,
            };
            let down = Linear::load(loader, &name("ffn_down"), n_embd, n_ff)?;
            return Ok(Weights::Dense { gate, up, down });
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
            Weights::Dense { gate, up, down } => {
                let mut hidden = b.tensor(rows, self.n_ff);
                let mut other = b.tensor(rows, self.n_ff);
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
            }
        }
    }
}
