//! Keys and values of a layer, on the device.

use super::GpuError;
use super::context::{Buffer, Context};
use crate::cache::KvFormat;
use shaders::{Piece, piece};
use std::ops::Range;
use std::sync::Arc;

/// Positions that are added at least when a cache grows.
const GROWTH: usize = 256;

/// Positions that shaders take at once: what is left behind is a multiple of them.
pub(super) const CHUNK: usize = 128;

/// Values that share a scale in a q8_0 cache, and their bytes: see
/// `shaders/wgsl/kv/q8_0.wgsl`.
const Q8_0_LEN: usize = 32;
const Q8_0_BYTES: usize = 36;

/// Keys `[positions, key heads, head_dim_k]` and values `[positions, key heads,
/// head_dim_v]` of one layer, heads padded to whole fours or blocks. The buffers
/// double when they are full.
///
/// Of a layer that attends to a window they do so up to a size. When they are full
/// then, what is still needed moves to their beginning:
///
/// ```text
/// 0             base        needed from          the sequence's length
/// |── left ─────|───────────|────────────────────|──── room ────|      before
///                           |────────────────────|──── room ──────────────────|
///                           base                                          after
/// ```
///
/// Shaders know nothing of this: to them, positions count from `base`.
pub struct GpuKvLayer {
    context: Arc<Context>,
    pub(super) format: &'static Piece,
    /// Fours that are stored together.
    pub(super) quads_together: usize,
    /// Dimensions of a key and of a value, as the model has them and padded.
    pub(super) head_dims: [usize; 2],
    pub(super) padded_dims: [usize; 2],
    /// Bytes of a position's keys, and of its values.
    position_bytes: [u64; 2],
    pub(super) keys: Arc<Buffer>,
    pub(super) values: Arc<Buffer>,
    /// The first position that they have, and how many they have room for.
    base: usize,
    positions: usize,
    /// How many they have room for at most before positions are left behind.
    most: usize,
    /// What a cut to the mark needs of what was left behind.
    marked: Option<Marked>,
}

/// Positions that were left behind and are kept.
struct Marked {
    positions: Range<usize>,
    buffers: [Arc<Buffer>; 2],
}

/// Memory that layers move positions with, one after the other.
#[derive(Default)]
pub struct Spare(Option<[Arc<Buffer>; 2]>);

/// What of a sequence's past is needed.
pub struct Past {
    /// These positions, the last of which is the sequence's last.
    pub positions: Range<usize>,
    /// Those that are needed after a cut to the mark.
    pub marked: Option<Range<usize>>,
}

impl GpuKvLayer {
    /// One that takes up to `most` positions before any are left behind.
    pub(super) fn new(
        context: &Arc<Context>,
        format: KvFormat,
        heads: usize,
        head_dims: [usize; 2],
        most: usize,
    ) -> Result<GpuKvLayer, GpuError> {
        // Values that are stored together, and their bytes.
        let (piece, len, bytes) = match format {
            KvFormat::F16 => (&piece::CACHE_F16, 4, 8),
            KvFormat::F32 => (&piece::CACHE_F32, 4, 16),
            KvFormat::Q8_0 => (&piece::CACHE_Q8_0, Q8_0_LEN, Q8_0_BYTES),
        };
        let padded_dims = head_dims.map(|dim| dim.next_multiple_of(len));
        let position_bytes = padded_dims.map(|dim| (heads * dim / len * bytes) as u64);
        let [key_bytes, value_bytes] = position_bytes;
        let len_bytes = key_bytes.max(value_bytes) * most as u64;
        if len_bytes > context.binding_limit {
            return Err(GpuError::BindingTooLarge {
                adapter: context.adapter.name.clone(),
                what: format!("the cache of a layer for {most} tokens"),
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
            position_bytes,
            keys: context.storage("keys", 0),
            values: context.storage("values", 0),
            base: 0,
            positions: 0,
            most,
            marked: None,
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

    /// Where a position is, as shaders count.
    pub(super) fn place(&self, position: usize) -> usize {
        assert!(
            position >= self.base,
            "position {position} was left behind, the first is {}",
            self.base
        );
        position - self.base
    }

    /// Begins, as long as it is empty, behind the positions that nobody needs.
    pub(super) fn begin(&mut self, first: usize) {
        assert_eq!(self.positions, 0, "a cache that has begun");
        self.base = first / CHUNK * CHUNK;
    }

    /// Makes room for positions below `end`.
    ///
    /// # Errors
    ///
    /// If memory does not suffice. The cache is then as before.
    pub fn reserve(&mut self, end: usize) -> Result<(), GpuError> {
        let needed = end - self.base;
        if needed <= self.positions {
            return Ok(());
        }
        let doubled = (2 * self.positions).next_multiple_of(GROWTH);
        let grown = needed
            .next_multiple_of(GROWTH)
            .max(doubled)
            .min(self.most.max(needed));
        let larger = self.buffers_for(grown)?;
        self.copy(&self.buffers(), 0, &larger, 0, self.positions);
        [self.keys, self.values] = larger;
        self.positions = grown;
        Ok(())
    }

    /// Leaves behind what is not needed, if there is no room for positions below `end`.
    ///
    /// # Errors
    ///
    /// If memory does not suffice. The cache is then as before.
    pub fn leave(&mut self, past: &Past, end: usize, spare: &mut Spare) -> Result<(), GpuError> {
        let first = past.positions.start / CHUNK * CHUNK;
        if end - self.base <= self.most || first <= self.base {
            return Ok(());
        }
        let marked = past.marked.as_ref();
        self.keep_marked(marked.filter(|marked| marked.start < first))?;
        let count = past.positions.end - first;
        let bytes = self.position_bytes.map(|bytes| bytes * count as u64);
        let fits = |[keys, values]: &&[Arc<Buffer>; 2]| {
            keys.len_bytes >= bytes[0] && values.len_bytes >= bytes[1]
        };
        let between = match spare.0.as_ref().filter(fits) {
            Some(spare) => spare.clone(),
            None => spare.0.insert(self.buffers_for(count)?).clone(),
        };
        let buffers = self.buffers();
        self.copy(&buffers, first - self.base, &between, 0, count);
        self.copy(&between, 0, &buffers, 0, count);
        self.base = first;
        Ok(())
    }

    /// Keeps positions that are about to be left behind, instead of those before.
    fn keep_marked(&mut self, positions: Option<&Range<usize>>) -> Result<(), GpuError> {
        let Some(positions) = positions else {
            self.marked = None;
            return Ok(());
        };
        if !self.is_marked(positions) && self.base <= positions.start {
            let buffers = self.buffers_for(positions.len())?;
            let from = positions.start - self.base;
            self.copy(&self.buffers(), from, &buffers, 0, positions.len());
            let positions = positions.clone();
            self.marked = Some(Marked { positions, buffers });
        }
        Ok(())
    }

    fn is_marked(&self, positions: &Range<usize>) -> bool {
        let marked = self.marked.as_ref().map(|marked| &marked.positions);
        marked.is_some_and(|marked| marked.start <= positions.start && positions.end <= marked.end)
    }

    /// Whether these positions of the past are there, or are kept.
    pub fn has(&self, positions: &Range<usize>) -> bool {
        self.base <= positions.start || self.is_marked(positions)
    }

    /// Forgets what comes after `seen`, which it has: what a token sees next.
    pub fn cut(&mut self, seen: &Range<usize>) {
        if seen.end == 0 {
            self.base = 0;
        }
        if seen.start < self.base
            && let Some(Marked { positions, buffers }) = &self.marked
        {
            let (from, to) = (seen.start - positions.start, seen.start % CHUNK);
            self.copy(buffers, from, &self.buffers(), to, seen.len());
            self.base = seen.start - to;
        }
        self.marked
            .take_if(|marked| marked.positions.end > seen.end);
    }

    fn buffers(&self) -> [Arc<Buffer>; 2] {
        [self.keys.clone(), self.values.clone()]
    }

    /// Room for keys and values of so many positions.
    fn buffers_for(&self, positions: usize) -> Result<[Arc<Buffer>; 2], GpuError> {
        let [keys, values] = self.position_bytes.map(|bytes| bytes * positions as u64);
        Ok([
            self.context.try_storage("keys", keys)?,
            self.context.try_storage("values", values)?,
        ])
    }

    /// Copies positions, once what was submitted before is done.
    fn copy(
        &self,
        from: &[Arc<Buffer>; 2],
        from_at: usize,
        to: &[Arc<Buffer>; 2],
        to_at: usize,
        count: usize,
    ) {
        if count == 0 {
            return;
        }
        let device = &self.context.device;
        let mut encoder = device.create_command_encoder(&Default::default());
        for (part, bytes) in self.position_bytes.into_iter().enumerate() {
            let [from_at, to_at, len] = [from_at, to_at, count].map(|n| bytes * n as u64);
            let (from, to) = (&from[part].raw, &to[part].raw);
            encoder.copy_buffer_to_buffer(from, from_at, to, to_at, len);
        }
        self.context.queue.submit([encoder.finish()]);
    }
}
