//! Attention over the cache, for one token and for many, in one piece and split.

use super::super::GpuOptions;
use super::super::cache::GpuKvLayer;
use super::super::ops::Part;
use super::{Bench, bench, check, noise};
use crate::backend::{AttentionShape, Backend};
use crate::cache::KvFormat;

struct Case {
    n_head: usize,
    n_head_kv: usize,
    head_dim_k: usize,
    head_dim_v: usize,
    /// Tokens in the cache before, and tokens that are added.
    past: usize,
    tokens: usize,
}

/// Attention in f64. `keys` and `values` have the past and the new tokens.
fn expected(case: &Case, q: &[f32], keys: &[f32], values: &[f32]) -> Vec<f32> {
    let Case {
        n_head,
        n_head_kv,
        head_dim_k,
        head_dim_v,
        ..
    } = *case;
    let mut out = vec![0.0; case.tokens * n_head * head_dim_v];
    let rows = q
        .chunks_exact(head_dim_k)
        .zip(out.chunks_exact_mut(head_dim_v));
    for (row, (q, out)) in rows.enumerate() {
        let kv_head = row % n_head / (n_head / n_head_kv);
        let seen = case.past + row / n_head + 1;
        let of = |x: &[f32], key: usize, width: usize| {
            x[(key * n_head_kv + kv_head) * width..][..width].to_vec()
        };
        let scores: Vec<f64> = (0..seen)
            .map(|key| {
                let k = of(keys, key, head_dim_k);
                let dot: f64 = q
                    .iter()
                    .zip(k)
                    .map(|(&q, k)| f64::from(q) * f64::from(k))
                    .sum();
                (dot * 3.0).exp()
            })
            .collect();
        let total: f64 = scores.iter().sum();
        for (key, score) in scores.iter().enumerate() {
            for (out, v) in out.iter_mut().zip(of(values, key, head_dim_v)) {
                *out += (score / total * f64::from(v)) as f32;
            }
        }
    }
    out
}

fn attention(bench: &mut Bench, case: &Case, format: KvFormat, bound: f32) {
    let Case {
        n_head,
        n_head_kv,
        head_dim_k,
        head_dim_v,
        past,
        tokens,
    } = *case;
    let positions = past + tokens;
    let (k_width, v_width) = (n_head_kv * head_dim_k, n_head_kv * head_dim_v);
    let q = noise(1, tokens * n_head * head_dim_k);
    let (k, v) = (noise(2, positions * k_width), noise(3, positions * v_width));
    let context = bench.device.context.clone();
    let mut cache = GpuKvLayer::new(&context, format, k_width, v_width, positions + 9).unwrap();
    // The past arrives in two steps, so that the cache has to grow.
    for (first, end) in [(0, past / 3), (past / 3, past), (past, positions)] {
        if first < end {
            cache.reserve(end);
            let new_k = bench
                .backend
                .write(&k[first * k_width..end * k_width], k_width);
            let new_v = bench
                .backend
                .write(&v[first * v_width..end * v_width], v_width);
            let part = Part {
                tokens: end - first,
                first_row: 0,
                position: first,
            };
            bench.backend.append(&cache, &new_k, &new_v, &part);
            bench.backend.finish();
        }
    }
    let queries = bench.backend.write(&q, n_head * head_dim_k);
    let out = bench.backend.tensor(tokens, n_head * head_dim_v);
    let shape = AttentionShape {
        n_head,
        n_head_kv,
        head_dim_k,
        head_dim_v,
        scale: 3.0,
    };
    let part = Part {
        tokens,
        first_row: 0,
        position: past,
    };
    bench.backend.attend(&cache, &shape, &queries, &part, &out);
    let what =
        format!("attention {n_head}/{n_head_kv} heads, {tokens} tokens after {past}, {format}");
    check(&what, &bench.read(&out), &expected(case, &q, &k, &v), bound);
}

#[test]
fn attention_over_the_cache() {
    let Some(mut bench) = bench(GpuOptions::default()) else {
        return;
    };
    let case = |n_head, n_head_kv, head_dim_k, head_dim_v, past, tokens| Case {
        n_head,
        n_head_kv,
        head_dim_k,
        head_dim_v,
        past,
        tokens,
    };
    for case in [
        case(1, 1, 4, 4, 0, 1),
        case(4, 2, 64, 64, 127, 1),
        case(4, 2, 64, 64, 128, 1),
        case(3, 1, 16, 8, 0, 50),
        case(6, 2, 20, 12, 100, 33),
        // Split: more keys than one workgroup should go through.
        case(2, 1, 32, 32, 1500, 1),
        case(2, 2, 32, 128, 1100, 3),
    ] {
        attention(&mut bench, &case, KvFormat::F32, 1e-5);
        // Keys and values lose half a unit in eleven bits.
        attention(&mut bench, &case, KvFormat::F16, 2e-3);
    }
    bench.device.check().unwrap();
}

#[test]
fn caches_that_the_gpu_has_not_are_refused() {
    let Some(bench) = bench(GpuOptions::default()) else {
        return;
    };
    let context = &bench.device.context;
    let error = GpuKvLayer::new(context, KvFormat::Q8_0, 64, 64, 10)
        .err()
        .unwrap();
    assert!(error.to_string().contains("q8_0"), "{error}");
    let error = GpuKvLayer::new(context, KvFormat::F32, 1 << 20, 64, 1 << 20)
        .err()
        .unwrap();
    assert!(error.to_string().contains("needs a buffer"), "{error}");
}
