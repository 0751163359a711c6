//! Attention of several sequences that go on with one token each: one dispatch
//! serves as many of them as it has bindings for.

use super::attention::{
    Heads, Turn, WORKGROUPS_OF_ONE, keys_of_split, quantizes, query_tile, seen_keys, window,
};
use super::ops::GpuBackend;
use super::pipelines::Kernel;
use super::profile::Work;
use super::tensor::Tensor;
use crate::backend::Rows;
use shaders::Op;

/// Sequences that a dispatch serves: `shaders/wgsl/attention_batch.wgsl` binds the
/// caches of so many.
const SEQUENCES: usize = 4;

impl GpuBackend {
    /// How many sequences, the first of these and those after it, one dispatch serves:
    /// one, unless they have one token each and caches of one format.
    pub(super) fn together(&self, sequences: &[Rows<'_>], layer: usize, turn: &Turn) -> usize {
        let cache = sequences[0].cache.gpu_layer(layer);
        if !self.appends_at_once(Op::AttentionBatch, cache, turn) {
            return 1;
        }
        let fits = |each: &&Rows<'_>| {
            let format = each.cache.gpu_layer(layer).format;
            each.rows.len() == 1 && std::ptr::eq(format, cache.format)
        };
        let fitting = sequences.iter().take(SEQUENCES).take_while(fits);
        fitting.count().max(1)
    }

    /// Appends a token's keys and values to the cache of each of these sequences and
    /// lets its queries attend: what [`attend`](GpuBackend::attend) does for one.
    pub(super) fn attend_together(
        &mut self,
        sequences: &[Rows<'_>],
        layer: usize,
        heads: Heads<'_>,
        q: &Tensor,
        (k, v, turn): (&Tensor, &Tensor, &Turn),
        out: &Tensor,
    ) {
        let shape = heads.shape;
        let count = sequences.len();
        let first_row = sequences[0].rows.start;
        let group = shape.n_head / shape.n_head_kv;
        let (size, queries) = query_tile(shape, 1);
        let tiles = group.div_ceil(size);
        // Splits of all have as many keys, so that a long past gets more of them.
        let place = |each: &Rows<'_>| each.cache.gpu_layer(layer).place(each.position);
        let places: Vec<usize> = sequences.iter().map(place).collect();
        let seen = |&place: &usize| seen_keys(shape.window, place, 1);
        let keys: Vec<usize> = places.iter().map(seen).collect();
        let all_keys: usize = keys.iter().sum();
        let split_keys = keys_of_split(all_keys, tiles * shape.n_head_kv, WORKGROUPS_OF_ONE);
        let splits = keys
            .iter()
            .max()
            .map_or(1, |most| most.div_ceil(split_keys));
        let splits = heads.splits(splits);
        let v_quads = shape.head_dim_v / 4;
        let part_bytes = (splits * count * shape.n_head * (v_quads + 1) * 16) as u64;
        let partial = (splits > 1).then(|| self.pool.take(part_bytes));
        let unused = self.recorder.unwritten();
        let int8 = self.attended_int8(shape, out);
        let cache = |index: usize| match sequences.get(index) {
            Some(each) => {
                let cache = each.cache.gpu_layer(layer);
                [&cache.keys, &cache.values]
            }
            None => [&unused; 2],
        };
        let mut buffers = vec![&q.float];
        buffers.extend(cache(0));
        buffers.extend([&out.float, partial.as_ref().unwrap_or(&unused), &int8]);
        buffers.extend([&k.float, &v.float, &turn.angles]);
        buffers.extend((1..SEQUENCES).flat_map(cache));
        let mut params = vec![
            count as u32,
            first_row as u32,
            shape.n_head as u32,
            group as u32,
            (shape.head_dim_k / 4) as u32,
            v_quads as u32,
            splits as u32,
            split_keys as u32,
            shape.scale.to_bits(),
            window(shape),
            shape.cap.unwrap_or(0.0).to_bits(),
            u32::from(quantizes(shape.head_dim_v) && splits == 1),
            turn.pairs as u32,
            u32::from(turn.halves),
            q.rows as u32,
        ];
        params.extend(places.iter().map(|&place| place as u32));
        params.resize(params.len() + SEQUENCES - count, 0);
        let format = sequences[0].cache.gpu_layer(layer).format;
        self.recorder.dispatch(
            Kernel::new(Op::AttentionBatch, &[format, queries, self.share()]),
            &buffers,
            &params,
            [
                (count * tiles) as u32,
                shape.n_head_kv as u32,
                splits as u32,
            ],
        );
        let width = shape.head_dim_k + shape.head_dim_v;
        self.recorder.count(Work {
            multiplications: (shape.n_head * all_keys * width) as u64,
            ..Work::default()
        });
        if let Some(partial) = partial {
            self.combine(&partial, heads, first_row..first_row + count, splits, out);
            self.pool.give(partial);
        }
    }
}
