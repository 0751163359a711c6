//! Norms, gates, selection, and the largest of a row.

use super::super::GpuOptions;
use super::super::record::Kernel;
use super::{bench, both_reductions, check, noise};
use crate::backend::Backend;
use shaders::Op;

#[test]
fn rms_norm() {
    both_reductions(|bench| {
        for (rows, cols) in [(1, 64), (3, 172), (2, 2048), (5, 1)] {
            let (x, weight) = (noise(1, rows * cols), noise(2, cols));
            let input = bench.backend.write(&x, cols);
            let parameters = super::super::GpuVector {
                buffer: bench
                    .device
                    .context
                    .upload("parameters", bytemuck::cast_slice(&weight)),
            };
            let mut out = bench.backend.tensor(rows, cols);
            bench.backend.rms_norm(&input, &parameters, 1e-5, &mut out);
            let expected: Vec<f32> = x
                .chunks_exact(cols)
                .flat_map(|row| {
                    let squares: f64 = row.iter().map(|&x| f64::from(x).powi(2)).sum();
                    let scale = 1.0 / (squares / cols as f64 + 1e-5).sqrt();
                    let scaled = row.iter().map(move |&x| f64::from(x) * scale);
                    scaled
                        .zip(&weight)
                        .map(|(x, &w)| (x * f64::from(w)) as f32)
                        .collect::<Vec<_>>()
                })
                .collect();
            let what = format!("rms_norm {rows}x{cols}");
            check(&what, &bench.read(&out), &expected, 1e-6);
        }
    });
}

#[test]
fn silu_mul() {
    let Some(mut bench) = bench(GpuOptions::default()) else {
        return;
    };
    for (rows, cols) in [(1, 64), (3, 172), (2, 31)] {
        let gate: Vec<f32> = noise(1, rows * cols).iter().map(|x| x * 20.0).collect();
        let up = noise(2, rows * cols);
        let mut gate_tensor = bench.backend.write(&gate, cols);
        let up_tensor = bench.backend.write(&up, cols);
        bench.backend.silu_mul(&mut gate_tensor, &up_tensor);
        let expected: Vec<f32> = gate
            .iter()
            .zip(&up)
            .map(|(&x, &up)| (f64::from(x) / (1.0 + (-f64::from(x)).exp())) as f32 * up)
            .collect();
        check("silu_mul", &bench.read(&gate_tensor), &expected, 2e-6);
    }
    bench.device.check().unwrap();
}

#[test]
fn selected_rows() {
    let Some(mut bench) = bench(GpuOptions::default()) else {
        return;
    };
    let x = noise(1, 7 * 33);
    let input = bench.backend.write(&x, 33);
    let out = bench.backend.select(&input, &[6, 0, 6]);
    let expected = [&x[6 * 33..], &x[..33], &x[6 * 33..]].concat();
    assert_eq!(bench.read(&out), expected);
    bench.device.check().unwrap();
}

#[test]
fn the_largest_of_a_row_is_the_first_of_equals() {
    let Some(mut bench) = bench(GpuOptions::default()) else {
        return;
    };
    let cols = 1000;
    let mut x = noise(1, 3 * cols);
    for at in [999, 1000 + 3, 1000 + 700, 2 * 1000] {
        x[at] = 2.0;
    }
    let input = bench.backend.write(&x, cols);
    let out = bench.backend.tensor(3, 1);
    bench.backend.recorder.dispatch(
        Kernel::new(Op::Argmax, &[]),
        &[&input.float, &out.float],
        &[cols as u32],
        [3, 1, 1],
    );
    let found: Vec<u32> = bench.read(&out).iter().map(|x| x.to_bits()).collect();
    assert_eq!(found, [999, 3, 0]);
    bench.device.check().unwrap();
}
