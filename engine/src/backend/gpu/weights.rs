//! Weights on the device, in the format of the file.

use super::GpuError;
use super::context::{Buffer, Context, SLACK_BYTES};
use super::upload::{Contents, Upload};
use crate::backend::Device;
use crate::mapping::Bytes;
use crate::tensors::Vector;
use kernels::Format;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

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
        let upload = Upload {
            buffer: buffer.clone(),
            contents,
        };
        match &self.pending {
            Some(pending) => pending
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(upload),
            None => upload.run(&self.context),
        }
        buffer
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
    pub rows: Range<usize>,
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

    fn vector(&self, vector: Vector) -> GpuVector {
        GpuVector {
            buffer: self.buffer("parameters", 4 * vector.len(), Contents::Vector(vector)),
        }
    }
}
