//! Products of matrices: which shader computes them, and in how many dispatches.
//!
//! A matrix that no binding holds takes a dispatch for each of its slices; those
//! that lie one behind the other in a buffer, as q, k and v do, take one
//! together.

use super::context::Buffer;
use super::ops::{GpuBackend, tile_of};
use super::pipelines::Kernel;
use super::profile::Work;
use super::tensor::Tensor;
use super::units::Plan;
use super::weights::{GpuMatrix, GpuVector, MOST_SIBLINGS, Slice};
use crate::backend::{Activation, Product};
use kernels::Format;
use kernels::format::ActivationForm;
use shaders::table::Workgroup;
use shaders::{Op, Piece, piece};
use std::sync::Arc;

/// Tokens up to which weights are read once for each tile of tokens, without
/// going through workgroup memory.
pub(super) const MATVEC_TOKENS: usize = 16;

/// Rows of floats of which tiles are too few to keep a large device busy: such
/// matrices, as those that choose experts, take the shader for few tokens however many
/// there are. (On an NVIDIA H200, 128 rows of 2048 in F32 took 250 µs in tiles, of 64
/// tokens as of 512; one token takes 15.)
const FEW_ROWS: usize = 256;

/// The shaders of products: for few tokens and for many, of block formats and of
/// floats; for many tokens also on matrix units and in f16.
pub(super) struct Shaders {
    few: [Op; 2],
    many: [Op; 2],
    pub many_units: Op,
    many_half: Op,
}

impl Shaders {
    /// For few tokens and weights of that format.
    pub fn few(&self, format: Format) -> Op {
        of_input(self.few, format)
    }

    /// For many, without matrix units; `half`: with arithmetic in f16.
    pub fn many(&self, format: Format, half: bool) -> Op {
        match half && computes_in_half(format) {
            true => self.many_half,
            false => of_input(self.many, format),
        }
    }
}

const ALONE: Shaders = Shaders {
    few: [Op::MatvecInt8, Op::MatvecFloat],
    many: [Op::MatmulInt8, Op::MatmulFloat],
    many_units: Op::MatmulUnits,
    many_half: Op::MatmulHalf,
};

const SIBLINGS: Shaders = Shaders {
    few: [Op::SiblingMatvecInt8, Op::SiblingMatvecFloat],
    many: [Op::SiblingMatmulInt8, Op::SiblingMatmulFloat],
    many_units: Op::SiblingMatmulUnits,
    many_half: Op::SiblingMatmulHalf,
};

/// Of experts: of one item after the other, and of an expert's together.
pub(super) const EXPERTS: Shaders = Shaders {
    few: [Op::ExpertInt8, Op::ExpertFloat],
    many: [Op::ExpertMatmulInt8, Op::ExpertMatmulFloat],
    many_units: Op::ExpertMatmulUnits,
    many_half: Op::ExpertMatmulHalf,
};

/// What is multiplied: activations, and rows of a slice that are those of a matrix
/// or of siblings, of which `weight` is the first.
pub(super) struct Factors<'a> {
    pub x: &'a Tensor,
    pub weight: &'a GpuMatrix,
    pub slice: &'a Slice,
    pub rows: usize,
}

/// Where the products go.
pub(super) struct Targets {
    /// A bias and an output of each matrix, in turn: of one, or of as many as
    /// siblings can be.
    pub buffers: Vec<Arc<Buffer>>,
    /// Of the first matrix, the output that the first row makes, and all outputs.
    pub first_row: usize,
    pub outputs: usize,
    /// The first rows of the second and of the third matrix; the number of rows if
    /// there is none.
    pub second: usize,
    pub third: usize,
    /// Whether biases are added.
    pub bias: bool,
    /// Whether the product of one matrix is added to its output.
    pub add: bool,
}

/// A format's piece.
pub(super) fn format_piece(format: Format) -> &'static Piece {
    piece::format(format.info().tensor_type).expect("every format that computes has a shader")
}

pub(super) fn is_int8(format: Format) -> bool {
    format.info().activations == ActivationForm::Int8
}

/// Of two operations, for activations as 8-bit integers and as floats, the one for a format.
pub(super) fn of_input([int8, float]: [Op; 2], format: Format) -> Op {
    if is_int8(format) { int8 } else { float }
}

/// Whether products of many tokens with that format are computed in f16, where
/// there is such arithmetic: with weights of 16 bits. Weights that a file has in
/// f32, such as those that choose experts, are there for their precision.
pub(super) fn computes_in_half(format: Format) -> bool {
    matches!(format, Format::F16 | Format::BF16)
}

/// What tells a shader the activation of gates; see `shaders/wgsl/shared/gate.wgsl`.
pub(super) fn constant_of(activation: Activation) -> Option<(&'static str, u32)> {
    match activation {
        Activation::Silu => None,
        Activation::Gelu => Some(("ACTIVATION", 1)),
        Activation::Limited => Some(("ACTIVATION", 2)),
        Activation::Relu => Some(("ACTIVATION", 3)),
        Activation::ReluSquared => Some(("ACTIVATION", 4)),
    }
}

/// A constant that is set.
pub(super) fn set(name: &'static str, is_set: bool) -> Option<(&'static str, u32)> {
    is_set.then_some((name, 1))
}

impl GpuBackend {
    /// `out = x·wᵀ (+ bias)` for each product, siblings together.
    pub(super) fn products(&mut self, x: &Tensor, mut products: &mut [Product<'_, Self>]) {
        while !products.is_empty() {
            let (now, later) = products.split_at_mut(siblings(products));
            match now {
                [one] => self.product(x, one.weight, one.bias, false, one.out),
                _ => self.product_of_siblings(x, now),
            }
            products = later;
        }
    }

    /// `out = x·wᵀ (+ bias)`, or `out +=`.
    pub(super) fn product(
        &mut self,
        x: &Tensor,
        weight: &GpuMatrix,
        bias: Option<&GpuVector>,
        add: bool,
        out: &mut Tensor,
    ) {
        check_shapes(x, weight, out);
        for slice in &weight.slices {
            let rows = slice.rows.len();
            let factors = Factors {
                x,
                weight,
                slice,
                rows,
            };
            let targets = Targets {
                buffers: vec![self.bias(bias), out.float.clone()],
                first_row: slice.rows.start,
                outputs: weight.rows,
                second: rows,
                third: rows,
                bias: bias.is_some(),
                add,
            };
            self.multiply(&ALONE, &factors, &targets);
        }
        out.is_written(false);
    }

    /// Two or three products whose weights lie one behind the other.
    fn product_of_siblings(&mut self, x: &Tensor, products: &mut [Product<'_, Self>]) {
        for product in &*products {
            check_shapes(x, product.weight, product.out);
        }
        let first = products[0].weight;
        let ends: Vec<_> = products
            .iter()
            .scan(0, |end, product| {
                *end += product.weight.rows;
                Some(*end)
            })
            .collect();
        let mut buffers = Vec::new();
        for index in 0..MOST_SIBLINGS {
            let product = products.get(index);
            buffers.push(self.bias(product.and_then(|product| product.bias)));
            buffers.push(match product {
                Some(product) => product.out.float.clone(),
                None => self.recorder.unwritten(),
            });
        }
        let factors = Factors {
            x,
            weight: first,
            slice: &first.slices[0],
            rows: ends[ends.len() - 1],
        };
        let targets = Targets {
            buffers,
            first_row: 0,
            outputs: first.rows,
            second: ends[0],
            third: ends[1],
            bias: products[0].bias.is_some(),
            add: false,
        };
        self.multiply(&SIBLINGS, &factors, &targets);
        for product in products {
            product.out.is_written(false);
        }
    }

    /// One dispatch with the products, or two if inputs are split. A rehearsal notes
    /// what any number of tokens would need.
    fn multiply(&mut self, shaders: &Shaders, factors: &Factors<'_>, targets: &Targets) {
        let Factors {
            x, weight, rows, ..
        } = *factors;
        let input = self.input(x, weight.format);
        if !self.is_on_units(x.rows, weight.format) {
            let (kernel, workgroups) = self.kernel(shaders, x.rows, weight.format, rows);
            return self.product_in_one(kernel, workgroups, &input, factors, targets);
        }
        let limits = &self.context.limits;
        let plans = match self.recorder.is_rehearsing() {
            true => Plan::of_any_tokens(limits, [rows, weight.cols]),
            false => vec![Plan::new(limits, [x.rows, rows, weight.cols])],
        };
        for plan in plans {
            if plan.splits > 1 {
                self.product_in_splits(&plan, factors, targets);
                continue;
            }
            let pieces = [format_piece(weight.format), &plan.tile.piece];
            let kernel = Kernel::new(shaders.many_units, &pieces);
            self.product_in_one(kernel, plan.workgroups, &input, factors, targets);
        }
    }

    fn product_in_one(
        &mut self,
        mut kernel: Kernel,
        workgroups: [u32; 3],
        (input, scales): &(Arc<Buffer>, Option<Arc<Buffer>>),
        factors: &Factors<'_>,
        targets: &Targets,
    ) {
        let Factors {
            x,
            weight,
            slice,
            rows,
        } = *factors;
        kernel.constants[1] = set("BIAS", targets.bias);
        kernel.constants[2] = set("ADD", targets.add);
        let mut buffers = vec![&slice.buffer, input];
        buffers.extend(&targets.buffers);
        buffers.extend(scales);
        let alone = [
            rows,
            slice.begin,
            targets.first_row,
            weight.row_bytes,
            weight.cols,
            targets.outputs,
            x.rows,
        ];
        let siblings = [
            rows,
            slice.begin,
            weight.row_bytes,
            weight.cols,
            x.rows,
            targets.second,
            targets.third,
        ];
        let params = match targets.buffers.len() > 2 {
            true => siblings,
            false => alone,
        };
        let params = params.map(|param| param as u32);
        self.recorder
            .dispatch(kernel, &buffers, &params, workgroups);
        self.count(x, weight, rows);
    }

    /// Whether gate and up can be one dispatch with what is made of them.
    pub(super) fn is_gated_at_once(
        &self,
        x: &Tensor,
        gate: &Product<'_, Self>,
        up: &Product<'_, Self>,
    ) -> bool {
        x.rows <= MATVEC_TOKENS && gate.weight.rows == up.weight.rows && follows(gate, up)
    }

    /// `gate = activation(x·gateᵀ) · x·upᵀ` for few tokens.
    pub(super) fn gated(
        &mut self,
        x: &Tensor,
        activation: Activation,
        gate: &Product<'_, Self>,
        up: &Product<'_, Self>,
    ) {
        check_shapes(x, gate.weight, gate.out);
        let (weight, out) = (gate.weight, &*gate.out);
        let (input, _) = self.input(x, weight.format);
        let op = of_input([Op::GatedInt8, Op::GatedFloat], weight.format);
        let (tile, tokens) = tile_of(piece::TOKENS, x.rows);
        let mut kernel = Kernel::new(op, &[format_piece(weight.format), tokens, self.teams()]);
        kernel.constants[0] = set("BIAS", gate.bias.is_some());
        kernel.constants[1] = constant_of(activation);
        let quantized = self.int8_of(out);
        let Workgroup::Rows(rows) = op.shader().workgroup else {
            panic!("{op:?} counts rows");
        };
        let [wide, high, _] = self.spread(weight.rows.div_ceil(rows as usize));
        let buffers = [
            &weight.slices[0].buffer,
            &input,
            &self.bias(gate.bias),
            &self.bias(up.bias),
            &out.float,
            &quantized,
        ];
        self.recorder.dispatch(
            kernel,
            &buffers,
            &[
                2 * weight.rows as u32,
                weight.slices[0].begin as u32,
                weight.row_bytes as u32,
                weight.cols as u32,
                x.rows as u32,
                weight.rows as u32,
                u32::from(out.has_groups()),
            ],
            [wide, high, x.rows.div_ceil(tile) as u32],
        );
        out.is_written(out.has_groups());
        self.count(x, weight, 2 * weight.rows);
    }

    /// The activations in the form that a format is multiplied with, and the scales
    /// of tokens that belong to it on matrix units.
    pub(super) fn input(
        &mut self,
        x: &Tensor,
        format: Format,
    ) -> (Arc<Buffer>, Option<Arc<Buffer>>) {
        if self.is_on_units(x.rows, format) {
            self.halves(x);
            let [halves, scales] = x.halves();
            return (halves.clone(), Some(scales.clone()));
        }
        (self.plain_input(x, format), None)
    }

    /// The same without matrix units.
    pub(super) fn plain_input(&mut self, x: &Tensor, format: Format) -> Arc<Buffer> {
        if is_int8(format) {
            self.quantized(x);
            return x.int8().clone();
        }
        x.float.clone()
    }

    /// Whether products of so many tokens with that format use matrix units.
    pub(super) fn is_on_units(&self, tokens: usize, format: Format) -> bool {
        self.context.matrix_units && tokens > MATVEC_TOKENS && is_int8(format)
    }

    pub(super) fn bias(&self, bias: Option<&GpuVector>) -> Arc<Buffer> {
        bias.map_or_else(|| self.recorder.unread(), |bias| bias.buffer.clone())
    }

    /// The shader without matrix units for so many tokens and rows, and its
    /// workgroups.
    fn kernel(
        &self,
        shaders: &Shaders,
        tokens: usize,
        format: Format,
        rows: usize,
    ) -> (Kernel, [u32; 3]) {
        let (tile, tokens_piece) = tile_of(piece::TOKENS, tokens);
        let weights = format_piece(format);
        let is_few = tokens <= MATVEC_TOKENS || rows <= FEW_ROWS && !is_int8(format);
        let kernel = match is_few {
            true => Kernel::new(shaders.few(format), &[weights, tokens_piece, self.teams()]),
            false => Kernel::new(shaders.many(format, self.context.half), &[weights]),
        };
        let workgroups = match kernel.op.shader().workgroup {
            Workgroup::Rows(each) => {
                let [wide, high, _] = self.spread(rows.div_ceil(each as usize));
                [wide, high, tokens.div_ceil(tile) as u32]
            }
            Workgroup::Tile(side) => {
                let side = side as usize;
                [rows.div_ceil(side) as u32, tokens.div_ceil(side) as u32, 1]
            }
            other => panic!("{:?} counts {other:?}", kernel.op),
        };
        (kernel, workgroups)
    }

    /// Counts the product with so many rows of such weights.
    pub(super) fn count(&mut self, x: &Tensor, weight: &GpuMatrix, rows: usize) {
        self.recorder.count(Work {
            bytes: (rows * weight.row_bytes) as u64,
            multiplications: (x.rows * rows * x.cols) as u64,
        });
    }
}

/// How many of the first products one dispatch can compute.
fn siblings(products: &[Product<'_, GpuBackend>]) -> usize {
    let follow = |pair: &&[Product<'_, GpuBackend>]| follows(&pair[0], &pair[1]);
    let most = products.len().min(MOST_SIBLINGS);
    1 + products[..most].windows(2).take_while(follow).count()
}

/// Whether one dispatch can compute both: if `next` lies behind the other.
fn follows(product: &Product<'_, GpuBackend>, next: &Product<'_, GpuBackend>) -> bool {
    product.weight.is_followed_by(next.weight) && product.bias.is_some() == next.bias.is_some()
}

fn check_shapes(x: &Tensor, weight: &GpuMatrix, out: &Tensor) {
    assert_eq!(x.cols, weight.cols, "inputs");
    assert_eq!(
        (x.rows, weight.rows),
        (out.rows, out.cols),
        "tokens and outputs"
    );
}
