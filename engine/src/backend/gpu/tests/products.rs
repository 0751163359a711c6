//! Products and embeddings, in every format.

use super::super::GpuOptions;
use super::{Bench, bench, both_reductions, check, noise};
use crate::backend::{Backend, Product};
use kernels::Format;
use kernels::format::ActivationForm;

/// Bound on the difference, as a share of the largest output. Weights and
/// activations are the same integers as on the CPU; only the order of the `f32`
/// additions differs, and a product of fewer than a thousand terms loses less
/// than this to it.
const BOUND: f32 = 2e-6;

/// Bytes of a matrix whose weights are of ordinary size: random bits, with
/// scales that are not.
fn weights(format: Format, rows: usize, cols: usize) -> Vec<u8> {
    let values = noise(7, rows * cols);
    match format {
        Format::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Format::F16 => values
            .iter()
            .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
            .collect(),
        Format::BF16 => values
            .iter()
            .flat_map(|&v| half::bf16::from_f32(v).to_le_bytes())
            .collect(),
        _ => blocks(format, rows * format.row_bytes(cols).unwrap()),
    }
}

/// Random blocks. Where the scales of a format lie in its block, counted in
/// bytes, they are binary16 numbers of about 0.01.
fn blocks(format: Format, len: usize) -> Vec<u8> {
    let scales: &[usize] = match format {
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q2_K => &[80, 82],
        Format::Q3_K => &[108],
        Format::Q6_K => &[208],
        Format::MXFP4 => &[],
        _ => &[0],
    };
    let random = noise(11, len);
    let mut bytes: Vec<u8> = random.iter().map(|v| (v * 1e6) as i32 as u8).collect();
    for (index, block) in bytes
        .chunks_exact_mut(format.info().block_bytes)
        .enumerate()
    {
        for &at in scales {
            let scale = half::f16::from_f32(0.01 + 0.001 * (index % 7) as f32);
            block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        if format == Format::MXFP4 {
            block[0] = 120 + (index % 9) as u8;
        }
    }
    bytes
}

/// The product by the definition: exact integers per group for block formats.
fn expected(format: Format, bytes: &[u8], cols: usize, x: &[f32]) -> Vec<f32> {
    let row_bytes = format.row_bytes(cols).unwrap();
    let x = match format.info().activations {
        ActivationForm::Float => x.to_vec(),
        ActivationForm::Int8 => x.chunks(32).flat_map(quantized).collect(),
    };
    let mut row = vec![0.0; cols];
    let mut out = vec![0.0; x.len() / cols * (bytes.len() / row_bytes)];
    let outputs = bytes.len() / row_bytes;
    for (n, bytes) in bytes.chunks_exact(row_bytes).enumerate() {
        format.dequantize(bytes, &mut row);
        for (m, x) in x.chunks_exact(cols).enumerate() {
            let products = row
                .iter()
                .zip(x)
                .map(|(&w, &x)| f64::from(w) * f64::from(x));
            out[m * outputs + n] = products.sum::<f64>() as f32;
        }
    }
    out
}

/// A group of activations, to 8 bits and back.
fn quantized(x: &[f32]) -> Vec<f32> {
    let amax = x.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    let scale = 127.0 / amax;
    let d = amax / 127.0;
    x.iter()
        .map(|x| d * (x * scale).round_ties_even())
        .collect()
}

fn product(bench: &mut Bench, format: Format, tokens: usize, outputs: usize, inputs: usize) {
    let bytes = weights(format, outputs, inputs);
    let x = noise(3, tokens * inputs);
    let matrix = bench.device.place(format, outputs, inputs, &bytes);
    let input = bench.backend.write(&x, inputs);
    let mut out = bench.backend.tensor(tokens, outputs);
    bench.backend.matmul(
        &input,
        &mut [Product {
            weight: &matrix,
            bias: None,
            out: &mut out,
        }],
    );
    let mut sums = expected(format, &bytes, inputs, &x);
    let what = format!("{} {tokens}x{outputs}x{inputs}", format.name());
    check(&what, &bench.read(&out), &sums, BOUND);
    if !matches!(format, Format::F16 | Format::Q4_0) {
        return;
    }
    // Once more on top: the residual.
    bench.backend.matmul_add(&input, &matrix, None, &mut out);
    sums.iter_mut().for_each(|sum| *sum *= 2.0);
    check(&format!("{what}, added"), &bench.read(&out), &sums, BOUND);
}

#[test]
fn few_tokens_in_every_format() {
    both_reductions(|bench| {
        for format in Format::all() {
            // One token in one form, a tile and a part of one in the other.
            let tokens = if bench.device.context.subgroups { 1 } else { 9 };
            product(bench, format, tokens, 37, 512);
        }
    });
}

#[test]
fn many_tokens_in_every_format() {
    let Some(mut bench) = bench(GpuOptions::default()) else {
        return;
    };
    for format in Format::all() {
        for (tokens, outputs, inputs) in [(17, 64, 256), (65, 70, 768)] {
            product(&mut bench, format, tokens, outputs, inputs);
        }
    }
    bench.device.check().unwrap();
}

#[test]
fn rows_of_odd_lengths() {
    both_reductions(|bench| {
        for (tokens, inputs) in [(1, 1), (1, 43), (3, 173), (20, 45)] {
            for format in [Format::F32, Format::F16, Format::BF16] {
                product(bench, format, tokens, 9, inputs);
            }
        }
        product(bench, Format::Q4_0, 2, 5, 32);
        product(bench, Format::Q8_0, 20, 5, 96);
    });
}

#[test]
fn matrices_are_cut_into_slices() {
    let options = GpuOptions {
        binding_limit_bytes: Some(4096),
        ..GpuOptions::default()
    };
    let Some(mut bench) = bench(options) else {
        return;
    };
    for format in [Format::F16, Format::Q4_0, Format::Q6_K] {
        for tokens in [1, 20] {
            product(&mut bench, format, tokens, 101, 256);
        }
    }
    bench.device.check().unwrap();
}

#[test]
fn a_matrix_above_the_binding_limit() {
    let Some(mut bench) = bench(GpuOptions::default()) else {
        return;
    };
    let limit = bench.device.context.binding_limit;
    if limit > 256 << 20 {
        println!("skipped: this adapter binds {limit} bytes at once");
        return;
    }
    let (format, inputs) = (Format::F32, 8192);
    let outputs = limit as usize / format.row_bytes(inputs).unwrap() + 5;
    let row = noise(5, inputs);
    let bytes: Vec<u8> = (0..outputs)
        .flat_map(|n| row.iter().map(move |v| v * (n % 13) as f32))
        .flat_map(f32::to_le_bytes)
        .collect();
    let matrix = bench.device.place(format, outputs, inputs, &bytes);
    assert!(matrix.slices.len() > 1, "{} slices", matrix.slices.len());
    let x = noise(6, inputs);
    let input = bench.backend.write(&x, inputs);
    let mut out = bench.backend.tensor(1, outputs);
    bench.backend.matmul(
        &input,
        &mut [Product {
            weight: &matrix,
            bias: None,
            out: &mut out,
        }],
    );
    let once: f64 = row.iter().zip(&x).map(|(&w, &x)| f64::from(w * x)).sum();
    let sums: Vec<f32> = (0..outputs)
        .map(|n| once as f32 * (n % 13) as f32)
        .collect();
    check("a large matrix", &bench.read(&out), &sums, 1e-4);
    bench.device.check().unwrap();
}

#[test]
fn embeddings_in_every_format() {
    let options = GpuOptions {
        binding_limit_bytes: Some(8192),
        ..GpuOptions::default()
    };
    let Some(mut bench) = bench(options) else {
        return;
    };
    for format in Format::all() {
        let (rows, cols) = (40, 256);
        let bytes = weights(format, rows, cols);
        let table = bench.device.place(format, rows, cols, &bytes);
        let tokens = [0, 39, 17, 17];
        let out = bench.backend.embed(&table, &tokens);
        let row_bytes = format.row_bytes(cols).unwrap();
        let mut expected = vec![0.0; tokens.len() * cols];
        for (token, out) in tokens.iter().zip(expected.chunks_exact_mut(cols)) {
            format.dequantize(&bytes[*token as usize * row_bytes..][..row_bytes], out);
        }
        check(format.name(), &bench.read(&out), &expected, 1e-6);
    }
    bench.device.check().unwrap();
}
