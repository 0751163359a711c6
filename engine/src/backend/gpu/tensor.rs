//! Activations on the device, and the buffers they are made of.

use super::context::{Buffer, Context};
use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of 32 activations as integers: see `shaders/wgsl/shared/activation.wgsl`.
const GROUP_BYTES: u64 = 48;

/// Buffers that are not in use, by size. A step takes them in the order of their
/// ids, as the step before did, so that it finds its bind groups again.
pub(super) struct Pool {
    context: Arc<Context>,
    free: Mutex<HashMap<u64, BTreeMap<u64, Arc<Buffer>>>>,
}

impl Pool {
    pub fn new(context: Arc<Context>) -> Arc<Pool> {
        Arc::new(Pool {
            context,
            free: Mutex::default(),
        })
    }

    /// Sizes are rounded up to one of four steps for each power of two.
    fn size(len_bytes: u64) -> u64 {
        let step = (len_bytes.max(1024).next_power_of_two() / 8).max(256);
        len_bytes.max(256).next_multiple_of(step)
    }

    pub fn take(&self, len_bytes: u64) -> Arc<Buffer> {
        let size = Pool::size(len_bytes);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match free.get_mut(&size).and_then(BTreeMap::pop_first) {
            Some((_, buffer)) => buffer,
            None => self.context.storage("activations", size),
        }
    }

    pub fn give(&self, buffer: Arc<Buffer>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let of_this_size = free.entry(buffer.len_bytes).or_default();
        of_this_size.insert(buffer.id, buffer);
    }
}

/// Activations `[rows, cols]`; the buffers go back to the pool.
pub struct Tensor {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) float: Arc<Buffer>,
    /// The values as 8-bit integers, and whether they are the present ones.
    int8: OnceCell<Arc<Buffer>>,
    pub(super) int8_is_present: Cell<bool>,
    /// The same of the values in f16 for matrix units, and what each row of them
    /// was divided by.
    halves: OnceCell<[Arc<Buffer>; 2]>,
    pub(super) halves_are_present: Cell<bool>,
    pool: Arc<Pool>,
}

impl Tensor {
    pub(super) fn new(pool: &Arc<Pool>, rows: usize, cols: usize) -> Tensor {
        Tensor {
            rows,
            cols,
            float: pool.take((rows * cols * 4) as u64),
            int8: OnceCell::new(),
            int8_is_present: Cell::new(false),
            halves: OnceCell::new(),
            halves_are_present: Cell::new(false),
            pool: pool.clone(),
        }
    }

    /// The same values in rows of another width. In other forms rows are not one
    /// behind the other, so these are no longer present.
    pub(super) fn in_rows_of(mut self, width: usize) -> Tensor {
        self.is_written(false);
        for buffer in self.halves.take().into_iter().flatten() {
            self.pool.give(buffer);
        }
        (self.rows, self.cols) = (self.rows * self.cols / width, width);
        self
    }

    /// Whether its rows can be quantized: whole groups of 32.
    pub(super) fn has_groups(&self) -> bool {
        self.cols.is_multiple_of(32)
    }

    /// The buffer for the values as integers.
    pub(super) fn int8(&self) -> &Arc<Buffer> {
        assert!(self.has_groups(), "groups of 32 in rows of {}", self.cols);
        let groups = (self.rows * self.cols / 32) as u64;
        self.int8
            .get_or_init(|| self.pool.take(groups * GROUP_BYTES))
    }

    /// The buffers for the values in f16 and for their scales.
    pub(super) fn halves(&self) -> &[Arc<Buffer>; 2] {
        let bytes = [self.rows * self.cols * 2, self.rows * 4];
        self.halves
            .get_or_init(|| bytes.map(|bytes| self.pool.take(bytes as u64)))
    }

    /// Notes that there are new values, and whether also as integers.
    pub(super) fn is_written(&self, as_int8: bool) {
        self.int8_is_present.set(as_int8);
        self.halves_are_present.set(false);
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        if let Some(buffer) = self.int8.take() {
            self.pool.give(buffer);
        }
        for buffer in self.halves.take().into_iter().flatten() {
            self.pool.give(buffer);
        }
        self.pool.give(self.float.clone());
    }
}
