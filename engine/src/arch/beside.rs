//! A network for all tokens beside a layer's experts, each with norms of its own:
//!
//! ```text
//!    ┌─ norm ─ network ─ norm ──┐
//! x ─┼─ norm ─ experts ─ norm ─(+)─ norm ─ added to x
//!    └─ norm ─ router ───┘
//! ```

use super::Norming;
use super::dense::Dense;
use crate::backend::{Backend, Device, Experts, Norm};
use crate::error::ModelError;
use crate::tensors::Loader;

/// Its weights but for those of the experts and of the norms that all layers have: of
/// what the network sees, and of what both add.
pub struct Beside<D: Device> {
    network: Dense<D>,
    /// Of what the network makes.
    network_norm: Norm<D>,
    /// Of what the router sees.
    router_norm: Norm<D>,
    /// Of what the experts see, and of what they make.
    experts_norms: [Norm<D>; 2],
}

impl<D: Device> Beside<D> {
    /// Finds the tensors whose names a layer makes of theirs.
    pub fn load(
        loader: &Loader<'_, D>,
        name: impl Fn(&str) -> String,
        norming: Norming,
        [n_embd, n_ff]: [usize; 2],
    ) -> Result<Self, ModelError> {
        let norm = |tensor| norming.load(loader, &name(tensor), n_embd);
        // What the router sees has a length of 1, but for these weights.
        let of_length = 1.0 / (n_embd as f32).sqrt();
        let scale = loader.scaled_vector(&name("ffn_gate_inp.scale"), n_embd, of_length)?;
        Ok(Beside {
            network_norm: norm("post_ffw_norm_1")?,
            router_norm: norming.with_weight(n_embd, scale),
            experts_norms: [norm("pre_ffw_norm_2")?, norm("post_ffw_norm_2")?],
            network: Dense::load(loader, name, true, [n_embd, n_ff])?,
        })
    }

    /// `x += norm(norm(network(normed)) + norm(experts(norm(x))))`, row by row.
    pub fn add<'a, B: Backend<Device = D>>(
        &'a self,
        b: &mut B,
        experts: Experts<'a, B>,
        normed: &B::Tensor,
        norm: &Norm<D>,
        rows: usize,
        x: &mut B::Tensor,
    ) {
        let hidden = self.network.hidden(b, normed, experts.activation, rows);
        let [mut made, mut both, mut seen, mut routed] =
            [(); 4].map(|()| b.tensor(rows, norm.width));
        b.matmul(&hidden, &mut [self.network.down.product(&mut made)]);
        b.norm(&made, &self.network_norm, &mut both);
        let [before, after] = &self.experts_norms;
        b.norm(x, before, &mut seen);
        b.norm(x, &self.router_norm, &mut routed);
        let experts = Experts {
            router_input: Some(&routed),
            adds: false,
            ..experts
        };
        b.experts(&seen, &experts, &mut made);
        b.norm_add(&made, after, &mut both);
        b.norm_add(&both, norm, x);
    }
}
