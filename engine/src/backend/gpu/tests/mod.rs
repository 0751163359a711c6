//! Every shader against the CPU, on whatever adapter there is.
//!
//! Without an adapter the tests say so and pass; with `FIRSTLIGHT_REQUIRE_GPU=1`
//! in the environment, which CI sets, they fail.

mod attention;
mod elementwise;
mod products;

use super::context::Context;
use super::ops::GpuBackend;
use super::tensor::Tensor;
use super::weights::GpuDevice;
use super::{GpuError, GpuOptions};
use crate::backend::Backend;
use std::io::Write;

/// A device and what computes with it.
struct Bench {
    device: GpuDevice,
    backend: GpuBackend,
}

/// Opens the adapter, or says that there is none.
fn bench(options: GpuOptions) -> Option<Bench> {
    match Context::open(&options) {
        Ok(context) => Some(Bench {
            device: GpuDevice {
                context: context.clone(),
            },
            backend: GpuBackend::new(context),
        }),
        Err(error @ GpuError::NoAdapter { .. })
            if std::env::var_os("FIRSTLIGHT_REQUIRE_GPU").is_none() =>
        {
            // Past the capture of the test's output, which hides what passes.
            let _ = writeln!(std::io::stderr(), "skipped a test of the GPU: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs a test with subgroups, if the adapter has them, and without.
fn both_reductions(test: impl Fn(&mut Bench)) {
    for without_subgroups in [false, true] {
        let options = GpuOptions {
            without_subgroups,
            ..GpuOptions::default()
        };
        if let Some(mut bench) = bench(options) {
            test(&mut bench);
            bench.device.check().unwrap();
        }
    }
}

impl Bench {
    fn read(&mut self, x: &Tensor) -> Vec<f32> {
        let mut values = Vec::new();
        self.backend.read(x, &mut values);
        values
    }
}

/// Numbers between −1 and 1 that look random and are always the same.
fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Checks that no value is further from the expected one than `bound` times the
/// largest expected magnitude.
#[track_caller]
fn check(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let largest = expected
        .iter()
        .fold(0.0f32, |max, value| max.max(value.abs()));
    let (worst, error) = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| (found - expected).abs())
        .enumerate()
        .fold((0, 0.0), |(at, worst), (index, error)| {
            // Also true for NaN.
            match error <= worst {
                true => (at, worst),
                false => (index, error),
            }
        });
    assert!(
        error <= bound * largest,
        "{what}: value {worst} is {}, expected {}: off by {error:e}, at most {:e}",
        found[worst],
        expected[worst],
        bound * largest
    );
}
