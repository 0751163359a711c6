//! What a case computes, on any backend.

use super::super::{Gpu, products};
use super::Variant;
use super::attention::{attention, rope};
use super::data::{exact_activations, floats, matrix, read, vector, weights};
use super::experts::{self, Mixture};
use super::{heads, recurrent};
use crate::backend::{Activation, AttentionShape, Backend, Device, Norm, Product, Sibling};
use crate::cache::KvFormat;
use kernels::Format;
use kernels::ops::{NormKind, Pairing, Xielu};
use kernels::recurrent::RecurrentShape;

/// An operation and the shape of its data.
#[derive(Clone, Debug)]
pub(super) enum Case {
    /// `[tokens, inputs]` times `[outputs, inputs]`, all at once or as a
    /// residual with a bias.
    Product {
        format: Format,
        tokens: usize,
        outputs: usize,
        inputs: usize,
        residual: bool,
    },
    /// Matrices with these outputs, placed as siblings.
    Siblings {
        formats: [Format; 3],
        tokens: usize,
        outputs: [usize; 3],
        inputs: usize,
        bias: bool,
    },
    /// Two matrices placed as siblings, gate and up.
    GateUp {
        formats: [Format; 2],
        tokens: usize,
        outputs: usize,
        bias: bool,
        activation: Activation,
        /// Whether a product follows, whose activations it quantizes.
        product: bool,
    },
    /// What is followed by a product, whose activations it quantizes.
    Chain {
        before: Before,
        cols: usize,
    },
    Embed {
        format: Format,
    },
    Norm {
        kind: NormKind,
        bias: bool,
        rows: usize,
        /// Pieces of a row, and whether each has weights of its own.
        pieces: usize,
        own: bool,
        width: usize,
        /// Whether it is added to what is there.
        added: bool,
    },
    Gate {
        activation: Activation,
        rows: usize,
        cols: usize,
        /// Whether there is nothing to multiply with.
        alone: bool,
    },
    /// With attention after it, of two sequences.
    Rope {
        /// What turns together, if anything does.
        pairing: Option<Pairing>,
        head_dim: usize,
        n_rot: usize,
        /// How heads are normed before, if they are, and whether each has weights of its
        /// own.
        norms: Option<HeadNorming>,
    },
    Attention {
        kv: KvFormat,
        shape: AttentionShape,
        /// Of each sequence the tokens that are in its cache before, and those that
        /// are added.
        sequences: &'static [[usize; 2]],
        /// Whether heads have sinks.
        sinks: bool,
        /// Whether a product follows, whose activations it quantizes.
        product: bool,
    },
    Select,
    /// Rows of three pieces for each of two tensors, and put together again.
    Pieces {
        rows: usize,
        widths: [usize; 2],
    },
    /// Heads of so many outputs, whose inputs were part of a product before.
    Heads {
        format: Format,
        tokens: usize,
        outputs: usize,
    },
    Mul,
    Xielu,
    ScaleRows,
    ScaleBy,
    /// With a gate for each value or for each row.
    Sigmoid {
        by_row: bool,
    },
    /// Sequences of so many tokens, in steps of so many.
    Recurrent {
        shape: RecurrentShape,
        sequences: &'static [usize],
        at_once: usize,
    },
    /// Of rows with many equal values.
    Highest {
        cols: usize,
        count: usize,
    },
    Experts {
        format: Format,
        tokens: usize,
        /// What sets them apart.
        variant: Mixture,
    },
}

/// Norms of heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadNorming {
    pub kind: NormKind,
    /// Whether every head has weights of its own.
    pub own: bool,
    /// Whether heads are normed after they have turned.
    pub after_turn: bool,
}

/// What leaves its results as 8-bit integers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    Norm(NormKind),
    Gate,
    Activation,
}

/// A backend and what belongs to it.
pub(super) struct Side<'a, B: Backend> {
    pub backend: &'a mut B,
    pub device: &'a B::Device,
    /// The GPU, if it is one.
    pub gpu: Option<&'a Gpu>,
}

impl Case {
    /// Whether it adds up over the lanes of a workgroup.
    pub fn reduces(&self) -> bool {
        match self {
            Case::Product { tokens, .. }
            | Case::Siblings { tokens, .. }
            | Case::GateUp { tokens, .. } => *tokens <= products::MATVEC_TOKENS,
            Case::Chain { .. } | Case::Experts { .. } | Case::Heads { .. } => true,
            Case::Norm { .. } => true,
            _ => false,
        }
    }

    /// The formats of matrices that it multiplies with many tokens.
    fn formats_with_many(&self) -> &[Format] {
        let (tokens, formats) = match self {
            Case::Product { tokens, format, .. } | Case::Experts { tokens, format, .. } => {
                (*tokens, std::slice::from_ref(format))
            }
            Case::Siblings {
                tokens, formats, ..
            } => (*tokens, &formats[..]),
            Case::GateUp {
                tokens, formats, ..
            } => (*tokens, &formats[..]),
            _ => return &[],
        };
        match tokens > products::MATVEC_TOKENS {
            true => formats,
            false => &[],
        }
    }

    /// Whether it is computed in f16, where there is such arithmetic.
    pub fn is_in_half(&self) -> bool {
        let mut formats = self.formats_with_many().iter();
        formats.any(|&format| products::computes_in_half(format))
    }

    /// Whether it is computed on matrix units, where there are any.
    pub fn is_on_units(&self) -> bool {
        if let Case::Attention {
            kv,
            shape,
            sequences,
            ..
        } = self
        {
            let many = |&[_, tokens]: &[usize; 2]| tokens > products::MATVEC_TOKENS;
            let width = shape.head_dim_k.max(shape.head_dim_v);
            return *kv != KvFormat::F32 && sequences.iter().any(many) && width <= 128;
        }
        let mut formats = self.formats_with_many().iter();
        formats.any(|&format| products::is_int8(format))
    }

    /// How much the two sides may differ, as a share of the largest value.
    pub fn bound(&self, variant: Variant) -> f32 {
        match self {
            // Activations and sums of 32 products have 11 bits.
            _ if variant == Variant::Half => 2e-3,
            // Queries and exponentials have; an error of a score counts exponentially.
            Case::Attention {
                kv: KvFormat::F16, ..
            } if variant == Variant::MatrixUnits => 4e-3,
            // Weights and activations have.
            Case::Product { .. } | Case::Siblings { .. } | Case::GateUp { .. }
                if variant == Variant::MatrixUnits =>
            {
                1e-3
            }
            // Exact sums over groups; their `f32` sum in another order.
            Case::Product { .. } | Case::Siblings { .. } | Case::Heads { .. } => 4e-6,
            // One activation of many may round the other way: by 1 of 127.
            Case::Chain { .. } | Case::Experts { .. } | Case::GateUp { product: true, .. } => 4e-3,
            Case::Embed { .. } => 1e-6,
            Case::Norm { .. } => 2e-6,
            // A product of two products.
            Case::GateUp { .. } | Case::Rope { .. } => 1e-5,
            // Exponentials of devices are a few units in the last place off.
            Case::Gate { .. } | Case::Xielu => 4e-6,
            Case::Attention { product: true, .. } => 4e-3,
            Case::Attention { kv, .. } => match kv {
                KvFormat::F32 => 1e-5,
                // A device may round to binary16 towards zero: a unit in 2^11.
                KvFormat::F16 => 2e-3,
                // The CPU quantizes queries, too: this is its error.
                KvFormat::Q8_0 => 4e-2,
            },
            Case::Sigmoid { .. } => 4e-6,
            // Sums over a head, token after token.
            Case::Recurrent { .. } => 1e-5,
            Case::Mul
            | Case::ScaleRows
            | Case::ScaleBy
            | Case::Select
            | Case::Pieces { .. }
            | Case::Highest { .. } => 0.0,
        }
    }

    /// Computes the case.
    pub fn run<B: Backend>(&self, side: &mut Side<'_, B>) -> Vec<f32> {
        match *self {
            Case::Product {
                format,
                tokens,
                outputs,
                inputs,
                residual,
            } => product(side, format, [tokens, outputs, inputs], residual),
            Case::Siblings {
                formats,
                tokens,
                outputs,
                inputs,
                bias,
            } => siblings(side, formats, outputs, [tokens, inputs], bias),
            Case::GateUp {
                formats,
                tokens,
                outputs,
                bias,
                activation,
                product,
            } => gate_up(side, formats, [tokens, outputs], bias, activation, product),
            Case::Chain { before, cols } => chain(side, before, cols),
            Case::Embed { format } => {
                let (rows, cols) = (40, 256);
                let table = matrix(side.device, format, rows, cols, 1);
                let out = side.backend.embed(&table, &[0, 39, 17, 17]);
                read(side.backend, &out)
            }
            Case::Norm {
                kind,
                bias,
                rows,
                pieces,
                own,
                width,
                added,
            } => {
                let (cols, weights) = (pieces * width, if own { pieces * width } else { width });
                let norm = Norm {
                    kind,
                    eps: 1e-5,
                    width,
                    weight: vector(side.device, 2, weights),
                    bias: bias.then(|| vector(side.device, 4, weights)),
                };
                // Of a mean that counts.
                let x: Vec<f32> = floats(1, rows * cols).iter().map(|x| x + 0.5).collect();
                let x = side.backend.write(&x, cols);
                let mut out = side.backend.write(&floats(3, rows * cols), cols);
                match added {
                    true => side.backend.norm_add(&x, &norm, &mut out),
                    false => side.backend.norm(&x, &norm, &mut out),
                }
                read(side.backend, &out)
            }
            Case::Gate {
                activation,
                rows,
                cols,
                alone,
            } => {
                let wide: Vec<f32> = floats(1, rows * cols).iter().map(|x| x * 20.0).collect();
                let mut gate = side.backend.write(&wide, cols);
                let up = side.backend.write(&floats(2, rows * cols), cols);
                match alone {
                    true => side.backend.activate(activation, &mut gate),
                    false => side.backend.gate_mul(activation, &mut gate, &up),
                }
                read(side.backend, &gate)
            }
            Case::Rope {
                pairing,
                head_dim,
                n_rot,
                norms,
            } => rope(side, pairing, head_dim, n_rot, norms).unwrap_or_default(),
            Case::Attention {
                kv,
                ref shape,
                sequences,
                sinks,
                product,
            } => attention(side, kv, shape, sequences, sinks, product).unwrap_or_default(),
            Case::Select => {
                let x = side.backend.write(&floats(1, 7 * 33), 33);
                let out = side.backend.select(&x, &[6, 0, 6]);
                read(side.backend, &out)
            }
            Case::Pieces { rows, widths } => heads::pieces(side, rows, widths),
            Case::Heads {
                format,
                tokens,
                outputs,
            } => heads::products(side, format, tokens, outputs),
            Case::Mul => {
                let mut x = side.backend.write(&floats(1, 5 * 33), 33);
                let y = side.backend.write(&floats(2, 5 * 33), 33);
                side.backend.mul(&mut x, &y);
                read(side.backend, &x)
            }
            Case::Xielu => {
                let mut x = side.backend.write(&floats(1, 5 * 33), 33);
                let parameters = Xielu {
                    alpha_n: 0.8,
                    alpha_p: 0.7,
                    beta: 0.5,
                    eps: -1e-6,
                };
                side.backend.xielu(&mut x, &parameters);
                read(side.backend, &x)
            }
            Case::ScaleRows => {
                let mut x = side.backend.write(&floats(1, 5 * 33), 33);
                side.backend.scale_rows(&mut x, &floats(2, 5));
                read(side.backend, &x)
            }
            Case::ScaleBy => {
                let factor = vector(side.device, 2, 1);
                let mut x = side.backend.write(&floats(1, 5 * 33), 33);
                side.backend.scale_by(&mut x, &factor);
                read(side.backend, &x)
            }
            Case::Sigmoid { by_row } => {
                let (rows, cols) = (5, 33);
                let mut x = side.backend.write(&floats(1, rows * cols), cols);
                let width = if by_row { 1 } else { cols };
                let gates: Vec<f32> = floats(2, rows * width).iter().map(|x| x * 20.0).collect();
                let gates = side.backend.write(&gates, width);
                match by_row {
                    true => side.backend.sigmoid_rows(&mut x, &gates),
                    false => side.backend.sigmoid_mul(&mut x, &gates),
                }
                read(side.backend, &x)
            }
            Case::Recurrent {
                ref shape,
                sequences,
                at_once,
            } => recurrent::run(side, shape, sequences, at_once).unwrap_or_default(),
            Case::Highest { cols, count } => highest(side.backend, cols, count),
            Case::Experts {
                format,
                tokens,
                variant,
            } => experts::run(side, format, tokens, variant),
        }
    }
}

fn product<B: Backend>(
    side: &mut Side<'_, B>,
    format: Format,
    [tokens, outputs, inputs]: [usize; 3],
    residual: bool,
) -> Vec<f32> {
    let weight = matrix(side.device, format, outputs, inputs, 7);
    let x = side
        .backend
        .write(&exact_activations(3, tokens * inputs), inputs);
    if !residual {
        let mut out = side.backend.tensor(tokens, outputs);
        let product = Product {
            weight: &weight,
            bias: None,
            out: &mut out,
        };
        side.backend.matmul(&x, &mut [product]);
        return read(side.backend, &out);
    }
    let bias = vector(side.device, 4, outputs);
    let mut sum = side.backend.write(&floats(5, tokens * outputs), outputs);
    side.backend.matmul_add(&x, &weight, Some(&bias), &mut sum);
    read(side.backend, &sum)
}

fn siblings<B: Backend>(
    side: &mut Side<'_, B>,
    formats: [Format; 3],
    outputs: [usize; 3],
    [tokens, inputs]: [usize; 2],
    bias: bool,
) -> Vec<f32> {
    let seeds = [7, 8, 9];
    let parts: Vec<_> = (0..3)
        .map(|i| Sibling {
            format: formats[i],
            rows: outputs[i],
            bytes: weights(formats[i], outputs[i], inputs, seeds[i]),
        })
        .collect();
    let placed = side.device.siblings(inputs, parts);
    let biases: Vec<_> = (0..3)
        .map(|i| vector(side.device, seeds[i], outputs[i]))
        .collect();
    let x = exact_activations(3, tokens * inputs);
    let x = side.backend.write(&x, inputs);
    let mut outs: Vec<_> = (outputs.iter())
        .map(|&outputs| side.backend.tensor(tokens, outputs))
        .collect();
    let mut products: Vec<_> = (placed.iter().zip(&biases).zip(&mut outs))
        .map(|((weight, vector), out)| Product {
            weight,
            bias: bias.then_some(vector),
            out,
        })
        .collect();
    side.backend.matmul(&x, &mut products);
    let mut values = Vec::new();
    for out in &outs {
        values.extend(read(side.backend, out));
    }
    // One of them alone.
    side.backend.matmul_add(&x, &placed[1], None, &mut outs[1]);
    values.extend(read(side.backend, &outs[1]));
    values
}

fn gate_up<B: Backend>(
    side: &mut Side<'_, B>,
    formats: [Format; 2],
    [tokens, outputs]: [usize; 2],
    bias: bool,
    activation: Activation,
    product: bool,
) -> Vec<f32> {
    let inputs = 768;
    let seeds = [7, 8];
    let parts = (0..2).map(|i| Sibling {
        format: formats[i],
        rows: outputs,
        bytes: weights(formats[i], outputs, inputs, seeds[i]),
    });
    let placed = side.device.siblings(inputs, parts.collect());
    let biases = seeds.map(|seed| vector(side.device, seed, outputs));
    let x = exact_activations(3, tokens * inputs);
    let x = side.backend.write(&x, inputs);
    let mut hidden = side.backend.tensor(tokens, outputs);
    let mut other = side.backend.tensor(tokens, outputs);
    let [gate, up] = [(&mut hidden, 0), (&mut other, 1)].map(|(out, i)| Product {
        weight: &placed[i],
        bias: bias.then_some(&biases[i]),
        out,
    });
    side.backend.gate_up(&x, activation, gate, up);
    if !product {
        return read(side.backend, &hidden);
    }
    let after = matrix(side.device, Format::Q8_0, 21, outputs, 9);
    let mut out = side.backend.tensor(tokens, 21);
    let product = Product {
        weight: &after,
        bias: None,
        out: &mut out,
    };
    side.backend.matmul(&hidden, &mut [product]);
    read(side.backend, &out)
}

fn chain<B: Backend>(side: &mut Side<'_, B>, before: Before, cols: usize) -> Vec<f32> {
    let (rows, outputs) = (3, 21);
    let weight = matrix(side.device, Format::Q8_0, outputs, cols, 7);
    let mut x = side.backend.write(&floats(1, rows * cols), cols);
    let mut hidden = side.backend.tensor(rows, cols);
    let from = match before {
        Before::Gate => {
            let up = side.backend.write(&floats(2, rows * cols), cols);
            side.backend.gate_mul(Activation::Silu, &mut x, &up);
            &x
        }
        Before::Activation => {
            side.backend.activate(Activation::Gelu, &mut x);
            &x
        }
        Before::Norm(kind) => {
            let norm = Norm {
                kind,
                eps: 1e-5,
                width: cols,
                weight: vector(side.device, 2, cols),
                bias: (kind == NormKind::Layer).then(|| vector(side.device, 4, cols)),
            };
            side.backend.norm(&x, &norm, &mut hidden);
            &hidden
        }
    };
    let mut out = side.backend.tensor(rows, outputs);
    let product = Product {
        weight: &weight,
        bias: None,
        out: &mut out,
    };
    side.backend.matmul(from, &mut [product]);
    read(side.backend, &out)
}

/// Columns and values of the highest, sorted by column.
fn highest<B: Backend>(backend: &mut B, cols: usize, count: usize) -> Vec<f32> {
    let rows = 3;
    let mut x = floats(1, rows * cols);
    // The last row has few different values.
    for value in &mut x[2 * cols..] {
        *value = (*value * 3.0).round() / 4.0;
    }
    let x = backend.write(&x, cols);
    let mut found = Vec::new();
    backend.highest(&x, count, &mut found);
    for row in found.chunks_mut(count.min(cols)) {
        row.sort_by_key(|(col, _)| *col);
    }
    found
        .iter()
        .flat_map(|&(col, value)| [col as f32, value])
        .collect()
}
