//! Weights on the device: the blocks of the file, laid out for it.

use super::GpuError;
use super::context::{Buffer, Context, SLACK_BYTES, UPLOAD_BYTES};
use super::upload::{Contents, Upload};
use crate::backend::{Device, Sibling};
use crate::mapping::Bytes;
use crate::tensors::Vector;
use kernels::Format;
use shaders::Layout;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Matrices that one dispatch multiplies with the same activations.
pub(super) const MOST_SIBLINGS: usize = 3;

/// Holds weights on a GPU.
pub struct GpuDevice {
    pub(super) context: Arc<Context>,
    /// What is to be uploaded later; `None`: everything is uploaded at once.
    pub(super) pending: Option<Mutex<Vec<Upload>>>,
}

impl GpuDevice {
    /// Fails if any matrix or vector since the last call could not be placed.
    pub fn check(&self) -> Result<(), GpuError> {
        self.context.check()
    }

    /// Whether `len_bytes` more would fit now.
    pub fn has_room_for(&self, len_bytes: u64) -> bool {
        let limit = self.context.binding_limit;
        let mut probes = Vec::new();
        let mut left = len_bytes;
        while left > 0 {
            let part = left.min(limit);
            probes.push(self.context.storage("a probe for room", part));
            left -= part;
        }
        self.context.check().is_ok()
    }

    /// What matrices and vectors since the last call are to hold.
    pub fn take_uploads(&self) -> Vec<Upload> {
        let pending = self.pending.as_ref();
        pending.map_or_else(Vec::new, |pending| {
            std::mem::take(&mut pending.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }

    /// A buffer for so many rows, with what lies behind them.
    fn buffer(&self, shape: Rows, rows: usize) -> Arc<Buffer> {
        let len_bytes = (rows * shape.device_bytes) as u64 + SLACK_BYTES;
        let codebook = shape.codebook;
        let buffer = self
            .context
            .storage("weights", len_bytes + size_of_val(codebook) as u64);
        if !codebook.is_empty() {
            self.upload(&buffer, len_bytes, Contents::Codebook(codebook));
        }
        buffer
    }

    /// Fills a part of a buffer, now or later.
    fn upload(&self, buffer: &Arc<Buffer>, at: u64, contents: Contents) {
        let upload = Upload {
            buffer: buffer.clone(),
            at,
            contents,
        };
        match &self.pending {
            Some(pending) => pending
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(upload),
            None => upload.run(&self.context),
        }
    }

    /// How many of the first of these can share a buffer.
    fn sharing(&self, cols: usize, matrices: &[Sibling]) -> usize {
        let format = matrices[0].format;
        let shape = Rows::of(format, cols);
        let fitting = shape.fitting(self.context.binding_limit);
        let mut rows = 0;
        let fits = |each: &&Sibling| {
            rows += each.rows as u64;
            each.format == format && rows <= fitting
        };
        let count = matrices.iter().take(MOST_SIBLINGS).take_while(fits).count();
        count.max(1)
    }

    /// Places matrices of one format in one buffer.
    fn place_together(&self, cols: usize, matrices: Vec<Sibling>) -> Vec<GpuMatrix> {
        let format = matrices[0].format;
        let shape = Rows::of(format, cols);
        let rows: usize = matrices.iter().map(|each| each.rows).sum();
        let buffer = self.buffer(shape, rows);
        let mut begin = 0;
        let place = |each: Sibling| {
            shape.check(each.rows, &each.bytes);
            let at = (begin * shape.device_bytes) as u64;
            self.upload(&buffer, at, Contents::Rows(shape, each.bytes));
            let slice = Slice {
                buffer: buffer.clone(),
                begin,
                rows: 0..each.rows,
            };
            begin += each.rows;
            GpuMatrix {
                format,
                rows: each.rows,
                cols,
                row_bytes: shape.device_bytes,
                slices: vec![slice],
            }
        };
        matrices.into_iter().map(place).collect()
    }

    fn place(&self, format: Format, rows: usize, cols: usize, bytes: &Bytes) -> GpuMatrix {
        let shape = Rows::of(format, cols);
        shape.check(rows, bytes);
        let row_bytes = shape.device_bytes;
        let fitting = shape.fitting(self.context.binding_limit);
        if fitting == 0 {
            self.context.fail(GpuError::BindingTooLarge {
                adapter: self.context.adapter.name.clone(),
                what: format!("a row of {cols} weights"),
                len_bytes: row_bytes as u64,
                limit_bytes: self.context.binding_limit,
            });
        }
        let step = (fitting as usize).clamp(1, rows.max(1));
        let slices = (0..rows)
            .step_by(step)
            .map(|first| {
                let rows = first..rows.min(first + step);
                let first = bytes.range().start;
                let range =
                    first + rows.start * shape.file_bytes..first + rows.end * shape.file_bytes;
                let bytes = Bytes::new(bytes.mapping().clone(), range);
                let buffer = self.buffer(shape, rows.len());
                self.upload(&buffer, 0, Contents::Rows(shape, bytes));
                Slice {
                    begin: 0,
                    buffer,
                    rows,
                }
            })
            .collect();
        GpuMatrix {
            format,
            rows,
            cols,
            row_bytes,
            slices,
        }
    }
}

/// Rows of a matrix, in the file and on the device.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    layout: &'static Layout,
    blocks: usize,
    file_bytes: usize,
    device_bytes: usize,
    /// What lies behind the rows of a buffer.
    codebook: &'static [u16],
}

impl Rows {
    fn of(format: Format, cols: usize) -> Rows {
        let layout = shaders::layout_of(format.info().tensor_type);
        let layout = layout.expect("every format that computes has a layout");
        let blocks = cols / format.info().block_len;
        Rows {
            layout,
            blocks,
            file_bytes: format.row_bytes(cols).expect("rows are whole blocks"),
            device_bytes: layout.row_bytes(blocks),
            codebook: format.codebook(),
        }
    }

    /// How many rows a binding can hold.
    fn fitting(&self, binding_limit: u64) -> u64 {
        let behind = SLACK_BYTES + size_of_val(self.codebook) as u64;
        binding_limit.saturating_sub(behind) / self.device_bytes as u64
    }

    fn check(&self, rows: usize, bytes: &Bytes) {
        let expected = rows * self.file_bytes;
        assert_eq!(expected, bytes.len(), "bytes of {rows} rows");
    }

    /// Writes rows of the file to a buffer from byte `begin` on.
    pub fn fill(&self, context: &Context, buffer: &Buffer, begin: u64, rows: &[u8]) {
        if self.layout.is_as_in_file(self.blocks) {
            return context.fill(buffer, begin, rows);
        }
        let at_once = (UPLOAD_BYTES / self.device_bytes).max(1);
        let mut arranged = Vec::new();
        let mut at = begin;
        let parts = rows.chunks(at_once * self.file_bytes);
        let are_many = parts.len() > 1;
        for rows in parts {
            arranged.resize(rows.len() / self.file_bytes * self.device_bytes, 0);
            self.layout.arrange(self.blocks, rows, &mut arranged);
            context.fill(buffer, at, &arranged);
            at += arranged.len() as u64;
            if are_many {
                context.flush();
            }
        }
    }
}

/// A matrix on the device, cut into slices of whole rows that bindings can hold.
pub struct GpuMatrix {
    pub(super) format: Format,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_bytes: usize,
    pub(super) slices: Vec<Slice>,
}

/// Some rows of a matrix.
pub(super) struct Slice {
    pub buffer: Arc<Buffer>,
    /// Which row of the buffer the first of them is.
    pub begin: usize,
    pub rows: Range<usize>,
}

impl GpuMatrix {
    /// Whether `next` lies behind this one in the same buffer.
    pub(super) fn is_followed_by(&self, next: &GpuMatrix) -> bool {
        match (&self.slices[..], &next.slices[..]) {
            ([one], [other]) => {
                self.format == next.format
                    && one.buffer.id == other.buffer.id
                    && one.begin + one.rows.len() == other.begin
            }
            _ => false,
        }
    }
}

/// A vector on the device.
pub struct GpuVector {
    pub(super) buffer: Arc<Buffer>,
    pub(super) len: usize,
}

impl Device for GpuDevice {
    type Matrix = GpuMatrix;
    type Vector = GpuVector;

    fn matrix(&self, format: Format, rows: usize, cols: usize, bytes: Bytes) -> GpuMatrix {
        self.place(format, rows, cols, &bytes)
    }

    fn siblings(&self, cols: usize, mut matrices: Vec<Sibling>) -> Vec<GpuMatrix> {
        let mut placed = Vec::new();
        while !matrices.is_empty() {
            let rest = matrices.split_off(self.sharing(cols, &matrices));
            match &matrices[..] {
                [one] => placed.push(self.place(one.format, one.rows, cols, &one.bytes)),
                _ => placed.extend(self.place_together(cols, matrices)),
            }
            matrices = rest;
        }
        placed
    }

    fn vector(&self, vector: Vector) -> GpuVector {
        let (len, len_bytes) = (vector.len(), 4 * vector.len() as u64);
        let buffer = self.context.storage("parameters", len_bytes + SLACK_BYTES);
        self.upload(&buffer, 0, Contents::Vector(vector));
        GpuVector { len, buffer }
    }
}
