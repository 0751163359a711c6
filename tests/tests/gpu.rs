//! Whole models on the GPU against the CPU, for every format and every split of
//! the layers between the two.
//!
//! Without an adapter the tests say so and pass; with `FIRSTLIGHT_REQUIRE_GPU=1`
//! in the environment, which CI sets, they fail. A software adapter will do.

use firstlight::backend::gpu::GpuError;
use firstlight::{
    DeviceChoice, Error, GpuLayers, KvFormat, Model, ModelOptions, Request, Sampling, Sequence,
    SessionOptions, Wanted,
};
use firstlight_tests::{nmse, shared_dir};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bound on the normalized mean squared error of logits against the CPU's.
const BOUND: f64 = 1e-4;

/// The same with a cache of 8 bits, where the CPU quantizes queries and the GPU
/// does not.
const BOUND_Q8_0: f64 = 1e-3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn tokens() -> Vec<u32> {
    let text = std::fs::read_to_string(folder().join("golden.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let tokens = golden["tokens"].as_array().unwrap();
    tokens.iter().map(|t| t.as_u64().unwrap() as u32).collect()
}

fn open(name: &str, device: DeviceChoice, layers: GpuLayers) -> Option<Model> {
    open_file(&folder().join(format!("{name}.gguf")), name, device, layers)
}

fn open_file(path: &Path, name: &str, device: DeviceChoice, layers: GpuLayers) -> Option<Model> {
    let options = ModelOptions {
        device,
        gpu_layers: layers,
        threads: Some(2),
        ..ModelOptions::default()
    };
    match Model::open(path, &options) {
        Ok(model) => Some(model),
        Err(Error::Gpu(error @ GpuError::HeadWidth { .. })) => {
            println!("{name}: {error}");
            None
        }
        Err(Error::Gpu(error @ (GpuError::NoAdapter { .. } | GpuError::NotBuilt)))
            if std::env::var_os("FIRSTLIGHT_REQUIRE_GPU").is_none() =>
        {
            // Past the capture of the test's output, which hides what passes.
            let _ = writeln!(std::io::stderr(), "skipped {name} on the GPU: {error}");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

/// The logits of all tokens, `chunk` at a time.
fn logits(model: &Model, kv: KvFormat, tokens: &[u32], chunk: usize) -> Vec<f32> {
    let mut cache = model.cache(kv, tokens.len()).unwrap();
    let step = |tokens| {
        let sequence = Sequence {
            cache: &mut cache,
            tokens,
            wanted: Wanted::All,
        };
        model.step(&mut [sequence]).unwrap()
    };
    tokens.chunks(chunk).flat_map(step).collect()
}

/// Compares a model on the GPU, all tokens at once and one by one.
fn check(name: &str, layers: GpuLayers, kv: KvFormat) {
    let Some(gpu) = open(name, DeviceChoice::Gpu, layers) else {
        return;
    };
    let cpu = open(name, DeviceChoice::Cpu, layers).unwrap();
    let tokens = tokens();
    let expected = logits(&cpu, kv, &tokens, tokens.len());
    let bound = match kv {
        KvFormat::Q8_0 => BOUND_Q8_0,
        _ => BOUND,
    };
    for chunk in [tokens.len(), 1] {
        let error = nmse(&logits(&gpu, kv, &tokens, chunk), &expected);
        println!("{name:<20} {layers:?}, {chunk} at a time: {error:.1e}");
        assert!(
            error <= bound,
            "{name}, {layers:?}, {chunk} at a time: normalized mean squared error {error:e}, at most {bound:e}"
        );
    }
}

#[test]
fn every_format_and_feature() {
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            Some(
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".gguf")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    for name in names {
        check(&name, GpuLayers::Auto, KvFormat::F32);
    }
}

#[test]
fn every_split_of_the_layers() {
    let name = "q4_k";
    let layers = open(name, DeviceChoice::Cpu, GpuLayers::Auto)
        .unwrap()
        .config()
        .n_layer;
    for count in 0..=layers + 1 {
        check(name, GpuLayers::First(count), KvFormat::F16);
    }
}

#[test]
fn a_cache_of_8_bits() {
    for name in ["q4_k", "llama-mqa"] {
        check(name, GpuLayers::Auto, KvFormat::Q8_0);
    }
}

/// What is chosen on the device is what all logits say.
#[test]
fn the_highest_logits_are_selected_on_the_device() {
    let Some(model) = open("q8_0", DeviceChoice::Gpu, GpuLayers::Auto) else {
        return;
    };
    let tokens = tokens();
    let all = logits(&model, KvFormat::F16, &tokens, tokens.len());
    let mut expected: Vec<(u32, f32)> = Vec::new();
    for row in all.chunks_exact(model.config().n_vocab) {
        let mut row: Vec<_> = (0..).zip(row.iter().copied()).collect();
        row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        expected.extend_from_slice(&row[..3]);
    }
    let mut cache = model.cache(KvFormat::F16, tokens.len()).unwrap();
    let sequence = Sequence {
        cache: &mut cache,
        tokens: &tokens,
        wanted: Wanted::All,
    };
    let mut found = model.step_highest(&mut [sequence], 3).unwrap();
    for row in found.chunks_exact_mut(3) {
        row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }
    assert_eq!(found, expected);
}

/// A trained model's greedy text on the GPU, through a session, against an
/// independent engine's.
#[test]
fn greedy_text_is_the_references() {
    let name = "stories260K.gguf";
    let Some(folder) = shared_dir() else {
        return;
    };
    let folder = folder.join("models");
    let text = std::fs::read_to_string(folder.join("reference_greedy.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let ids = |value: &Value| -> Vec<u32> {
        let ids = value.as_array().unwrap().iter();
        ids.map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let cases = all["cases"].as_array().unwrap();
    for case in cases.iter().filter(|case| case["model"] == name) {
        let layers = GpuLayers::Auto;
        let Some(model) = open_file(&folder.join(name), name, DeviceChoice::Gpu, layers) else {
            return;
        };
        let expected = ids(&case["tokens"]);
        let options = SessionOptions {
            kv: KvFormat::F32,
            ..SessionOptions::default()
        };
        let mut session = model.session(&options).unwrap();
        session.feed_tokens(&ids(&case["prompt_tokens"])).unwrap();
        let request = Request {
            sampling: Sampling::greedy(),
            max_tokens: Some(expected.len()),
            ..Request::default()
        };
        let pieces = session.resume(&request).unwrap();
        let found: Vec<u32> = pieces.filter_map(|piece| piece.unwrap().token).collect();
        assert_eq!(found, expected, "after {}", case["prompt_tokens"]);
    }
}
