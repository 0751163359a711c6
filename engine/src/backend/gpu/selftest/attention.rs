//! Cases of attention, with the rope before it.

use super::case::{HeadNorming, Side};
use super::data::{floats, matrix, read, vector};
use crate::arch::{Config, Heads, LogitScale, Norming, OUTPUT_NORM};
use crate::backend::{
    AttentionShape, Backend, HeadNorms, Norm, Product, QueriesAndKeys, Rows, Step,
};
use crate::cache::{KvCache, KvFormat};
use kernels::Format;
use kernels::ops::{Pairing, Rope, RopeScaling};

/// A cache on the side that computes. What keeps it from being there shows in
/// the outcome.
fn cache<B: Backend>(
    side: &Side<'_, B>,
    kv: KvFormat,
    shape: &AttentionShape,
    positions: usize,
) -> Option<KvCache> {
    let config = Config {
        n_embd: shape.n_head * shape.head_dim_k,
        n_layer: 1,
        n_vocab: 1,
        context_length: positions,
        norming: Norming::rms(1e-5),
        heads: vec![Heads {
            n_head: shape.n_head,
            n_head_kv: shape.n_head_kv,
            head_dim_k: shape.head_dim_k,
            head_dim_v: shape.head_dim_v,
        }],
        sources: vec![0],
        windows: None,
        embedding_scale: 1.0,
        logits: LogitScale::NONE,
        recurrent: None,
        layer_inputs: None,
        output_norm: OUTPUT_NORM,
    };
    let mut cache = KvCache::new(&config, kv, positions);
    if let Some(gpu) = side.gpu {
        let placed = cache.place(gpu, 1, &config, kv);
        if let Err(error) = placed.and_then(|()| cache.move_to(gpu, 1)) {
            gpu.fail(error);
            return None;
        }
    }
    Some(cache)
}

/// Makes room for so many positions more.
fn reserve<B: Backend>(side: &Side<'_, B>, cache: &mut KvCache, count: usize) -> Option<()> {
    match (cache.reserve(count), side.gpu) {
        (Err(error), Some(gpu)) => {
            gpu.fail(error);
            None
        }
        _ => Some(()),
    }
}

fn rotation(pairing: Pairing, n_rot: usize) -> Rope {
    Rope::new(pairing, n_rot, 10000.0, None, RopeScaling::None)
        .expect("the parameters make a rotation")
}

/// What attention makes of turned, perhaps normed queries and keys: of two sequences, so that one of
/// them does not begin with the first row, and then of one more token of each.
pub(super) fn rope<B: Backend>(
    side: &mut Side<'_, B>,
    pairing: Option<Pairing>,
    head_dim: usize,
    n_rot: usize,
    norms: Option<HeadNorming>,
) -> Option<Vec<f32>> {
    let after_turn = norms.is_some_and(|norms| norms.after_turn);
    let norms = norms.map(|HeadNorming { kind, own, .. }| {
        [(4, 4), (5, 2)].map(|(seed, heads)| Norm {
            kind,
            eps: 1e-5,
            width: head_dim,
            weight: vector(
                side.device,
                seed,
                if own { heads * head_dim } else { head_dim },
            ),
            bias: None,
        })
    });
    let shape = AttentionShape {
        n_head: 4,
        n_head_kv: 2,
        head_dim_k: head_dim,
        head_dim_v: 12,
        scale: 1.0,
        window: None,
        cap: None,
    };
    let mut caches = [
        cache(side, KvFormat::F32, &shape, 4)?,
        cache(side, KvFormat::F32, &shape, 4)?,
    ];
    for cache in &mut caches {
        reserve(side, cache, 4)?;
    }
    // A rope for each step: backends keep the angles of one as long as a pass.
    let ropes = [pairing, pairing].map(|pairing| Some(rotation(pairing?, n_rot)));
    let steps = [
        ([0..2, 2..5], [0, 0], vec![0, 1, 77, 1000, 4095]),
        ([0..1, 1..2], [2, 3], vec![2, 5000]),
    ];
    let mut found = Vec::new();
    for ((rows, past, positions), rope) in steps.into_iter().zip(&ropes) {
        let count = positions.len();
        let mut write = |seed, width| side.backend.write(&floats(seed, count * width), width);
        let (mut q, mut k, v) = (write(1, 4 * head_dim), write(2, 2 * head_dim), write(3, 24));
        let mut out = side.backend.tensor(count, 4 * shape.head_dim_v);
        let sequences = caches.iter_mut().zip(rows).zip(past);
        let sequences = sequences.map(|((cache, rows), position)| Rows {
            cache,
            rows,
            position,
        });
        let mut step = Step {
            sequences: sequences.collect(),
            positions,
            kept: None,
        };
        let prepared = QueriesAndKeys {
            norms: norms.as_ref().map(|[q, k]| HeadNorms {
                q,
                k: Some(k),
                after_turn,
            }),
            rope: rope.as_ref(),
            sinks: None,
        };
        let backend = &mut *side.backend;
        let new = Some((&mut k, &v));
        backend.attention(0, &shape, &prepared, &mut q, new, &mut step, &mut out);
        found.extend(read(backend, &out));
    }
    Some(found)
}

/// What attention makes of a step of sequences with so many tokens each, after a past
/// of so many.
pub(super) fn attention<B: Backend>(
    side: &mut Side<'_, B>,
    kv: KvFormat,
    shape: &AttentionShape,
    sequences: &[[usize; 2]],
    sinks: bool,
    product: bool,
) -> Option<Vec<f32>> {
    let out_width = shape.n_head * shape.head_dim_v;
    let after = product.then(|| matrix(side.device, Format::Q8_0, 21, out_width, 7));
    // A rope for each step: backends keep the angles of one as long as a pass.
    let ropes: Vec<_> = (0..2 * sequences.len() + 2)
        .map(|_| rotation(Pairing::Halves, shape.head_dim_k))
        .collect();
    let (before, last) = ropes.split_at(2 * sequences.len());
    let mut caches = Vec::new();
    for (&[past, tokens], ropes) in sequences.iter().zip(before.chunks(2)) {
        let mut cache = cache(side, kv, shape, past + tokens)?;
        // The past comes in two steps, so that the cache has to grow; of each, the last
        // token attends, which is what a model asks of its last layer.
        for (count, rope) in [past / 3, past - past / 3].into_iter().zip(ropes) {
            let seed = 100 * caches.len() + cache.len();
            if count > 0 {
                let tokens = &mut [(&mut cache, count)];
                let new = New::Kept(vec![count - 1]);
                let out = attend(side, shape, rope, false, tokens, new, seed as u64)?;
                // What is recorded has to be submitted before the cache grows.
                read(side.backend, &out);
            }
        }
        caches.push(cache);
    }
    let tokens = sequences.iter().map(|&[_, tokens]| tokens);
    let mut together: Vec<_> = caches.iter_mut().zip(tokens).collect();
    let attended = attend(side, shape, &last[0], sinks, &mut together, New::All, 7777)?;
    let backend = &mut *side.backend;
    let Some(weight) = &after else {
        let mut found = read(backend, &attended);
        // Other queries of the same tokens, as those of a layer that appends nothing.
        let again = attend(side, shape, &last[1], sinks, &mut together, New::None, 8888)?;
        found.extend(read(side.backend, &again));
        return Some(found);
    };
    let rows = sequences.iter().map(|&[_, tokens]| tokens).sum();
    let mut out = backend.tensor(rows, 21);
    let product = Product {
        weight,
        bias: None,
        out: &mut out,
    };
    backend.matmul(&attended, &mut [product]);
    Some(read(backend, &out))
}

/// Which tokens are new.
#[derive(PartialEq)]
enum New {
    /// All.
    All,
    /// All, but only these rows attend.
    Kept(Vec<usize>),
    /// None: the keys and values are there.
    None,
}

/// Takes so many tokens of each sequence through attention: those to come or, if none
/// are new, the last ones.
#[allow(clippy::too_many_arguments)] // what attends, how, and to what
fn attend<B: Backend>(
    side: &mut Side<'_, B>,
    shape: &AttentionShape,
    rope: &Rope,
    sinks: bool,
    sequences: &mut [(&mut KvCache, usize)],
    new: New,
    seed: u64,
) -> Option<B::Tensor> {
    let are_new = new != New::None;
    let kept = match new {
        New::Kept(rows) => Some(rows),
        New::All | New::None => None,
    };
    let mut positions = Vec::new();
    let mut rows = Vec::new();
    for (cache, count) in &mut *sequences {
        let mut first = cache.len();
        match are_new {
            true => reserve(side, cache, *count)?,
            false => first -= *count,
        }
        rows.push(positions.len()..positions.len() + *count);
        positions.extend(first..first + *count);
    }
    let backend = &mut *side.backend;
    let mut write = |operand, heads, head_dim| {
        let width = heads * head_dim;
        backend.write(&floats(3 * seed + operand, positions.len() * width), width)
    };
    let mut q = write(0, shape.n_head, shape.head_dim_k);
    let mut k = write(1, shape.n_head_kv, shape.head_dim_k);
    let v = write(2, shape.n_head_kv, shape.head_dim_v);
    let parts = sequences.iter_mut().zip(rows).map(|((cache, _), rows)| {
        let position = positions[rows.start];
        Rows {
            cache,
            rows,
            position,
        }
    });
    let mut step = Step {
        sequences: parts.collect(),
        positions: positions.clone(),
        kept,
    };
    let mut out = backend.tensor(step.rows_kept(), shape.n_head * shape.head_dim_v);
    // From below the scores to above them.
    let sinks = sinks.then(|| vector(side.device, 5, shape.n_head));
    let prepared = QueriesAndKeys {
        norms: None,
        rope: Some(rope),
        sinks: sinks.as_ref(),
    };
    let new = are_new.then_some((&mut k, &v));
    backend.attention(0, shape, &prepared, &mut q, new, &mut step, &mut out);
    for (cache, count) in sequences.iter_mut().filter(|_| are_new) {
        cache.advance(*count);
    }
    Some(out)
}
