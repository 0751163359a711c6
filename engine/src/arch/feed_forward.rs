//! The feed-forward network of a layer: dense, with gates or without, or a mixture of
//! experts.

use super::beside::Beside;
use super::dense::{Dense, Shared, SharedShape};
use super::{Config, Hyperparameters, MAX_WIDTH, Norming};
use crate::backend::{
    Activation, Backend, Device, ExpertBiases, ExpertGroups, Experts, Gating, MOST_GROUPS, Norm,
    Routing, Stack,
};
use crate::error::ModelError;
use crate::tensors::Loader;
use kernels::ops::Xielu;

/// Its hyperparameters.
pub struct FeedForward {
    n_embd: usize,
    /// Width of layers without experts, and of what stands beside experts.
    n_ff: Widths,
    experts: Option<Mixture>,
    /// Whether networks have gates.
    pub gated: bool,
    /// What gates go through, or what `ffn_up` makes, if there are none.
    pub activation: Activation,
    /// What follows `ffn_up` in each layer without gates, where that is learned.
    pub xielu: Option<Vec<Xielu>>,
    /// Whether the rows of gate and up lie one after the other in one tensor, `ffn_up`.
    pub stacked: bool,
    /// Whether experts and their router have biases.
    pub expert_biases: bool,
    /// How scores choose experts and weigh them.
    pub routing: Routing,
    /// Whether a bias counts where experts are chosen.
    pub selection_bias: bool,
    /// Whether experts are chosen by the residual stream as it is before attention.
    pub routed_before: bool,
    /// The expert that all tokens use beside those.
    pub shared: Option<SharedShape>,
    /// How norms of what stands beside experts norm, if a network for all tokens does.
    beside: Option<Norming>,
    /// The first layers, so many, have no experts.
    leading_dense: usize,
}

/// Widths of layers.
enum Widths {
    Same(usize),
    Each(Vec<usize>),
}

impl Widths {
    fn of(&self, layer: usize) -> usize {
        match self {
            Widths::Same(width) => *width,
            Widths::Each(widths) => widths[layer],
        }
    }
}

/// Experts of which each token uses some.
#[derive(Clone, Copy)]
struct Mixture {
    count: usize,
    used: usize,
    width: usize,
}

/// Its weights in a layer.
pub enum Weights<D: Device> {
    /// One network for all tokens.
    Dense(Dense<D>),
    /// Networks of which each token uses some.
    Experts {
        router: D::Matrix,
        selection_bias: Option<D::Vector>,
        gates: Gates<D>,
        down: D::Matrix,
        /// Of the router, and of gate, up and down.
        biases: Option<[D::Vector; 4]>,
        /// For each expert a factor of what it makes.
        factors: Option<D::Vector>,
        shared: Option<Shared<D>>,
        beside: Option<Beside<D>>,
    },
}

/// The gate and up matrices of all experts.
pub enum Gates<D: Device> {
    Apart {
        gate: D::Matrix,
        up: D::Matrix,
    },
    /// In one tensor, whose rows are an expert's gate and then its up.
    Together(D::Matrix),
    /// No gates.
    Up(D::Matrix),
}

impl FeedForward {
    /// The same for all tokens.
    pub fn dense(keys: &Hyperparameters<'_, '_>, n_embd: usize) -> Result<Self, ModelError> {
        let n_ff = keys.require("feed_forward_length", 1..=MAX_WIDTH)?;
        Ok(FeedForward::new(n_embd, Widths::Same(n_ff), None))
    }

    /// The same for all tokens, in each layer as wide as this says.
    pub fn of_widths(n_embd: usize, widths: Vec<usize>) -> Self {
        FeedForward::new(n_embd, Widths::Each(widths), None)
    }

    /// The same for all tokens, in each layer as wide as this says, beside experts, as
    /// far as there are any.
    pub fn beside_experts(
        keys: &Hyperparameters<'_, '_>,
        config: &Config,
        widths: Vec<usize>,
    ) -> Result<Self, ModelError> {
        refuse_groups(keys)?;
        let experts = Mixture::from_file(keys, "expert_feed_forward_length")?;
        Ok(FeedForward {
            beside: Some(config.norming),
            ..FeedForward::new(config.n_embd, Widths::Each(widths), experts)
        })
    }

    /// Experts whose width is what the key `length` says, as far as there are any. A
    /// token's weights are the softmax of the scores that it uses.
    pub fn with_experts(
        keys: &Hyperparameters<'_, '_>,
        n_embd: usize,
        length: &str,
    ) -> Result<Self, ModelError> {
        refuse_groups(keys)?;
        FeedForward::with_any_experts(keys, n_embd, length)
    }

    fn with_any_experts(
        keys: &Hyperparameters<'_, '_>,
        n_embd: usize,
        length: &str,
    ) -> Result<Self, ModelError> {
        match Mixture::from_file(keys, length)? {
            None => FeedForward::dense(keys, n_embd),
            experts => Ok(FeedForward::new(n_embd, Widths::Same(0), experts)),
        }
    }

    /// Experts in all layers but the first, which the file counts, with a routing that
    /// it describes; if it does not say what scores go through, it is `gating`.
    pub fn with_experts_after(
        keys: &Hyperparameters<'_, '_>,
        n_embd: usize,
        gating: Gating,
    ) -> Result<Self, ModelError> {
        let leading = keys.optional("leading_dense_block_count", 0..=1024)?;
        FeedForward::with_experts_behind(keys, n_embd, gating, leading.unwrap_or(0))
    }

    /// The same behind so many layers without.
    pub fn with_experts_behind(
        keys: &Hyperparameters<'_, '_>,
        n_embd: usize,
        gating: Gating,
        leading_dense: usize,
    ) -> Result<Self, ModelError> {
        let count = keys.require("expert_count", 1..=4096)?;
        let mut this = FeedForward::with_any_experts(keys, n_embd, "expert_feed_forward_length")?;
        this.leading_dense = leading_dense;
        if this.leading_dense > 0 {
            this.n_ff = Widths::Same(keys.require("feed_forward_length", 1..=MAX_WIDTH)?);
        }
        this.routing = Routing {
            gating: match keys.optional("expert_gating_func", 0..=2)? {
                Some(1) => Gating::Softmax,
                Some(2) => Gating::Sigmoid,
                _ => gating,
            },
            normalized: keys.flag("expert_weights_norm")?.unwrap_or(false),
            scale: (keys.positive_unless_0("expert_weights_scale")?).unwrap_or(1.0),
            groups: groups(keys, count)?,
        };
        Ok(this)
    }

    /// How many experts a layer has, as far as it has any.
    fn of_layer(&self, index: usize) -> Option<Mixture> {
        self.experts.filter(|_| index >= self.leading_dense)
    }

    fn new(n_embd: usize, n_ff: Widths, experts: Option<Mixture>) -> Self {
        FeedForward {
            n_embd,
            n_ff,
            experts,
            gated: true,
            activation: Activation::Silu,
            xielu: None,
            stacked: false,
            expert_biases: false,
            routing: Routing {
                gating: Gating::Chosen,
                normalized: false,
                scale: 1.0,
                groups: None,
            },
            selection_bias: false,
            routed_before: false,
            shared: None,
            beside: None,
            leading_dense: 0,
        }
    }

    /// Finds the tensors of layer `index`.
    pub fn load<D: Device>(
        &self,
        index: usize,
        loader: &Loader<'_, D>,
    ) -> Result<Weights<D>, ModelError> {
        let n_embd = self.n_embd;
        let name = |tensor: &str| format!("blk.{index}.{tensor}");
        let n_ff = self.n_ff.of(index);
        let Some(Mixture { count, width, .. }) = self.of_layer(index) else {
            let mut dense = match self.stacked {
                true => Dense::load_stacked(loader, name, n_embd, n_ff)?,
                false => Dense::load(loader, name, self.gated, [n_embd, n_ff])?,
            };
            dense.xielu = self.xielu.as_ref().map(|each| each[index]);
            return Ok(Weights::Dense(dense));
        };
        let bias = |tensor, rows| loader.vector_of(&name(tensor), &[rows, count]);
        let biases = match self.expert_biases {
            true => Some([
                loader.vector(&name("ffn_gate_inp.bias"), count)?,
                bias("ffn_gate_exps.bias", width)?,
                bias("ffn_up_exps.bias", width)?,
                bias("ffn_down_exps.bias", n_embd)?,
            ]),
            false => None,
        };
        let stack = |tensor, rows, cols| loader.matrices(&name(tensor), count, rows, cols);
        let together = "ffn_gate_up_exps.weight";
        Ok(Weights::Experts {
            router: loader.matrix(&name("ffn_gate_inp.weight"), count, n_embd)?,
            selection_bias: match self.selection_bias {
                true => Some(loader.vector(&name("exp_probs_b.bias"), count)?),
                false => None,
            },
            gates: match loader.has(&name(together)) {
                _ if !self.gated => Gates::Up(stack("ffn_up_exps.weight", width, n_embd)?),
                true => Gates::Together(stack(together, 2 * width, n_embd)?),
                false => {
                    let names = ["ffn_gate_exps.weight", "ffn_up_exps.weight"].map(name);
                    let [gate, up] = loader.sibling_stacks(&names, count, width, n_embd)?;
                    Gates::Apart { gate, up }
                }
            },
            down: stack("ffn_down_exps.weight", n_embd, width)?,
            biases,
            factors: match self.beside {
                Some(_) => loader.optional_vector(&name("ffn_down_exps.scale"), count)?,
                None => None,
            },
            shared: match &self.shared {
                Some(shape) => Some(Shared::load(loader, name, self.gated, n_embd, shape)?),
                None => None,
            },
            beside: match self.beside {
                Some(norming) => Some(Beside::load(loader, name, norming, [n_embd, n_ff])?),
                None => None,
            },
        })
    }

    /// `x += ffn(normed)`, row by row; where there is a norm, of what is added. Experts are
    /// chosen by `routed_by`, if that is something else.
    #[allow(clippy::too_many_arguments)] // weights, operands, and where they go
    pub fn add<B: Backend>(
        &self,
        b: &mut B,
        weights: &Weights<B::Device>,
        normed: &B::Tensor,
        routed_by: Option<&B::Tensor>,
        norm: Option<&Norm<B::Device>>,
        rows: usize,
        x: &mut B::Tensor,
    ) {
        match weights {
            Weights::Dense(dense) => {
                let hidden = dense.hidden(b, normed, self.activation, rows);
                dense.down.add(b, &hidden, norm, rows, x);
            }
            Weights::Experts {
                router,
                selection_bias,
                gates,
                down,
                biases,
                factors,
                shared,
                beside,
            } => {
                let Mixture { count, used, width } = self.experts.expect("the layer has experts");
                let stack = |matrix, rows| Stack { matrix, rows };
                let (gate, up) = match gates {
                    Gates::Apart { gate, up } => (Some(gate), stack(up, 0..width)),
                    Gates::Together(both) => (Some(both), stack(both, width..2 * width)),
                    Gates::Up(up) => (None, stack(up, 0..width)),
                };
                let experts = Experts {
                    router,
                    router_input: routed_by,
                    routing: self.routing,
                    selection_bias: selection_bias.as_ref(),
                    gate: gate.map(|gate| stack(gate, 0..width)),
                    up,
                    down: stack(down, 0..self.n_embd),
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
                    factors: factors.as_ref(),
                    adds: true,
                };
                if let Some(beside) = beside {
                    let norm = norm.expect("what experts and a network beside them add is normed");
                    beside.add(b, experts, normed, norm, rows, x);
                    return;
                }
                assert!(norm.is_none(), "no family norms what its experts add alone");
                b.experts(normed, &experts, x);
                if let Some(shared) = shared {
                    shared.add(b, normed, self.activation, rows, x);
                }
            }
        }
    }
}

impl Mixture {
    /// That of a file that may have none, and of experts whose width is what the key
    /// `length` says.
    fn from_file(keys: &Hyperparameters<'_, '_>, length: &str) -> Result<Option<Self>, ModelError> {
        let Some(count @ 1..) = keys.optional("expert_count", 0..=4096)? else {
            return Ok(None);
        };
        Ok(Some(Mixture {
            count,
            used: keys.require("expert_used_count", 1..=count)?,
            width: keys.require(length, 1..=MAX_WIDTH)?,
        }))
    }
}

/// Groups are only for scores that the file says how to take.
fn refuse_groups(keys: &Hyperparameters<'_, '_>) -> Result<(), ModelError> {
    keys.optional("expert_group_count", 0..=1).map(|_| ())
}

/// The groups of so many experts, if each token uses some.
fn groups(
    keys: &Hyperparameters<'_, '_>,
    experts: usize,
) -> Result<Option<ExpertGroups>, ModelError> {
    let name = "expert_group_count";
    let count = keys.optional(name, 0..=MOST_GROUPS)?.unwrap_or(0);
    if count < 2 {
        return Ok(None);
    }
    if !experts.is_multiple_of(count) || experts < 2 * count {
        let expected = format!("equal groups of two or more of {experts} experts");
        return Err(ModelError::value(&keys.key(name), expected, count));
    }
    let used = keys.require("expert_group_used_count", 1..=count)?;
    // A token's experts are all in its groups.
    keys.require("expert_used_count", 1..=used * (experts / count))?;
    Ok(Some(ExpertGroups { count, used }))
}
