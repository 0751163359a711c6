//! Logits against those of an independent engine on exactly dequantized
//! weights; see `tests/golden/README.md`.

use firstlight::{Isa, KvFormat, Model, ModelOptions, Sequence, Wanted};
use firstlight_tests::{nmse, npy};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn golden() -> (Vec<u32>, serde_json::Map<String, Value>) {
    let text = std::fs::read_to_string(folder().join("golden.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let tokens = golden["tokens"].as_array().unwrap();
    let tokens = tokens
        .iter()
        .map(|token| token.as_u64().unwrap() as u32)
        .collect();
    (tokens, golden["models"].as_object().unwrap().clone())
}

fn open(name: &str, isa: Isa, threads: usize) -> Model {
    let options = ModelOptions {
        threads: Some(threads),
        isa: Some(isa),
        ..ModelOptions::default()
    };
    Model::open(folder().join(format!("{name}.gguf")), &options).unwrap()
}

/// The logits of all tokens, `chunk` at a time.
fn logits(model: &Model, kv: KvFormat, tokens: &[u32], chunk: usize) -> Vec<f32> {
    let mut cache = model.cache(kv, tokens.len()).unwrap();
    let step = |tokens| {
        model
            .step(&mut [Sequence {
                cache: &mut cache,
                tokens,
                wanted: Wanted::All,
            }])
            .unwrap()
    };
    tokens.chunks(chunk).flat_map(step).collect()
}

#[test]
fn every_format_and_feature_is_near_the_exact_logits() {
    let (tokens, models) = golden();
    let mut formats = Vec::new();
    for (name, entry) in &models {
        let expected = npy::parse(&std::fs::read(folder().join(format!("{name}.npy"))).unwrap());
        let model = open(name, Isa::detect(), 2);
        assert_eq!(model.config().n_vocab, expected.cols);
        let error = nmse(
            &logits(&model, KvFormat::F32, &tokens, tokens.len()),
            &expected.values,
        );
        let format = entry["format"].as_str().unwrap();
        let bound = match format {
            "F32" | "F16" | "BF16" => 1e-5,
            _ => 2e-4,
        };
        println!(
            "{name:<20} {error:.2e}   (llama.cpp {:.2e})",
            entry["nmse_llama_cpp"].as_f64().unwrap()
        );
        assert!(
            error <= bound,
            "{name}: normalized mean squared error {error:e}, at most {bound:e}"
        );
        formats.push(format.to_ascii_lowercase());
    }
    for format in kernels::Format::all() {
        assert!(
            formats.iter().any(|have| have == format.name()),
            "no golden values for {}",
            format.name()
        );
    }
}

#[test]
fn logits_are_the_same_to_the_bit_everywhere() {
    let (tokens, models) = golden();
    for name in models.keys() {
        for kv in [KvFormat::F32, KvFormat::F16, KvFormat::Q8_0] {
            let expected = logits(&open(name, Isa::Scalar, 1), kv, &tokens, tokens.len());
            for isa in Isa::available() {
                for threads in [1, 2, 3] {
                    let model = open(name, isa, threads);
                    for chunk in [1, 7, 24] {
                        let found = logits(&model, kv, &tokens, chunk);
                        let same = expected
                            .iter()
                            .zip(&found)
                            .all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(
                            same && expected.len() == found.len(),
                            "{name}, {kv}: {isa}, {threads} threads, {chunk} tokens at a time"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn logits_do_not_depend_on_company() {
    let (tokens, models) = golden();
    for name in models.keys() {
        let model = open(name, Isa::detect(), 2);
        let n_vocab = model.config().n_vocab;
        let alone = logits(&model, KvFormat::F16, &tokens, tokens.len());
        // Three sequences of different lengths and pasts in each step.
        let mut caches: Vec<_> = (0..3)
            .map(|_| model.cache(KvFormat::F16, tokens.len()).unwrap())
            .collect();
        let mut found = vec![Vec::new(); 3];
        for round in 0.. {
            let mut parts = Vec::new();
            for (index, cache) in caches.iter_mut().enumerate() {
                let first = cache.len();
                let last = tokens.len().min(first + 1 + (round + index) % 5);
                if first < last {
                    parts.push((
                        index,
                        Sequence {
                            cache,
                            tokens: &tokens[first..last],
                            wanted: Wanted::All,
                        },
                    ));
                }
            }
            if parts.is_empty() {
                break;
            }
            let (indices, mut parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            let counts: Vec<_> = parts
                .iter()
                .map(|part| part.tokens.len() * n_vocab)
                .collect();
            let logits = model.step(&mut parts).unwrap();
            let mut rest = &logits[..];
            for (index, count) in indices.into_iter().zip(counts) {
                let (own, others) = rest.split_at(count);
                found[index].extend_from_slice(own);
                rest = others;
            }
        }
        for found in found {
            assert!(
                alone
                    .iter()
                    .zip(&found)
                    .all(|(a, b)| a.to_bits() == b.to_bits()),
                "{name}"
            );
            assert_eq!(alone.len(), found.len());
        }
    }
}
