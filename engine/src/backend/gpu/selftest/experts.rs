//! Cases of mixtures of experts.

use super::case::Side;
use super::data::{exact_activations, floats, matrix, read, vector, weights};
use crate::backend::{
    Activation, Backend, Device, ExpertBiases, ExpertGroups, Experts, Gating, Routing, Sibling,
    Stack,
};
use kernels::Format;

/// Kinds of mixtures of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixture {
    /// As most families have them.
    Plain,
    /// With biases and limited gates.
    Limited,
    /// Weighted by the softmax of all scores, as it is.
    Softmax,
    /// Chosen by sigmoids and a bias, weighted by shares of their sum, times a factor;
    /// gate and up come in one tensor.
    Sigmoid,
    /// With a router that sees something else, and a factor for each expert; not added
    /// to anything.
    Apart,
    /// The same of some groups of experts.
    Groups,
    /// Without gates, and squared.
    Ungated,
    /// Of more experts than the shader that chooses them has lanes.
    Many,
}

/// What experts of such a mixture add.
pub(super) fn run<B: Backend>(
    side: &mut Side<'_, B>,
    format: Format,
    tokens: usize,
    variant: Mixture,
) -> Vec<f32> {
    let limited = variant == Mixture::Limited;
    let groups = (variant == Mixture::Groups).then_some(ExpertGroups { count: 4, used: 2 });
    let together = variant == Mixture::Sigmoid || groups.is_some();
    let apart = variant == Mixture::Apart;
    let (count, used) = match variant {
        Mixture::Groups => (12, 2),
        Mixture::Many => (150, 7),
        _ => (5, 2),
    };
    let (width, n_ff) = (256, 512);
    let router = matrix(side.device, Format::F32, count, width, 1);
    let bytes_of = |rows, seed| weights(format, rows, width, seed);
    let sibling = |seed| Sibling {
        format,
        rows: count * n_ff,
        bytes: bytes_of(count * n_ff, seed),
    };
    // If they are together, one has the rows of both.
    let gates = match variant {
        _ if together => {
            let rows = count * 2 * n_ff;
            vec![side.device.matrix(format, rows, width, bytes_of(rows, 2))]
        }
        // What a device does if it cannot hold them in one buffer.
        Mixture::Softmax => [2, 3]
            .map(|seed| matrix(side.device, format, count * n_ff, width, seed))
            .into(),
        _ => side.device.siblings(width, vec![sibling(2), sibling(3)]),
    };
    let [gate, up] = [&gates[0], &gates[gates.len() - 1]];
    let up_rows = if together { n_ff..2 * n_ff } else { 0..n_ff };
    let down = matrix(side.device, format, count * width, n_ff, 4);
    let selection_bias = vector(side.device, 11, count);
    let lengths = [
        (7, count),
        (8, count * n_ff),
        (9, count * n_ff),
        (10, count * width),
    ];
    let biases = lengths.map(|(seed, len)| vector(side.device, seed, len));
    let small: Vec<f32> = exact_activations(5, tokens * width)
        .iter()
        .map(|x| x / 64.0)
        .collect();
    let x = side.backend.write(&small, width);
    let seen: Vec<f32> = small.iter().rev().copied().collect();
    let seen = side.backend.write(&seen, width);
    let factors = vector(side.device, 12, count);
    let mut sum = side.backend.write(&floats(6, tokens * width), width);
    let experts = Experts {
        router: &router,
        router_input: apart.then_some(&seen),
        routing: Routing {
            gating: match variant {
                Mixture::Plain | Mixture::Limited | Mixture::Apart | Mixture::Ungated => {
                    Gating::Chosen
                }
                Mixture::Softmax | Mixture::Many => Gating::Softmax,
                Mixture::Sigmoid | Mixture::Groups => Gating::Sigmoid,
            },
            normalized: together,
            scale: if together { 2.5 } else { 1.0 },
            groups,
        },
        selection_bias: together.then_some(&selection_bias),
        gate: (variant != Mixture::Ungated).then_some(Stack {
            matrix: gate,
            rows: 0..n_ff,
        }),
        up: Stack {
            matrix: up,
            rows: up_rows,
        },
        down: Stack {
            matrix: &down,
            rows: 0..width,
        },
        count,
        used,
        activation: match variant {
            Mixture::Limited => Activation::Limited,
            Mixture::Ungated => Activation::ReluSquared,
            _ => Activation::Silu,
        },
        biases: limited.then_some(ExpertBiases {
            router: &biases[0],
            gate: &biases[1],
            up: &biases[2],
            down: &biases[3],
        }),
        factors: apart.then_some(&factors),
        adds: !apart,
    };
    side.backend.experts(&x, &experts, &mut sum);
    read(side.backend, &sum)
}
