//! Whole models on the GPU against the CPU, for every format and every split of
//! the layers between the two.
//!
//! Without an adapter the tests say so and pass; with `FIRSTLIGHT_REQUIRE_GPU=1`
//! in the environment, which CI sets, they fail. A software adapter will do.

use firstlight::backend::gpu::GpuError;
use firstlight::{DeviceChoice, Error, GpuLayers, KvFormat, Model, ModelOptions, Sequence, Wanted};
use firstlight_tests::nmse;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bound on the normalized mean squared error of logits against the CPU's.
const BOUND: f64 = 1e-4;

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
    let options = ModelOptions {
        device,
        gpu_layers: layers,
        threads: Some(2),
        ..ModelOptions::default()
    };
    match Model::open(folder().join(format!("{name}.gguf")), &options) {
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
    for chunk in [tokens.len(), 1] {
        let error = nmse(&logits(&gpu, kv, &tokens, chunk), &expected);
        println!("{name:<20} {layers:?}, {chunk} at a time: {error:.1e}");
        assert!(
            error <= BOUND,
            "{name}, {layers:?}, {chunk} at a time: normalized mean squared error {error:e}, at most {BOUND:e}"
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
