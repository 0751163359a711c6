//! The self-test on whatever adapter there is, and what it does not cover.
//!
//! Without an adapter the tests say so and pass; with `FIRSTLIGHT_REQUIRE_GPU=1`
//! in the environment, which CI sets, they fail.

use super::cache::GpuKvLayer;
use super::products::Targets;
use super::{Gpu, GpuError, GpuOptions, selftest};
use crate::backend::{Backend, Device, Product, Sibling};
use crate::cache::KvFormat;
use crate::mapping::{Bytes, Mapping};
use kernels::Format;
use kernels::selftest::Random;
use std::io::Write;
use std::sync::Arc;

/// Opens the adapter, or says that there is none.
fn open(options: &GpuOptions) -> Option<Gpu> {
    match Gpu::open(options) {
        Ok(gpu) => Some(gpu),
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

#[test]
fn every_operation_is_as_defined() {
    let options = GpuOptions::default();
    if open(&options).is_none() {
        return;
    }
    let (mut count, mut failed) = (0, Vec::new());
    selftest::run(&options, |outcome| {
        count += 1;
        if outcome.failure.is_some() {
            failed.push(format!("{outcome:?}"));
        }
    })
    .unwrap();
    assert!(count > 150, "only {count} cases");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A matrix just above what one binding holds, on adapters where that is little
/// enough to try.
#[test]
fn a_matrix_above_the_binding_limit() {
    let Some(gpu) = open(&GpuOptions::default()) else {
        return;
    };
    let limit = gpu.context.binding_limit;
    if limit > 256 << 20 {
        println!("skipped: this adapter binds {limit} bytes at once");
        return;
    }
    let (format, inputs) = (Format::F32, 8192);
    let outputs = limit as usize / format.row_bytes(inputs).unwrap() + 5;
    let mut random = Random(5);
    let row: Vec<f32> = (0..inputs).map(|_| random.float()).collect();
    let x: Vec<f32> = (0..inputs).map(|_| random.float()).collect();
    let bytes: Vec<u8> = (0..outputs)
        .flat_map(|n| row.iter().map(move |v| v * (n % 13) as f32))
        .flat_map(f32::to_le_bytes)
        .collect();
    let mapping = Arc::new(Mapping::anonymous(&bytes).unwrap());
    let bytes = Bytes::new(mapping, 0..bytes.len());
    let matrix = gpu.device().matrix(format, outputs, inputs, bytes);
    assert!(matrix.slices.len() > 1, "{} slices", matrix.slices.len());
    let mut found = Vec::new();
    gpu.pass(|backend| {
        let input = backend.write(&x, inputs);
        let mut out = backend.tensor(1, outputs);
        let product = Product {
            weight: &matrix,
            bias: None,
            out: &mut out,
        };
        backend.matmul(&input, &mut [product]);
        backend.read(&out, &mut found);
    });
    gpu.check().unwrap();
    let once: f64 = row.iter().zip(&x).map(|(&w, &x)| f64::from(w * x)).sum();
    for (n, found) in found.iter().enumerate() {
        let expected = once as f32 * (n % 13) as f32;
        let most = 1e-4 * 13.0 * once.abs() as f32;
        assert!(
            (found - expected).abs() <= most,
            "row {n}: {found}, expected {expected}"
        );
    }
}

/// Products in f16 know no overflow: weights and activations far beyond 65504
/// together give what they give in f32, and the same digits at any scale.
#[test]
fn products_in_half_do_not_overflow() {
    let Some(gpu) = open(&GpuOptions::default()) else {
        return;
    };
    if !gpu.context.half {
        println!("skipped: this adapter has no arithmetic in f16");
        return;
    }
    let (tokens, outputs, inputs) = (20, 9, 96);
    let mut random = Random(3);
    let mut floats = |len: usize| (0..len).map(|_| random.float()).collect::<Vec<_>>();
    let x = floats(tokens * inputs);
    let weights: Vec<_> = floats(outputs * inputs)
        .iter()
        .map(|w| half::f16::from_f32(60000.0 * w))
        .collect();
    let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let mapping = Arc::new(Mapping::anonymous(&bytes).unwrap());
    let bytes = Bytes::new(mapping, 0..bytes.len());
    let matrix = gpu.device().matrix(Format::F16, outputs, inputs, bytes);
    let products = |scale: f32| {
        let x: Vec<f32> = x.iter().map(|x| x * scale).collect();
        let mut found = Vec::new();
        gpu.pass(|backend| {
            let x = backend.write(&x, inputs);
            let mut out = backend.tensor(tokens, outputs);
            let product = Product {
                weight: &matrix,
                bias: None,
                out: &mut out,
            };
            backend.matmul(&x, &mut [product]);
            backend.read(&out, &mut found);
        });
        gpu.check().unwrap();
        found
    };
    let found = products(1.0);
    let expected: Vec<f32> = (0..tokens * outputs)
        .map(|index| {
            let x = &x[index / outputs * inputs..][..inputs];
            let w = &weights[index % outputs * inputs..][..inputs];
            x.iter().zip(w).map(|(x, w)| x * w.to_f32()).sum()
        })
        .collect();
    let largest = expected.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() <= 2e-3 * largest,
            "product {index}: {found}, expected {expected}, the largest is {largest}"
        );
    }
    let scale = 2f32.powi(40);
    let scaled: Vec<f32> = found.iter().map(|product| product * scale).collect();
    assert_eq!(products(scale), scaled);
}

/// Matrix units are used where there are any, and not where they are unwanted.
#[test]
fn matrix_units_are_used_unless_unwanted() {
    let Some(gpu) = open(&GpuOptions::default()) else {
        return;
    };
    assert!(!gpu.context.matrix_units || gpu.description().matrix_units);
    let unwanted = GpuOptions {
        without_matrix_units: true,
        ..GpuOptions::default()
    };
    let gpu = open(&unwanted).expect("it opened before");
    assert!(!gpu.context.matrix_units);
}

/// What a device has no room for is not chosen.
#[test]
fn tiles_fit_the_device() {
    let tiles = |bytes, lanes| {
        let limits = wgpu::Limits {
            max_compute_workgroup_storage_size: bytes,
            max_compute_invocations_per_workgroup: lanes,
            max_compute_workgroup_size_x: 1024,
            ..Default::default()
        };
        super::units::tiles(&limits).map(|tile| (tile.rows, tile.tokens))
    };
    assert_eq!(tiles(48 << 10, 1024).next(), Some((128, 128)));
    assert_eq!(tiles(32 << 10, 1024).next(), Some((64, 64)));
    assert_eq!(tiles(48 << 10, 128).next(), Some((64, 64)));
    assert_eq!(tiles(16 << 10, 1024).next(), None);
}

#[test]
fn caches_that_no_binding_holds_are_refused() {
    let Some(gpu) = open(&GpuOptions::default()) else {
        return;
    };
    let error = GpuKvLayer::new(&gpu.context, KvFormat::F32, 1 << 16, [16, 1], 1 << 20)
        .err()
        .unwrap();
    assert!(error.to_string().contains("needs a buffer"), "{error}");
}

/// Matrices of one format take one dispatch together, after the one that
/// quantizes their input; a third of another format takes one more.
#[test]
fn siblings_take_one_dispatch() {
    let Some(gpu) = open(&GpuOptions::default()) else {
        return;
    };
    for (third, expected) in [(Format::Q4_K, 1 + 1), (Format::Q6_K, 1 + 2)] {
        let sibling = |format: Format| {
            let bytes = vec![0; 4 * format.row_bytes(256).unwrap()];
            let mapping = Arc::new(Mapping::anonymous(&bytes).unwrap());
            Sibling {
                format,
                rows: 4,
                bytes: Bytes::new(mapping, 0..bytes.len()),
            }
        };
        let matrices = [Format::Q4_K, Format::Q4_K, third].map(sibling).into();
        let matrices = gpu.device().siblings(256, matrices);
        let (before, _) = gpu.counts();
        gpu.pass(|backend| {
            let x = backend.write(&[1.0; 256], 256);
            let mut outs: Vec<_> = (0..3).map(|_| backend.tensor(1, 4)).collect();
            let products = matrices.iter().zip(&mut outs).map(|(weight, out)| Product {
                weight,
                bias: None,
                out,
            });
            backend.matmul(&x, &mut products.collect::<Vec<_>>());
            backend.finish();
        });
        gpu.check().unwrap();
        assert_eq!(gpu.counts().0 - before, expected);
    }
}

/// What splits of the inputs leave is added up and goes where products go: to rows
/// of one output, added to what is there, or to those of three.
#[test]
fn splits_are_added_up() {
    let Some(gpu) = open(&GpuOptions::default()) else {
        return;
    };
    let (tokens, rows, width) = (3, 13, 16);
    for (splits, of_siblings) in [(2, false), (8, true), (11, false), (11, true)] {
        // Whole numbers, whose sums are exact; nobody uses what pads a row.
        let part = |split: usize, token: usize, row: usize| match row < rows {
            true => ((split * 31 + token * 17 + row * 7) % 23) as f32,
            false => f32::NAN,
        };
        let each = (0..splits * tokens * width).map(|index| {
            let split = index / width / tokens;
            part(split, index / width % tokens, index % width)
        });
        let partial: Vec<f32> = each.collect();
        // The first row of each matrix, its rows, and the output that the first makes.
        let matrices = match of_siblings {
            true => vec![(0, 5, 0), (5, 6, 0), (11, 2, 0)],
            false => vec![(0, 13, 4)],
        };
        let outputs = |(_, rows, first): (usize, usize, usize)| first + rows;
        let bias = |output: usize| output as f32 / 4.0;
        let mut found = vec![Vec::new(); matrices.len()];
        gpu.pass(|backend| {
            let partial = backend.write(&partial, width);
            let (mut outs, mut kept, mut buffers) = (Vec::new(), Vec::new(), Vec::new());
            for &matrix in &matrices {
                let outputs = outputs(matrix);
                let biases: Vec<f32> = (0..outputs).map(bias).collect();
                let biases = backend.write(&biases, outputs);
                let out = backend.write(&vec![0.5; tokens * outputs], outputs);
                buffers.extend([biases.float.clone(), out.float.clone()]);
                kept.push(biases);
                outs.push(out);
            }
            let targets = Targets {
                buffers,
                first_row: matrices[0].2,
                outputs: outputs(matrices[0]),
                second: matrices.get(1).map_or(rows, |matrix| matrix.0),
                third: matrices.get(2).map_or(rows, |matrix| matrix.0),
                bias: true,
                add: !of_siblings,
            };
            backend.add_splits(&partial.float, [splits, tokens, rows], &targets);
            for (out, found) in outs.iter().zip(&mut found) {
                backend.read(out, found);
            }
        });
        gpu.check().unwrap();
        for (matrix, found) in matrices.iter().zip(&found) {
            let (first_row, _, first_output) = *matrix;
            let outputs = outputs(*matrix);
            for (index, &found) in found.iter().enumerate() {
                let (token, output) = (index / outputs, index % outputs);
                let before = if of_siblings { 0.0 } else { 0.5 };
                let expected = match output.checked_sub(first_output) {
                    Some(row) => {
                        let parts = (0..splits).map(|split| part(split, token, first_row + row));
                        parts.sum::<f32>() + bias(output) + before
                    }
                    None => 0.5,
                };
                assert_eq!(found, expected, "{splits} splits, {token}, {output}");
            }
        }
    }
}

/// Long steps are sent in two parts, and compute what they did in one.
#[test]
fn long_steps_are_sent_in_two_parts() {
    let Some(gpu) = open(&GpuOptions::default()) else {
        return;
    };
    let step = |value: f32| {
        let before = gpu.counts().1;
        let mut found = Vec::new();
        gpu.pass(|backend| {
            let mut x = backend.write(&[value; 32], 32);
            for _ in 0..150 {
                x = backend.select(&x, &[0]);
            }
            backend.read(&x, &mut found);
        });
        assert_eq!(found, [value; 32]);
        gpu.counts().1 - before
    };
    // The third is encoded before.
    assert_eq!([1.0, 2.0, 3.0, 4.0].map(step), [1, 2, 2, 2]);
    gpu.check().unwrap();
}

/// A lost device is told of by every step from then on, and nothing hangs.
#[test]
fn a_lost_device_stays_lost() {
    let Some(gpu) = open(&GpuOptions::default()) else {
        return;
    };
    let (mut read, x) = (Vec::new(), [1.0; 32]);
    let mut copy = || {
        gpu.pass(|backend| {
            let x = backend.write(&x, 32);
            let copied = backend.select(&x, &[0]);
            backend.read(&copied, &mut read);
        });
        gpu.check()
    };
    copy().unwrap();
    gpu.abandon();
    for _ in 0..2 {
        let error = copy().unwrap_err();
        assert!(matches!(error, GpuError::Lost { .. }), "{error}");
    }
    let error = GpuKvLayer::new(&gpu.context, KvFormat::F32, 1, [4, 4], 512).map(|mut cache| {
        let _ = cache.reserve(300);
    });
    assert!(error.is_ok());
    assert!(matches!(gpu.check(), Err(GpuError::Lost { .. })));
}

/// A cache that cannot grow keeps what it has, and grows when it can.
#[test]
fn a_cache_without_room_stays_as_it_is() {
    let options = GpuOptions {
        memory_limit_bytes: Some(1 << 20),
        ..GpuOptions::default()
    };
    let Some(gpu) = open(&options) else {
        return;
    };
    // 2 KiB for a position's keys and values.
    let mut cache = GpuKvLayer::new(&gpu.context, KvFormat::F32, 4, [64, 64], 1 << 16).unwrap();
    cache.reserve(1).unwrap();
    let before = [cache.keys.id, cache.values.id];
    for _ in 0..2 {
        let error = cache.reserve(400).unwrap_err();
        assert!(matches!(error, GpuError::OutOfMemory { .. }), "{error}");
        assert_eq!([cache.keys.id, cache.values.id], before);
    }
    assert_eq!(gpu.check(), Ok(()));
    let mut smaller = GpuKvLayer::new(&gpu.context, KvFormat::F16, 1, [64, 64], 1 << 10).unwrap();
    smaller.reserve(300).unwrap();
}
