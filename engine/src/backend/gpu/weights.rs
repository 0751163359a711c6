//! Weights on the device, in the format of the file.

use super::GpuError;
use super::context::{Buffer, Context, SLACK_BYTES};
use super::upload::{Contents, Upload};
use crate::backend::{Device, Sibling};
use crate::mapping::Bytes;
use crate::tensors::Vector;
use kernels::Format;
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

    /// A buffer for contents that come now or later.
    fn buffer(&self, what: &str, len_bytes: usize, contents: Contents) -> Arc<Buffer> {
        let buffer = self.context.storage(what, len_bytes as u64 + SLACK_BYTES);
        self.upload(&buffer, 0, contents);
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
        let mut len_bytes = 0;
        assert!(format.row_bytes(cols).is_some(), "rows are whole blocks");
        let fits = |each: &&Sibling| {
            // The next one would begin within a word.
            let begins_well = len_bytes % 4 == 0;
            len_bytes += each.bytes.len() as u64;
            let is_bound = len_bytes + SLACK_BYTES <= self.context.binding_limit;
            each.format == format && begins_well && is_bound
        };
        let count = matrices.iter().take(MOST_SIBLINGS).take_while(fits).count();
        count.max(1)
    }

    /// Places matrices of one format in one buffer.
    fn place_together(&self, cols: usize, matrices: Vec<Sibling>) -> Vec<GpuMatrix> {
        let len_bytes = matrices
            .iter()
            .map(|each| each.bytes.len() as u64)
            .sum::<u64>();
        let buffer = self.context.storage("weights", len_bytes + SLACK_BYTES);
        let (mut at, mut begin) = (0, 0);
        let place = |each: Sibling| {
            let row_bytes = each.format.row_bytes(cols).expect("rows are whole blocks");
            let len_bytes = each.bytes.len();
            assert_eq!(
                each.rows * row_bytes,
                len_bytes,
                "bytes of {} rows of {cols}",
                each.rows
            );
            self.upload(&buffer, at, Contents::Bytes(each.bytes));
            let slice = Slice {
                buffer: buffer.clone(),
                begin,
                rows: 0..each.rows,
            };
            at += len_bytes as u64;
            begin += each.rows;
            GpuMatrix {
                format: each.format,
                rows: each.rows,
                cols,
                row_bytes,
                slices: vec![slice],
            }
        };
        matrices.into_iter().map(place).collect()
    }

    fn place(&self, format: Format, rows: usize, cols: usize, bytes: &Bytes) -> GpuMatrix {
        let row_bytes = format.row_bytes(cols).expect("rows are whole blocks");
        assert_eq!(
            rows * row_bytes,
            bytes.len(),
            "bytes of {rows} rows of {cols}"
        );
        let fitting = (self.context.binding_limit - SLACK_BYTES) / row_bytes as u64;
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
                let range = first + rows.start * row_bytes..first + rows.end * row_bytes;
                let bytes = Bytes::new(bytes.mapping().clone(), range);
                Slice {
                    begin: 0,
                    buffer: self.buffer("weights", bytes.len(), Contents::Bytes(bytes)),
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
        GpuVector {
            buffer: self.buffer("parameters", 4 * vector.len(), Contents::Vector(vector)),
        }
    }
}
