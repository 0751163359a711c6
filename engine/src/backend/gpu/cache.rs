//! Keys and values of a layer, on the device.

use super::GpuError;
use super::context::{Buffer, Context};
use crate::cache::KvFormat;
use shaders::{Piece, piece};
use std::sync::Arc;

/// Positions that are added at least when a cache grows.
const GROWTH: usize = 256;

/// Values that share a scale in a q8_0 cache, and their bytes: see
/// `shaders/wgsl/kv/q8_0.wgsl`.
const Q8_0_LEN: usize = 32;
const Q8_0_BYTES: usize = 36;

/// Keys `[positions, key heads, head_dim_k]` and values `[positions, key heads,
/// head_dim_v]` of one layer, heads padded to whole fours or blocks. The buffers
/// double when they are full.
pub struct GpuKvLayer {
    context: Arc<Context>,
    pub(super) format: &'static Piece,
    /// Fours that are stored together.
    pub(super) quads_together: usize,
    /// Dimensions of a key and of a value, as the model has them and padded.
    pub(super) head_dims: [usize; 2],
    pub(super) padded_dims: [usize; 2],
    /// Bytes of a position's keys and values.
    key_bytes: u64,
    value_bytes: u64,
    pub(super) keys: Arc<Buffer>,
    pub(super) values: Arc<Buffer>,
    positions: usize,
    capacity: usize,
}

impl GpuKvLayer {
    pub(super) fn new(
        context: &Arc<Context>,
        format: KvFormat,
        heads: usize,
        head_dims: [usize; 2],
        capacity: usize,
    ) -> Result<GpuKvLayer, GpuError> {
        // Values that are stored together, and their bytes.
        let (piece, len, bytes) = match format {
            KvFormat::F16 => (&piece::CACHE_F16, 4, 8),
            KvFormat::F32 => (&piece::CACHE_F32, 4, 16),
            KvFormat::Q8_0 => (&piece::CACHE_Q8_0, Q8_0_LEN, Q8_0_BYTES),
        };
        let padded_dims = head_dims.map(|dim| dim.next_multiple_of(len));
        let [key_bytes, value_bytes] = padded_dims.map(|dim| (heads * dim / len * bytes) as u64);
        let len_bytes = key_bytes.max(value_bytes) * capacity as u64;
        if len_bytes > context.binding_limit {
            return Err(GpuError::BindingTooLarge {
                adapter: context.adapter.name.clone(),
                what: format!("the cache of a layer for {capacity} tokens"),
                len_bytes,
                limit_bytes: context.binding_limit,
            });
        }
        Ok(GpuKvLayer {
            context: context.clone(),
            format: piece,
            quads_together: len / 4,
            head_dims,
            padded_dims,
            key_bytes,
            value_bytes,
            keys: context.storage("keys", 0),
            values: context.storage("values", 0),
            positions: 0,
            capacity,
        })
    }

    /// Dimensions of a key and of a value, before and after padding, that have
    /// to be padded.
    pub(super) fn padding(&self) -> [Option<(usize, usize)>; 2] {
        std::array::from_fn(|part| {
            let widths = (self.head_dims[part], self.padded_dims[part]);
            (widths.0 != widths.1).then_some(widths)
        })
    }

    /// Makes room for positions below `positions`.
    ///
    /// # Errors
    ///
    /// If memory does not suffice. The cache is then as before.
    pub fn reserve(&mut self, positions: usize) -> Result<(), GpuError> {
        if positions <= self.positions {
            return Ok(());
        }
        assert!(
            positions <= self.capacity,
            "{positions} positions in a cache of {}",
            self.capacity
        );
        let grown = positions
            .max(2 * self.positions)
            .next_multiple_of(GROWTH)
            .min(self.capacity);
        let context = self.context.clone();
        let larger = |what, bytes: u64| context.try_storage(what, bytes * grown as u64);
        let keys = larger("keys", self.key_bytes)?;
        let values = larger("values", self.value_bytes)?;
        let mut encoder = context.device.create_command_encoder(&Default::default());
        let mut move_to = |larger: Arc<Buffer>, buffer: &mut Arc<Buffer>, bytes: u64| {
            let filled = bytes * self.positions as u64;
            if filled > 0 {
                encoder.copy_buffer_to_buffer(&buffer.raw, 0, &larger.raw, 0, filled);
            }
            *buffer = larger;
        };
        move_to(keys, &mut self.keys, self.key_bytes);
        move_to(values, &mut self.values, self.value_bytes);
        context.queue.submit([encoder.finish()]);
        self.positions = grown;
        Ok(())
    }
}
