//! The CPU backend: weights stay where the file is mapped, operations run on
//! the thread team.

mod experts;
mod heads;

use super::{
    Activation, AttentionShape, Backend, DeltaInputs, DeltaWeights, Device, Experts, Norm, Product,
    QueriesAndKeys, SsmInputs, SsmWeights, Step,
};
use crate::mapping::Bytes;
use crate::tensors::Vector;
use kernels::attention::{self, AttentionSeq};
use kernels::lines::Lines;
use kernels::matmul::{self, Group, Job, Matrix, Store, Workspace};
use kernels::ops::{self, Rope, RopeAngles, Xielu};
use kernels::recurrent::{self, ConvShape, DeltaShape, SsmShape};
use kernels::team::{MatMut, Region, Team};
use kernels::{Format, Kernels};
use std::sync::{Arc, Mutex, PoisonError};

/// Holds weights in the mapped file.
pub struct CpuDevice;

/// A matrix in the mapped file.
pub struct CpuMatrix {
    format: Format,
    rows: usize,
    cols: usize,
    bytes: Bytes,
}

impl CpuMatrix {
    fn view(&self) -> Matrix<'_> {
        Matrix::new(self.format, self.rows, self.cols, &self.bytes)
            .expect("the shape was checked when the tensor was looked up")
    }

    /// Asks the system to begin reading those rows.
    pub fn read_rows_ahead(&self, rows: &[u32]) {
        let (start, row_bytes) = (self.bytes.range().start, self.bytes.len() / self.rows);
        for &row in rows {
            let row = start + row as usize * row_bytes;
            self.bytes.mapping().read_ahead(row..row + row_bytes);
        }
    }
}

impl Norm<CpuDevice> {
    fn view(&self) -> ops::Norm<'_> {
        ops::Norm {
            kind: self.kind,
            eps: self.eps,
            cols: self.width,
            weight: self.weight.values(),
            bias: self.bias.as_ref().map(Vector::values),
        }
    }
}

impl Device for CpuDevice {
    type Matrix = CpuMatrix;
    type Vector = Vector;

    fn matrix(&self, format: Format, rows: usize, cols: usize, bytes: Bytes) -> CpuMatrix {
        CpuMatrix {
            format,
            rows,
            cols,
            bytes,
        }
    }

    fn vector(&self, vector: Vector) -> Vector {
        vector
    }
}

/// What the CPU computes with: threads, kernels and buffers, reused from step
/// to step.
pub struct Cpu {
    team: Team,
    kernels: Kernels,
    workspace: Workspace,
    attention: attention::Workspace,
    recurrent: recurrent::Workspace,
    pool: Pool,
}

/// Buffers of activations that are not in use.
type Pool = Arc<Mutex<Vec<Lines<f32>>>>;

impl Cpu {
    /// With those threads and kernels.
    pub fn new(team: Team, kernels: Kernels) -> Cpu {
        let threads = team.threads();
        Cpu {
            team,
            kernels,
            workspace: Workspace::new(threads),
            attention: attention::Workspace::new(threads),
            recurrent: recurrent::Workspace::default(),
            pool: Pool::default(),
        }
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// The kernels in use.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Calls the team together for one forward pass.
    pub fn region<R: Send>(&mut self, pass: impl FnOnce(&mut CpuBackend<'_>) -> R + Send) -> R {
        let (team, parts) = self.parts();
        team.region(|region| pass(&mut parts.backend(region)))
    }

    /// One forward pass on this thread alone: if a GPU does what takes time.
    pub fn alone<R>(&mut self, pass: impl FnOnce(&mut CpuBackend<'_>) -> R) -> R {
        let (team, parts) = self.parts();
        team.alone(|region| pass(&mut parts.backend(region)))
    }

    fn parts(&mut self) -> (&Team, Parts<'_>) {
        let parts = Parts {
            kernels: &self.kernels,
            workspace: &mut self.workspace,
            attention: &mut self.attention,
            recurrent: &mut self.recurrent,
            pool: &self.pool,
        };
        (&self.team, parts)
    }
}

/// What a forward pass needs beside a region.
struct Parts<'r> {
    kernels: &'r Kernels,
    workspace: &'r mut Workspace,
    attention: &'r mut attention::Workspace,
    recurrent: &'r mut recurrent::Workspace,
    pool: &'r Pool,
}

impl<'r> Parts<'r> {
    fn backend(self, region: &'r Region<'r>) -> CpuBackend<'r> {
        CpuBackend {
            region,
            kernels: self.kernels,
            workspace: self.workspace,
            attention: self.attention,
            recurrent: self.recurrent,
            pool: self.pool,
            angles: Vec::new(),
        }
    }
}

/// The CPU during a forward pass.
pub struct CpuBackend<'r> {
    region: &'r Region<'r>,
    kernels: &'r Kernels,
    workspace: &'r mut Workspace,
    attention: &'r mut attention::Workspace,
    recurrent: &'r mut recurrent::Workspace,
    pool: &'r Pool,
    /// The step's angles, of each rope that was used: one pass sees one step, so
    /// they need computing once.
    angles: Vec<(*const Rope, RopeAngles)>,
}

/// Activations `[rows, cols]`; the buffer goes back to the pool.
pub struct Tensor {
    data: Lines<f32>,
    rows: usize,
    cols: usize,
    pool: Pool,
}

impl Drop for Tensor {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.data);
        self.pool
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(buffer);
    }
}

impl Tensor {
    fn row(&self, index: usize) -> &[f32] {
        &self.data[index * self.cols..][..self.cols]
    }

    /// The same values in rows of another width.
    pub fn in_rows_of(mut self, width: usize) -> Tensor {
        (self.rows, self.cols) = (self.data.len() / width, width);
        self
    }
}

impl CpuBackend<'_> {
    fn run(&mut self, x: &Tensor, jobs: Vec<Job<'_>>) {
        self.run_groups(&mut [Group {
            x: &x.data,
            rows: x.rows,
            jobs,
        }]);
    }

    fn run_groups(&mut self, groups: &mut [Group<'_, '_>]) {
        let first = groups.iter().flat_map(|group| &group.jobs).next();
        self.region
            .label(first.map_or("matmul", |job| job.weight.format().name()));
        matmul::matmul_groups(self.region, self.kernels, self.workspace, groups);
    }

    /// The angles of a rope at the step's positions.
    fn angles(&mut self, rope: &Rope, positions: &[usize]) -> &RopeAngles {
        let key = std::ptr::from_ref(rope);
        let known = self.angles.iter().position(|(of, _)| *of == key);
        let index = known.unwrap_or_else(|| {
            let mut angles = RopeAngles::default();
            rope.angles(positions, &mut angles);
            self.angles.push((key, angles));
            self.angles.len() - 1
        });
        &self.angles[index].1
    }

    /// `x *= factor`.
    pub fn scale(&mut self, x: &mut Tensor, factor: f32) {
        if factor != 1.0 {
            self.region.label("scale");
            ops::scale(self.region, self.kernels.isa(), &mut x.data, factor);
        }
    }
}

/// The sequences' states of a layer, which a step takes on.
fn states<'a>(step: &'a mut Step<'_>, layer: usize) -> Vec<recurrent::Seq<'a>> {
    let sequences = step.sequences.iter_mut();
    let state = |sequence: &'a mut super::Rows<'_>| {
        let (before, after) = sequence.cache.state_mut(layer);
        recurrent::Seq {
            before,
            after,
            tokens: sequence.rows.len(),
        }
    };
    sequences.map(state).collect()
}

impl Backend for CpuBackend<'_> {
    type Device = CpuDevice;
    type Tensor = Tensor;

    fn tensor(&mut self, rows: usize, width: usize) -> Tensor {
        let len = rows * width;
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that suffices, or else the one that has to grow least.
        let rank = |buffer: &Lines<f32>| match buffer.capacity() {
            enough if enough >= len => (false, enough),
            less => (true, len - less),
        };
        let best = (0..pool.len()).min_by_key(|&index| rank(&pool[index]));
        let mut data = best.map_or_else(Lines::default, |index| pool.swap_remove(index));
        data.resize(len);
        Tensor {
            data,
            rows,
            cols: width,
            pool: self.pool.clone(),
        }
    }

    fn write(&mut self, values: &[f32], width: usize) -> Tensor {
        let mut out = self.tensor(values.len() / width, width);
        out.data.copy_from_slice(values);
        out
    }

    fn embed(&mut self, table: &CpuMatrix, tokens: &[u32]) -> Tensor {
        self.region.label("embed");
        let mut out = self.tensor(tokens.len(), table.cols);
        let table = table.view();
        self.region
            .chunks_mut(&mut out.data, table.cols(), |row, out| {
                table.dequantize_row(tokens[row] as usize, out);
            });
        out
    }

    fn select(&mut self, x: &Tensor, rows: &[usize]) -> Tensor {
        let mut out = self.tensor(rows.len(), x.cols);
        self.region.label("select");
        self.region.chunks_mut(&mut out.data, x.cols, |index, out| {
            out.copy_from_slice(x.row(rows[index]));
        });
        out
    }

    fn read(&mut self, x: &Tensor, out: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(&x.data);
    }

    fn highest(&mut self, x: &Tensor, count: usize, out: &mut Vec<(u32, f32)>) {
        // What is no number first, then by value.
        let rank = |value: f32| (!value.is_finite(), value);
        let order = |a: &(u32, f32), b: &(u32, f32)| {
            let ((a_bad, a_value), (b_bad, b_value)) = (rank(a.1), rank(b.1));
            (b_bad.cmp(&a_bad))
                .then(b_value.total_cmp(&a_value))
                .then(a.0.cmp(&b.0))
        };
        out.clear();
        for row in 0..x.rows {
            let candidates = (0..).zip(x.row(row).iter().copied());
            if count == 1 {
                out.extend(candidates.min_by(order));
                continue;
            }
            let mut candidates: Vec<(u32, f32)> = candidates.collect();
            if count < candidates.len() {
                candidates.select_nth_unstable_by(count, order);
                candidates.truncate(count);
            }
            out.append(&mut candidates);
        }
    }

    fn norm(&mut self, x: &Tensor, norm: &Norm<CpuDevice>, out: &mut Tensor) {
        self.region.label("norm");
        let (isa, norm) = (self.kernels.isa(), norm.view());
        ops::norm(self.region, isa, &norm, &mut out.data, &x.data);
    }

    fn norm_add(&mut self, x: &Tensor, norm: &Norm<CpuDevice>, sum: &mut Tensor) {
        let mut normed = self.tensor(x.rows, x.cols);
        self.norm(x, norm, &mut normed);
        self.region.label("add");
        ops::add(self.region, self.kernels.isa(), &mut sum.data, &normed.data);
    }

    fn matmul(&mut self, x: &Tensor, products: &mut [Product<'_, Self>]) {
        let jobs = products
            .iter_mut()
            .map(|product| Job {
                weight: product.weight.view(),
                out: MatMut::new(&mut product.out.data, x.rows),
                store: product
                    .bias
                    .map_or(Store::Set, |bias| Store::Bias(bias.values())),
            })
            .collect();
        self.run(x, jobs);
    }

    fn matmul_add(
        &mut self,
        x: &Tensor,
        weight: &CpuMatrix,
        bias: Option<&Vector>,
        sum: &mut Tensor,
    ) {
        let out = MatMut::new(&mut sum.data, x.rows);
        let store = bias.map_or(Store::Add, |bias| Store::AddBias(bias.values()));
        self.run(
            x,
            vec![Job {
                weight: weight.view(),
                out,
                store,
            }],
        );
    }

    fn attention(
        &mut self,
        cache: usize,
        shape: &AttentionShape,
        prepared: &QueriesAndKeys<'_, Self>,
        q: &mut Tensor,
        mut new: Option<(&mut Tensor, &Tensor)>,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        let isa = self.kernels.isa();
        let keys = new.as_mut().map(|(k, _)| &mut **k);
        self.prepare(shape.head_dim_k, prepared, &step.positions, q, keys);
        if let Some((k, v)) = new {
            self.region.label("append");
            for sequence in &mut step.sequences {
                let rows = sequence.rows.clone();
                let of = |x: &Tensor| rows.start * x.cols..rows.end * x.cols;
                let cache = sequence.cache.layer_mut(cache);
                let (k, v) = (&k.data[of(k)], &v.data[of(v)]);
                cache.append(self.region, isa, k, v, sequence.position);
            }
        }
        self.region.label("attention");
        let queries = step.queries();
        let sequences: Vec<AttentionSeq<'_>> = queries
            .iter()
            .map(|queries| AttentionSeq {
                cache: step.sequences[queries.sequence].cache.layer(cache),
                first_row: queries.rows.start,
                tokens: queries.rows.len(),
                position: queries.position,
            })
            .collect();
        let kept = step.kept.as_ref().map(|rows| self.select(q, rows));
        let q = kept.as_ref().unwrap_or(q);
        attention::attention(
            self.region,
            self.kernels.isa(),
            self.attention,
            &mut out.data,
            &q.data,
            &sequences,
            &attention::Heads {
                n_head: shape.n_head,
                scale: shape.scale,
                window: shape.window,
                sinks: prepared.sinks.map(Vector::values),
                cap: shape.cap,
            },
        );
    }

    fn in_rows_of(&mut self, x: Tensor, width: usize) -> Tensor {
        x.in_rows_of(width)
    }

    fn deal(&mut self, x: &Tensor, widths: [usize; 2], first: &mut Tensor, second: &mut Tensor) {
        self.deal_pieces(x, widths, first, second);
    }

    fn join(&mut self, first: &Tensor, second: &Tensor, widths: [usize; 2], out: &mut Tensor) {
        self.join_pieces(first, second, widths, out);
    }

    fn head_products(&mut self, x: &Tensor, weight: &CpuMatrix, heads: usize, out: &mut Tensor) {
        self.products_of_heads(x, weight, heads, out);
    }

    fn sigmoid_mul(&mut self, x: &mut Tensor, gate: &Tensor) {
        self.region.label("sigmoid_mul");
        ops::sigmoid_mul(self.region, self.kernels.isa(), &mut x.data, &gate.data);
    }

    fn scale_rows(&mut self, x: &mut Tensor, factors: &[f32]) {
        self.region.label("scale_rows");
        ops::scale_rows(self.region, self.kernels.isa(), &mut x.data, factors);
    }

    fn scale_by(&mut self, x: &mut Tensor, factor: &Vector) {
        self.scale(x, factor.values()[0]);
    }

    fn sigmoid_rows(&mut self, x: &mut Tensor, gates: &Tensor) {
        self.region.label("sigmoid_rows");
        ops::sigmoid_rows(self.region, self.kernels.isa(), &mut x.data, &gates.data);
    }

    fn mul(&mut self, x: &mut Tensor, y: &Tensor) {
        self.region.label("mul");
        ops::mul(self.region, self.kernels.isa(), &mut x.data, &y.data);
    }

    fn short_conv(
        &mut self,
        layer: usize,
        shape: &ConvShape,
        weights: &Vector,
        x: &Tensor,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        self.region.label("short_conv");
        recurrent::short_conv(
            self.region,
            self.kernels.isa(),
            shape,
            weights.values(),
            &x.data,
            &mut states(step, layer),
            &mut out.data,
        );
    }

    fn delta_net(
        &mut self,
        layer: usize,
        shape: &DeltaShape,
        weights: &DeltaWeights<'_, Self>,
        inputs: &DeltaInputs<'_, Self>,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        self.region.label("delta_net");
        let mut seqs = states(step, layer);
        recurrent::delta_net(
            self.region,
            self.kernels.isa(),
            self.recurrent,
            shape,
            &recurrent::DeltaWeights {
                conv: weights.conv.values(),
                a: weights.a.values(),
                bias: weights.bias.values(),
                eps: weights.eps,
            },
            &recurrent::DeltaInputs {
                qkv: &inputs.qkv.data,
                alpha: &inputs.alpha.data,
                beta: &inputs.beta.data,
            },
            &mut seqs,
            &mut out.data,
        );
    }

    fn ssm(
        &mut self,
        layer: usize,
        shape: &SsmShape,
        weights: &SsmWeights<'_, Self>,
        inputs: &SsmInputs<'_, Self>,
        step: &mut Step<'_>,
        out: &mut Tensor,
    ) {
        self.region.label("ssm");
        let mut seqs = states(step, layer);
        recurrent::ssm(
            self.region,
            self.kernels.isa(),
            self.recurrent,
            shape,
            &recurrent::SsmWeights {
                conv: weights.conv.values(),
                conv_bias: weights.conv_bias.map(Vector::values),
                a: weights.a.values(),
                dt_bias: weights.dt_bias.values(),
                d: weights.d.values(),
            },
            &recurrent::SsmInputs {
                x: &inputs.x.data,
                steps: &inputs.steps.data,
            },
            &mut seqs,
            &mut out.data,
        );
    }

    fn gate_mul(&mut self, activation: Activation, gate: &mut Tensor, up: &Tensor) {
        self.region.label("gate_mul");
        let gate_mul = match activation {
            Activation::Silu => ops::silu_mul,
            Activation::Gelu => ops::gelu_mul,
            Activation::Limited => ops::limited_mul,
            Activation::Relu => ops::relu_mul,
            Activation::ReluSquared => ops::relu_squared_mul,
        };
        gate_mul(self.region, self.kernels.isa(), &mut gate.data, &up.data);
    }

    fn activate(&mut self, activation: Activation, x: &mut Tensor) {
        self.region.label("activate");
        let activate = match activation {
            Activation::Silu => ops::silu,
            Activation::Gelu => ops::gelu,
            Activation::Limited => ops::limited,
            Activation::Relu => ops::relu,
            Activation::ReluSquared => ops::relu_squared,
        };
        activate(self.region, self.kernels.isa(), &mut x.data);
    }

    fn xielu(&mut self, x: &mut Tensor, parameters: &Xielu) {
        self.region.label("xielu");
        ops::xielu(self.region, self.kernels.isa(), &mut x.data, parameters);
    }

    fn experts(&mut self, x: &Tensor, experts: &Experts<'_, Self>, sum: &mut Tensor) {
        self.add_experts(x, experts, sum);
    }
}
