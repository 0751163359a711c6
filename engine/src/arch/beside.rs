//! A network for all tokens beside a layer's experts, each with norms of its own:
//!
//! ```text
//!    ┌─ norm ─ network ─ norm ──┐
//! x ─┼─ norm ─ experts ─ norm ─(+)─ norm ─ added to x
//!    └─ norm ─ router ───┘
//! ```

use super::feed_forward::Dense;
use super::linear::Norm;
use crate::backend::{Backend, Device, Experts};
use crate::error::ModelError;
use crate::tensors::Loader;

/// Its weights but for those of the experts and of the norms that all layers have: of
/// what the network sees, and of what both add.
pub struct Beside<D: Device> {
    network: Dense<D>,
    /// Of what the network makes.
    network_norm: D::Vector,
    /// Of what the router sees.
    router_norm: D::Vector,
    /// Of what the experts see, and of what they make.
    experts_norms: [D::Vector; 2],
}

impl<D: Device> Beside<D> {
    /// Finds the tensors whose names a layer makes of theirs.
    pub fn load(
        loader: &Loader<'_, D>,
        name: impl Fn(&str) -> String,
        n_embd: usize,
        n_ff: usize,
    ) -> Result<Self, ModelError> {
        let norm = |tensor| loader.vector(&name(tensor), n_embd);
        // What the router sees has a length of 1, but for these weights.
        let of_length = 1.0 / (n_embd as f32).sqrt();
        Ok(Beside {
            network_norm: norm("post_ffw_norm_1.weight")?,
            router_norm: loader.scaled_vector(&name("ffn_gate_inp.scale"), n_embd, of_length)?,
            experts_norms: [
                norm("pre_ffw_norm_2.weight")?,
                norm("post_ffw_norm_2.weight")?,
            ],
            network: Dense::load(loader, name, n_embd, n_ff)?,
        })
    }

    /// `x += norm(norm(network(normed)) + norm(experts(norm(x))))`, row by row.
    pub fn add<'a, B: Backend<Device = D>>(
        &'a self,
        b: &mut B,
        experts: Experts<'a, B>,
        normed: &B::Tensor,
        norm: Norm<'_, D>,
        rows: usize,
        x: &mut B::Tensor,
    ) {
        let Norm { eps, width, .. } = norm;
        let hidden = self.network.hidden(b, normed, experts.activation, rows);
        let [mut made, mut both, mut seen, mut routed] = [(); 4].map(|()| b.tensor(rows, width));
        b.matmul(&hidden, &mut [self.network.down.product(&mut made)]);
        b.rms_norm(&made, &self.network_norm, eps, &mut both);
        let [before, after] = &self.experts_norms;
        b.rms_norm(x, before, eps, &mut seen);
        b.rms_norm(x, &self.router_norm, eps, &mut routed);
        let experts = Experts {
            router_input: Some(&routed),
            adds: false,
            ..experts
        };
        b.experts(&seen, &experts, &mut made);
        b.rms_norm_add(&made, after, eps, &mut both);
        b.rms_norm_add(&both, norm.weight, eps, x);
    }
}
