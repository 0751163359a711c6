//! Networks that all tokens use: a layer's own, or one beside its experts.

use super::linear::Linear;
use super::{Hyperparameters, MAX_WIDTH};
use crate::backend::{Activation, Backend, Device};
use crate::error::ModelError;
use crate::tensors::Loader;
use kernels::ops::Xielu;

/// A network for all tokens.
pub struct Dense<D: Device> {
    n_ff: usize,
    gate: Option<Linear<D>>,
    up: Linear<D>,
    pub down: Linear<D>,
    /// What follows `up` where there are no gates, if that has learned its shape.
    pub xielu: Option<Xielu>,
}

/// An expert that all tokens use.
pub struct SharedShape {
    pub width: usize,
    /// Whether a switch says how far each token uses it.
    pub switched: bool,
}

/// An expert that all tokens use, each as far as its switch says.
pub struct Shared<D: Device> {
    network: Dense<D>,
    switch: Option<Linear<D>>,
}

impl SharedShape {
    /// Of a file that counts them: several are one that is as wide as all together.
    pub fn counted(keys: &Hyperparameters<'_, '_>) -> Result<Self, ModelError> {
        SharedShape::counted_of(keys, "expert_feed_forward_length")
    }

    /// The same of experts whose width is what the key `length` says.
    pub fn counted_of(keys: &Hyperparameters<'_, '_>, length: &str) -> Result<Self, ModelError> {
        let width = keys.require(length, 1..=MAX_WIDTH)?;
        let count = keys.require("expert_shared_count", 1..=MAX_WIDTH / width)?;
        Ok(SharedShape {
            width: count * width,
            switched: false,
        })
    }

    /// That of a file that may have none.
    pub fn without_switch(keys: &Hyperparameters<'_, '_>) -> Result<Option<Self>, ModelError> {
        let width = keys.optional("expert_shared_feed_forward_length", 0..=MAX_WIDTH)?;
        Ok(width.filter(|&width| width > 0).map(|width| SharedShape {
            width,
            switched: false,
        }))
    }
}

impl<D: Device> Dense<D> {
    /// Finds the tensors whose names a layer makes of theirs, with gates or without.
    pub fn load(
        loader: &Loader<'_, D>,
        name: impl Fn(&str) -> String,
        gated: bool,
        [n_embd, n_ff]: [usize; 2],
    ) -> Result<Self, ModelError> {
        let [of_gate, of_up] = ["ffn_gate", "ffn_up"].map(&name);
        let (gate, up) = match gated {
            true => {
                let names = [(&*of_gate, n_ff), (&*of_up, n_ff)];
                let [gate, up] = Linear::load_siblings(loader, names, n_embd)?;
                (Some(gate), up)
            }
            false => (None, Linear::load(loader, &of_up, n_ff, n_embd)?),
        };
        Ok(Dense {
            n_ff,
            gate,
            up,
            down: Linear::load(loader, &name("ffn_down"), n_embd, n_ff)?,
            xielu: None,
        })
    }

    /// The same where the rows of gate and up lie one after the other in one tensor.
    pub fn load_stacked(
        loader: &Loader<'_, D>,
        name: impl Fn(&str) -> String,
        n_embd: usize,
        n_ff: usize,
    ) -> Result<Self, ModelError> {
        let [gate, up] = Linear::load_stacked(loader, &name("ffn_up"), [n_ff; 2], n_embd)?;
        Ok(Dense {
            n_ff,
            gate: Some(gate),
            up,
            down: Linear::load(loader, &name("ffn_down"), n_embd, n_ff)?,
            xielu: None,
        })
    }

    /// What it makes before `down`.
    pub fn hidden<B: Backend<Device = D>>(
        &self,
        b: &mut B,
        normed: &B::Tensor,
        activation: Activation,
        rows: usize,
    ) -> B::Tensor {
        let mut hidden = b.tensor(rows, self.n_ff);
        if let Some(gate) = &self.gate {
            let mut other = b.tensor(rows, self.n_ff);
            let (gate, up) = (gate.product(&mut hidden), self.up.product(&mut other));
            b.gate_up(normed, activation, gate, up);
        } else {
            b.matmul(normed, &mut [self.up.product(&mut hidden)]);
            match &self.xielu {
                Some(learned) => b.xielu(&mut hidden, learned),
                None => b.activate(activation, &mut hidden),
            }
        }
        hidden
    }
}

impl<D: Device> Shared<D> {
    pub fn load(
        loader: &Loader<'_, D>,
        name: impl Fn(&str) -> String,
        gated: bool,
        n_embd: usize,
        shape: &SharedShape,
    ) -> Result<Self, ModelError> {
        let switch = match shape.switched {
            true => Some(Linear::load(
                loader,
                &name("ffn_gate_inp_shexp"),
                1,
                n_embd,
            )?),
            false => None,
        };
        let name = |tensor: &str| name(&format!("{tensor}_shexp"));
        Ok(Shared {
            network: Dense::load(loader, name, gated, [n_embd, shape.width])?,
            switch,
        })
    }

    /// `x += sigmoid(switch) · ffn(normed)`, row by row, as far as it has a switch.
    pub fn add<B: Backend<Device = D>>(
        &self,
        b: &mut B,
        normed: &B::Tensor,
        activation: Activation,
        rows: usize,
        x: &mut B::Tensor,
    ) {
        let mut hidden = self.network.hidden(b, normed, activation, rows);
        if let Some(switch) = &self.switch {
            let mut far = b.tensor(rows, 1);
            b.matmul(normed, &mut [switch.product(&mut far)]);
            b.sigmoid_rows(&mut hidden, &far);
        }
        self.network.down.add(b, &hidden, None, rows, x);
    }
}
