//! The engine on the bundled model: what is neither weights nor kernels shows
//! best where those are small.
//!
//! | benchmark | what it times |
//! |---|---|
//! | `open` | opening the model and the logits of the first token |
//! | `prompt` | 256 tokens at once |
//! | `token` | one token after 64 |
//! | `eight` | one token each of eight sequences, after 64 |
//!
//! Before anything is timed, the logits of a prompt at once, of the same in
//! pieces, and of one sequence among eight have to be the same to the bit.

use criterion::{BatchSize, Criterion, Throughput};
use firstlight::{Error, KvCache, KvFormat, Model, ModelOptions, Sequence, Wanted};
use std::hint::black_box;

const MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../engine/models/firstlight-stories.gguf"
);
const PROMPT: usize = 256;
const DEPTH: usize = 64;
const SEQUENCES: usize = 8;

fn main() -> Result<(), Error> {
    let mut criterion = Criterion::default().configure_from_args();
    let model = open()?;
    let text: Vec<u32> = (0..PROMPT as u32)
        .map(|i| (i * 7919 + 1) % model.config().n_vocab as u32)
        .collect();
    check(&model, &text)?;

    criterion.bench_function("open", |bencher| {
        bencher.iter_with_large_drop(|| {
            let model = open().expect("it opened before");
            let mut cache = cache(&model);
            black_box(step(&model, &mut [&mut cache], &text[..1]));
            model
        });
    });

    let mut group = criterion.benchmark_group("prompt");
    group.throughput(Throughput::Elements(PROMPT as u64));
    group.bench_function("256", |bencher| {
        bencher.iter_batched_ref(
            || cache(&model),
            |cache| black_box(step(&model, &mut [cache], &text)),
            BatchSize::LargeInput,
        );
    });
    group.finish();

    for (name, sequences) in [("token", 1), ("eight", SEQUENCES)] {
        let mut caches: Vec<KvCache> = (0..sequences).map(|_| cache(&model)).collect();
        for cache in &mut caches {
            step(&model, &mut [cache], &text[..DEPTH]);
        }
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(sequences as u64));
        group.bench_function(format!("after {DEPTH}"), |bencher| {
            bencher.iter(|| {
                let mut caches: Vec<&mut KvCache> = caches.iter_mut().collect();
                black_box(step(&model, &mut caches, &text[DEPTH..=DEPTH]));
                for cache in caches {
                    cache.truncate(DEPTH);
                }
            });
        });
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

fn open() -> Result<Model, Error> {
    Model::open(MODEL, &ModelOptions::default())
}

fn cache(model: &Model) -> KvCache {
    model
        .cache(KvFormat::F16, PROMPT + 1)
        .expect("a small cache")
}

/// Takes the same tokens through every sequence; the last logits of all.
fn step(model: &Model, caches: &mut [&mut KvCache], tokens: &[u32]) -> Vec<f32> {
    let mut sequences: Vec<Sequence<'_>> = caches
        .iter_mut()
        .map(|cache| Sequence {
            cache,
            tokens,
            wanted: Wanted::Last,
        })
        .collect();
    model.step(&mut sequences).expect("the tokens fit")
}

fn check(model: &Model, text: &[u32]) -> Result<(), Error> {
    let expected = step(model, &mut [&mut cache(model)], text);
    assert!(expected.iter().any(|logit| *logit != expected[0]));

    let mut pieces = cache(model);
    let mut logits = Vec::new();
    for tokens in text.chunks(7) {
        logits = step(model, &mut [&mut pieces], tokens);
    }
    assert_eq!(logits, expected, "in pieces of seven");

    let mut caches: Vec<KvCache> = (0..SEQUENCES).map(|_| cache(model)).collect();
    let mut caches: Vec<&mut KvCache> = caches.iter_mut().collect();
    let all = step(model, &mut caches, text);
    for (i, logits) in all.chunks(expected.len()).enumerate() {
        assert_eq!(logits, expected, "sequence {i} of {SEQUENCES}");
    }
    Ok(())
}
