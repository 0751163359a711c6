//! Matrix multiplication with quantized weights: one interface for one token
//! and for many.
//!
//! ```text
//! out[m, n] = Σ_k x[m, k] · w[n, k]          m tokens, n outputs, k inputs
//! ```
//!
//! # Definition
//!
//! Block formats: group `g` of a row (32 weights) adds to partial sum
//! `acc[g mod 8]`, groups in ascending order, each as [`crate::format`] says;
//! the eight partial sums are then folded in halves.
//!
//! F32, F16: `acc[k mod 16] = fma(x[k], w[k], acc[k mod 16])`, `k` ascending; the
//! sixteen partial sums are folded in halves.
//!
//! BF16: activations are rounded to bf16, and factors below 2⁻⁵⁶ are zeros
//! ([`crate::steps`] says why). Of each 32 inputs partial sum `i` of sixteen takes
//! `2i + 1` and then `2i`, each with a fused multiply-add; the sixteen are folded in
//! halves.
//!
//! Why eight partial sums: the eight groups of 256 weights then sit in the
//! eight lanes of a vector when one row is streamed (decode), without a serial
//! chain and without reading sixteen rows at once; and when rows sit in the
//! lanes (prefill), the groups can be visited in any order that keeps those of
//! one residue ascending. Both orders give the same bits.
//!
//! # How the work is split
//!
//! Products that share their activations are computed together ([`matmul`] takes
//! several jobs), so activations are quantized once; so are products of different
//! activations that do not wait for each other, such as those of experts
//! ([`matmul_groups`]). The outputs are cut into
//! strips of weight rows, a strip is a unit of work for one thread, and a
//! kernel computes one strip for all tokens. Whether it reads blocks in place
//! or unpacks the strip into a panel first is the kernel's own business.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
mod bundle;
mod codebook;
mod float;
mod in_place;
#[cfg(target_arch = "aarch64")]
mod neon;
mod panel;
mod registry;
mod scalar;

pub(crate) use panel::min_tokens_avx512;
pub use registry::{IsaUnavailable, Kernels, MatmulFn, MatmulKernel};

use crate::activation::{Int8Buffer, Int8Rows};
use crate::format::{ActivationForm, Format};
use crate::lines::Lines;
use crate::steps::{StepBuffer, StepRows};
use crate::team::{MatMut, Region, TileMut};

/// A matrix of weights `[rows, cols]` in the format of the file.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    format: Format,
    rows: usize,
    cols: usize,
    row_bytes: usize,
    bytes: &'a [u8],
}

/// The bytes are not a matrix of that shape.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a {format:?} matrix of {rows} rows of {cols} does not have {len_bytes} bytes")]
pub struct ShapeError {
    format: Format,
    rows: usize,
    cols: usize,
    len_bytes: usize,
}

impl<'a> Matrix<'a> {
    /// Views `bytes` as `rows` rows of `cols` weights.
    pub fn new(
        format: Format,
        rows: usize,
        cols: usize,
        bytes: &'a [u8],
    ) -> Result<Self, ShapeError> {
        match format.row_bytes(cols) {
            Some(row_bytes) if row_bytes.checked_mul(rows) == Some(bytes.len()) => Ok(Matrix {
                format,
                rows,
                cols,
                row_bytes,
                bytes,
            }),
            _ => Err(ShapeError {
                format,
                rows,
                cols,
                len_bytes: bytes.len(),
            }),
        }
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Number of rows: outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Weights per row: inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Bytes of row `index`.
    #[inline]
    pub fn row(&self, index: usize) -> &'a [u8] {
        &self.bytes[index * self.row_bytes..][..self.row_bytes]
    }

    /// The rows `range` as a matrix.
    pub fn slice_rows(&self, range: std::ops::Range<usize>) -> Matrix<'a> {
        Matrix {
            rows: range.len(),
            bytes: &self.bytes[range.start * self.row_bytes..range.end * self.row_bytes],
            ..*self
        }
    }

    /// Writes row `index` as `f32`.
    pub fn dequantize_row(&self, index: usize, out: &mut [f32]) {
        self.format.dequantize(self.row(index), out);
    }
}

/// Activations `[rows, cols]`, in the forms the kernels want.
#[derive(Clone, Copy)]
pub struct Activations<'a> {
    /// Number of rows: tokens.
    pub rows: usize,
    /// Values per row.
    pub cols: usize,
    /// The values.
    pub float: &'a [f32],
    /// The values quantized; empty unless a job's format wants them.
    pub int8: Int8Rows<'a>,
    /// The values in steps, for F32 and F16.
    pub plain: StepRows<'a>,
    /// The values as bf16, for BF16.
    pub rounded: StepRows<'a>,
}

impl<'a> Activations<'a> {
    /// Row `index` as floats.
    #[inline]
    pub fn float_row(&self, index: usize) -> &'a [f32] {
        &self.float[index * self.cols..][..self.cols]
    }
}

/// What happens to a product.
#[derive(Clone, Copy)]
pub enum Store<'a> {
    /// `out = x·w`.
    Set,
    /// `out = x·w + bias`.
    Bias(&'a [f32]),
    /// `out = out + x·w`: the residual.
    Add,
    /// `out = out + (x·w + bias)`.
    AddBias(&'a [f32]),
}

/// One product of a call.
pub struct Job<'a> {
    /// The weights.
    pub weight: Matrix<'a>,
    /// The outputs, `[rows of x, rows of weight]`.
    pub out: MatMut<'a>,
    /// What happens to the product.
    pub store: Store<'a>,
}

/// Products that share their activations.
pub struct Group<'x, 'j> {
    /// The activations, `[rows, cols]`.
    pub x: &'x [f32],
    /// Number of rows: tokens.
    pub rows: usize,
    /// The products.
    pub jobs: Vec<Job<'j>>,
}

/// Buffers that are reused from call to call.
pub struct Workspace {
    /// Of the first group, of the second, and so on, as many as there ever were.
    forms: Vec<Forms>,
    threads: Vec<Scratch>,
}

/// A group's activations in the forms the kernels want.
#[derive(Default)]
struct Forms {
    int8: Int8Buffer,
    plain: StepBuffer,
    rounded: StepBuffer,
}

/// A thread's own buffers.
#[derive(Default)]
pub struct Scratch {
    /// A strip of weights unpacked; see [`panel`].
    pub panel: panel::Panel,
    /// Products on their way to a [`Store`] other than [`Store::Set`].
    pub product: Vec<f32>,
    /// A strip of weights in steps.
    pub floats: Lines<f32>,
    /// Rows of a codebook format, spelled out.
    expanded: Lines<u8>,
}

impl Workspace {
    /// For a team of `threads`.
    pub fn new(threads: usize) -> Workspace {
        let threads = (0..threads.max(1)).map(|_| Scratch::default()).collect();
        Workspace {
            forms: Vec::new(),
            threads,
        }
    }
}

impl Forms {
    /// Brings `x` (`[rows, cols]`) into the forms that the jobs want.
    fn fill<'a>(
        &'a mut self,
        region: &Region<'_>,
        kernels: &Kernels,
        x: &'a [f32],
        rows: usize,
        jobs: &[Job<'_>],
    ) -> Activations<'a> {
        let isa = kernels.isa();
        let wanted = |form| jobs.iter().any(|job| form_of(job) == form);
        if wanted(ActivationForm::Int8) {
            self.int8
                .quantize(region, isa, kernels.order(rows), x, rows);
        }
        if wanted(ActivationForm::Float) {
            let form = kernels.plain_form(rows);
            self.plain.fill(region, isa, form, x, rows);
        }
        if wanted(ActivationForm::Bf16) {
            let form = kernels.bf16_form(rows);
            self.rounded.fill(region, isa, form, x, rows);
        }
        Activations {
            rows,
            cols: x.len() / rows,
            float: x,
            int8: self.int8.rows(),
            plain: self.plain.rows(),
            rounded: self.rounded.rows(),
        }
    }
}

/// Computes all `jobs` on the same activations `x` (`[rows, cols]`).
///
/// # Panics
///
/// If a shape does not fit.
pub fn matmul<'j>(
    region: &Region<'_>,
    kernels: &Kernels,
    workspace: &mut Workspace,
    x: &[f32],
    rows: usize,
    jobs: impl IntoIterator<Item = Job<'j>>,
) {
    let jobs = jobs.into_iter().collect();
    matmul_groups(region, kernels, workspace, &mut [Group { x, rows, jobs }]);
}

/// Computes the products of all groups at once.
///
/// # Panics
///
/// If a shape does not fit.
pub fn matmul_groups(
    region: &Region<'_>,
    kernels: &Kernels,
    workspace: &mut Workspace,
    groups: &mut [Group<'_, '_>],
) {
    /// What a unit of work needs beside its outputs.
    struct Spec<'a> {
        weight: Matrix<'a>,
        store: Store<'a>,
        x: Activations<'a>,
        /// Rows of weights.
        strip: usize,
    }
    let Workspace { forms, threads } = workspace;
    let missing = groups.len().saturating_sub(forms.len());
    forms.extend((0..missing).map(|_| Forms::default()));
    let jobs = groups.iter().map(|group| group.jobs.len()).sum();
    let mut specs = Vec::with_capacity(jobs);
    let mut outs = Vec::with_capacity(jobs);
    for (Group { x, rows, jobs }, forms) in groups.iter_mut().zip(forms) {
        if *rows == 0 || jobs.is_empty() {
            continue;
        }
        let x = forms.fill(region, kernels, x, *rows, jobs);
        let strip = strip_rows(kernels, *rows, jobs, region.threads());
        for Job { weight, out, store } in jobs {
            let (weight, store) = (*weight, *store);
            assert_eq!(weight.cols(), x.cols, "inputs of weights and activations");
            let shape = (out.rows(), out.cols());
            assert_eq!(shape, (*rows, weight.rows()), "shape of the outputs");
            outs.push(out.reborrow());
            specs.push(Spec {
                weight,
                store,
                x,
                strip,
            });
        }
    }
    region.tiles(
        &mut outs,
        |index| (specs[index].x.rows, specs[index].strip),
        threads,
        |scratch, index, mut tile| {
            let Spec {
                weight, store, x, ..
            } = specs[index];
            let weight = weight.slice_rows(tile.cols());
            let kernel = kernels.matmul(weight.format());
            match store {
                Store::Set => kernel.run(weight, x, &mut tile, scratch),
                _ => {
                    let mut product = std::mem::take(&mut scratch.product);
                    product.resize(x.rows * weight.rows(), 0.0);
                    let mut out = MatMut::new(&mut product, x.rows);
                    kernel.run(weight, x, &mut TileMut::whole(&mut out), scratch);
                    apply(store, &product, &mut tile);
                    scratch.product = product;
                }
            }
        },
    );
}

/// Brings a strip's products to where they go.
fn apply(store: Store<'_>, product: &[f32], tile: &mut TileMut<'_>) {
    let cols = tile.cols();
    for (row, product) in tile.rows().zip(product.chunks_exact(cols.len())) {
        let out = tile.row(row);
        match store {
            Store::Set => out.copy_from_slice(product),
            Store::Add => out.iter_mut().zip(product).for_each(|(out, p)| *out += p),
            Store::Bias(bias) => {
                for ((out, p), b) in out.iter_mut().zip(product).zip(&bias[cols.clone()]) {
                    *out = p + b;
                }
            }
            Store::AddBias(bias) => {
                for ((out, p), b) in out.iter_mut().zip(product).zip(&bias[cols.clone()]) {
                    *out += p + b;
                }
            }
        }
    }
}

/// What a job's weights are multiplied with.
fn form_of(job: &Job<'_>) -> ActivationForm {
    job.weight.format().info().activations
}

/// Weight rows in a unit of work.
///
/// Few tokens: long stretches that are read as one stream, but enough of them
/// that threads finish together. Many tokens: as many rows as [`panel`] wants.
fn strip_rows(kernels: &Kernels, rows: usize, jobs: &[Job<'_>], threads: usize) -> usize {
    /// Bytes of weights that a thread reads in one go when streaming.
    const STREAM_BYTES: usize = 512 << 10;
    let isa = kernels.isa();
    let row_bytes = jobs
        .iter()
        .map(|job| job.weight.row_bytes())
        .max()
        .unwrap_or(1)
        .max(1);
    let outputs: usize = jobs.iter().map(|job| job.weight.rows()).sum();
    let in_place = |job: &Job<'_>| rows < panel::min_tokens(isa, job.weight.format());
    if jobs.iter().all(in_place) {
        let even = outputs.div_ceil(threads * 4);
        return (STREAM_BYTES / row_bytes)
            .clamp(16, 1024)
            .min(even.next_multiple_of(16));
    }
    let rows_of = |job: &Job<'_>| match form_of(job) {
        ActivationForm::Int8 => panel::strip_rows(isa, rows, job.weight.cols(), outputs, threads),
        ActivationForm::Float | ActivationForm::Bf16 => {
            panel::float_strip_rows(kernels.in_halves(rows), outputs, threads)
        }
    };
    jobs.iter().map(rows_of).min().unwrap_or(1)
}

#[cfg(test)]
pub(crate) mod tests;
