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
use super::units;
use super::weights::{GpuMatrix, GpuVector, MOST_SIBLINGS};
use crate::backend::Product;
use kernels::Format;
use kernels::format::ActivationForm;
use shaders::piece::UnitTile;
use shaders::table::Workgroup;
use shaders::{Op, Piece, piece};
use std::sync::Arc;

/// Tokens up to which weights are read once for each tile of tokens, without
/// going through workgroup memory.
pub(super) const MATVEC_TOKENS: usize = 16;

/// Workgroups that keep a large device busy: fewer in large tiles on matrix units
/// take longer than more in smaller ones.
const ENOUGH_WORKGROUPS: usize = 100;

/// The shaders of products: for few tokens and for many, of block formats and of
/// floats; for many tokens also on matrix units and in f16.
struct Shaders {
    few: [Op; 2],
    many: [Op; 2],
    many_units: Op,
    many_half: Op,
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

/// A format's piece.
pub(super) fn format_piece(format: Format) -> &'static Piece {
    piece::format(format.info().tensor_type).expect("every format that computes has a shader")
}

pub(super) fn is_int8(format: Format) -> bool {
    format.info().activations == ActivationForm::Int8
}

/// Whether products of many tokens with that format are computed in f16, where
/// there is such arithmetic: with weights of 16 bits. Weights that a file has in
/// f32, such as those that choose experts, are there for their precision.
pub(super) fn computes_in_half(format: Format) -> bool {
    matches!(format, Format::F16 | Format::BF16)
}

/// A constant that is set.
fn set(name: &'static str, is_set: bool) -> Option<(&'static str, u32)> {
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
        let (input, scales) = self.input(x, weight.format);
        let bias_buffer = self.bias(bias);
        for slice in &weight.slices {
            let rows = slice.rows.len();
            let (mut kernel, workgroups) = self.kernel(&ALONE, x.rows, weight.format, rows);
            kernel.constants[1] = set("BIAS", bias.is_some());
            kernel.constants[2] = set("ADD", add);
            let mut buffers = vec![&slice.buffer, &input, &bias_buffer, &out.float];
            buffers.extend(&scales);
            self.recorder.dispatch(
                kernel,
                &buffers,
                &[
                    rows as u32,
                    slice.begin as u32,
                    slice.rows.start as u32,
                    weight.row_bytes as u32,
                    weight.cols as u32,
                    weight.rows as u32,
                    x.rows as u32,
                ],
                workgroups,
            );
            self.count(x, weight, rows);
        }
        out.is_written(false);
    }

    /// Two or three products whose weights lie one behind the other.
    fn product_of_siblings(&mut self, x: &Tensor, products: &mut [Product<'_, Self>]) {
        for product in &*products {
            check_shapes(x, product.weight, product.out);
        }
        let first = products[0].weight;
        let (input, scales) = self.input(x, first.format);
        let ends: Vec<_> = products
            .iter()
            .scan(0, |end, product| {
                *end += product.weight.rows;
                Some(*end)
            })
            .collect();
        let rows = ends[ends.len() - 1];
        let (mut kernel, workgroups) = self.kernel(&SIBLINGS, x.rows, first.format, rows);
        kernel.constants[1] = set("BIAS", products[0].bias.is_some());
        let mut buffers = vec![first.slices[0].buffer.clone(), input];
        for index in 0..MOST_SIBLINGS {
            let product = products.get(index);
            buffers.push(self.bias(product.and_then(|product| product.bias)));
            buffers.push(match product {
                Some(product) => product.out.float.clone(),
                None => self.recorder.unwritten(),
            });
        }
        buffers.extend(scales);
        self.recorder.dispatch(
            kernel,
            &buffers.iter().collect::<Vec<_>>(),
            &[
                rows as u32,
                first.slices[0].begin as u32,
                first.row_bytes as u32,
                first.cols as u32,
                x.rows as u32,
                ends[0] as u32,
                ends[1] as u32,
            ],
            workgroups,
        );
        for product in products {
            product.out.is_written(false);
        }
        self.count(x, first, rows);
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

    /// `gate = silu(x·gateᵀ) · x·upᵀ` for few tokens.
    pub(super) fn gated(&mut self, x: &Tensor, gate: &Product<'_, Self>, up: &Product<'_, Self>) {
        check_shapes(x, gate.weight, gate.out);
        let (weight, out) = (gate.weight, &*gate.out);
        let (input, _) = self.input(x, weight.format);
        let op = match is_int8(weight.format) {
            true => Op::GatedInt8,
            false => Op::GatedFloat,
        };
        let (tile, tokens) = tile_of(piece::TOKENS, x.rows);
        let mut kernel = Kernel::new(op, &[format_piece(weight.format), tokens, self.teams()]);
        kernel.constants[0] = set("BIAS", gate.bias.is_some());
        let quantized = match out.has_groups() {
            true => out.int8().clone(),
            false => self.recorder.unwritten(),
        };
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
    fn input(&mut self, x: &Tensor, format: Format) -> (Arc<Buffer>, Option<Arc<Buffer>>) {
        if self.is_on_units(x.rows, format) {
            self.halves(x);
            let [halves, scales] = x.halves();
            return (halves.clone(), Some(scales.clone()));
        }
        if is_int8(format) {
            self.quantized(x);
            return (x.int8().clone(), None);
        }
        (x.float.clone(), None)
    }

    /// Whether products of so many tokens with that format use matrix units.
    fn is_on_units(&self, tokens: usize, format: Format) -> bool {
        self.context.matrix_units && tokens > MATVEC_TOKENS && is_int8(format)
    }

    /// The tile in which matrix units compute so many rows for so many tokens: the
    /// largest that leaves enough workgroups and whose tokens are not mostly none.
    fn unit_tile(&self, rows: usize, tokens: usize) -> &'static UnitTile {
        let workgroups = |tile: &UnitTile| {
            rows.div_ceil(tile.rows as usize) * tokens.div_ceil(tile.tokens as usize)
        };
        let fitting = || units::tiles(&self.context.limits);
        fitting()
            .find(|tile| 2 * tokens > tile.tokens as usize && workgroups(tile) >= ENOUGH_WORKGROUPS)
            .or(fitting().last())
            .expect("a device with matrix units has room for a tile")
    }

    fn bias(&self, bias: Option<&GpuVector>) -> Arc<Buffer> {
        bias.map_or_else(|| self.recorder.unread(), |bias| bias.buffer.clone())
    }

    /// The shader for so many tokens and rows, and its workgroups.
    fn kernel(
        &self,
        shaders: &Shaders,
        tokens: usize,
        format: Format,
        rows: usize,
    ) -> (Kernel, [u32; 3]) {
        let float = usize::from(!is_int8(format));
        if self.is_on_units(tokens, format) {
            let tile = self.unit_tile(rows, tokens);
            let workgroups = [
                rows.div_ceil(tile.rows as usize) as u32,
                tokens.div_ceil(tile.tokens as usize) as u32,
                1,
            ];
            let pieces = [format_piece(format), &tile.piece];
            return (Kernel::new(shaders.many_units, &pieces), workgroups);
        }
        let many = if self.context.half && computes_in_half(format) {
            shaders.many_half
        } else {
            shaders.many[float]
        };
        let format = format_piece(format);
        let (tile, tokens_piece) = tile_of(piece::TOKENS, tokens);
        let kernel = match tokens <= MATVEC_TOKENS {
            true => Kernel::new(shaders.few[float], &[format, tokens_piece, self.teams()]),
            false => Kernel::new(many, &[format]),
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
    fn count(&mut self, x: &Tensor, weight: &GpuMatrix, rows: usize) {
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
