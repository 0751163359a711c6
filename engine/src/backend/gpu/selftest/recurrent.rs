//! Cases of layers that remember a state.

use super::case::Side;
use super::data::{floats, read, vector, vector_of};
use crate::arch::{Config, Heads, LogitScale, Norming, OUTPUT_NORM, RecurrentLayers};
use crate::backend::{Backend, DeltaInputs, DeltaWeights, Rows, SsmInputs, SsmWeights, Step};
use crate::cache::{KvCache, KvFormat};
use kernels::recurrent::{ConvShape, RecurrentShape};

/// What a layer makes of sequences of so many tokens, in steps of so many; in the end
/// caches are cut to what was marked after the first step, and go on from there.
pub(super) fn run<B: Backend>(
    side: &mut Side<'_, B>,
    shape: &RecurrentShape,
    sequences: &[usize],
    at_once: usize,
) -> Option<Vec<f32>> {
    let mut caches = Vec::new();
    for _ in sequences {
        caches.push(cache(side, shape)?);
    }
    let ConvShape { channels, width } = shape.conv();
    let conv = vector(side.device, 1, width * channels);
    let mut found = Vec::new();
    // The last round is that after the cut.
    let rounds = sequences.iter().max()?.div_ceil(at_once) + 1;
    for round in 0..rounds {
        let mut positions = Vec::new();
        let mut parts = Vec::new();
        for (cache, &tokens) in caches.iter_mut().zip(sequences) {
            let mut count = at_once.min(tokens.saturating_sub(cache.len()));
            if round + 1 == rounds {
                cache.truncate(at_once.min(tokens));
                count = 1;
            }
            if round == 1 {
                cache.mark(cache.len());
            }
            let (first, position) = (positions.len(), cache.len());
            positions.extend(position..position + count);
            if count > 0 {
                parts.push(Rows {
                    cache,
                    rows: first..first + count,
                    position,
                });
            }
        }
        let rows = positions.len();
        let mut step = Step {
            sequences: parts,
            positions,
            kept: None,
        };
        let backend = &mut *side.backend;
        let write = |backend: &mut B, operand, width| {
            let values = floats(10 * round as u64 + operand, rows * width);
            backend.write(&values, width)
        };
        let x = write(backend, 4, channels);
        let out = match shape {
            RecurrentShape::Conv(shape) => {
                let mut out = backend.tensor(rows, channels);
                backend.short_conv(0, shape, &conv, &x, &mut step, &mut out);
                out
            }
            RecurrentShape::Delta(shape) => {
                let heads = shape.n_head_v;
                let weights = DeltaWeights {
                    conv: &conv,
                    a: &vector(side.device, 2, heads),
                    bias: &vector(side.device, 3, heads),
                    eps: 1e-6,
                };
                let inputs = DeltaInputs {
                    qkv: &x,
                    alpha: &write(backend, 5, heads),
                    beta: &write(backend, 6, heads),
                };
                let mut out = backend.tensor(rows, shape.values());
                backend.delta_net(0, shape, &weights, &inputs, &mut step, &mut out);
                out
            }
            RecurrentShape::Ssm(shape) => {
                let heads = shape.n_head;
                let conv_bias = vector(side.device, 7, channels);
                let a: Vec<f32> = floats(2, heads).iter().map(|a| -a.abs()).collect();
                let weights = SsmWeights {
                    conv: &conv,
                    // Of several groups, so that both are computed.
                    conv_bias: (shape.n_group > 1).then_some(&conv_bias),
                    a: &vector_of(side.device, &a),
                    dt_bias: &vector(side.device, 3, heads),
                    d: &vector(side.device, 8, heads),
                };
                let inputs = SsmInputs {
                    x: &x,
                    steps: &write(backend, 5, heads),
                };
                let mut out = backend.tensor(rows, shape.values());
                backend.ssm(0, shape, &weights, &inputs, &mut step, &mut out);
                out
            }
        };
        for rows in &mut step.sequences {
            rows.cache.advance(rows.rows.len());
        }
        found.extend(read(backend, &out));
    }
    Some(found)
}

/// A cache of one layer, which has a state.
fn cache<B: Backend>(side: &Side<'_, B>, shape: &RecurrentShape) -> Option<KvCache> {
    let config = Config {
        n_embd: 32,
        n_layer: 1,
        n_vocab: 1,
        context_length: 100,
        norming: Norming::rms(1e-5),
        heads: vec![Heads {
            n_head: 1,
            n_head_kv: 1,
            head_dim_k: 32,
            head_dim_v: 32,
        }],
        sources: vec![0],
        windows: None,
        embedding_scale: 1.0,
        logits: LogitScale::NONE,
        recurrent: Some(RecurrentLayers {
            shape: *shape,
            layers: vec![true],
            beside: false,
        }),
        layer_inputs: None,
        output_norm: OUTPUT_NORM,
    };
    let mut cache = KvCache::new(&config, KvFormat::F32, 100);
    if let Some(gpu) = side.gpu {
        let placed = cache.place(gpu, 1, &config, KvFormat::F32);
        if let Err(error) = placed.and_then(|()| cache.move_to(gpu, 1)) {
            gpu.fail(error);
            return None;
        }
    }
    Some(cache)
}
