//! Every registered kernel against the definition, equal to the bit.

use super::*;
use crate::isa::Isa;
use crate::selftest::Random;
use crate::team::Team;

/// What the weights of a test are like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Weights {
    /// Any bits whose weights are ordinary numbers.
    Ordinary,
    /// Any bits at all: infinite, NaN and subnormal scales among them.
    Wild,
    /// Every byte the same.
    Bytes(u8),
}

fn weights(
    format: Format,
    rows: usize,
    cols: usize,
    kind: Weights,
    random: &mut Random,
) -> Vec<u8> {
    let info = format.info();
    let mut values = vec![0.0; info.block_len];
    let mut bytes = Vec::new();
    for _ in 0..rows * cols / info.block_len {
        loop {
            let block: Vec<u8> = match kind {
                Weights::Bytes(byte) => vec![byte; info.block_bytes],
                _ => (0..info.block_bytes).map(|_| random.next() as u8).collect(),
            };
            format.dequantize(&block, &mut values);
            if kind != Weights::Ordinary || values.iter().all(|v| v.abs() < 1e3) {
                bytes.extend(block);
                break;
            }
        }
    }
    bytes
}

/// The kernels of every instruction set of this machine, and what they are
/// called.
fn sets() -> Vec<(&'static str, Kernels)> {
    let set = |isa: Isa| (isa.name(), Kernels::new(isa).unwrap());
    #[allow(unused_mut)] // where there is no more
    let mut sets: Vec<_> = Isa::available().map(set).collect();
    #[cfg(target_arch = "x86_64")]
    if let Ok(kernels) = Kernels::new(Isa::Avx512) {
        let names = ["avx512 adding", "avx512 multiplying"];
        for (name, scaling) in names.into_iter().zip(crate::activation::Scaling::ALL) {
            sets.push((name, kernels.clone().with_scaling(scaling)));
        }
        sets.push(("avx512 without bf16", kernels.without_pairs()));
    }
    #[cfg(target_arch = "x86_64")]
    sets.extend(registry::avx512_without_vbmi().map(|kernels| ("avx512 without VBMI", kernels)));
    #[cfg(target_arch = "x86_64")]
    if let Ok(kernels) = Kernels::new(Isa::Avx2) {
        sets.push(("avx2, floats otherwise", kernels.with_other_halves()));
    }
    #[cfg(target_arch = "x86_64")]
    match registry::avx_vnni_in_evex() {
        Some(kernels) => sets.push(("avx-vnni in EVEX", kernels)),
        None => eprintln!("skipped: avx-vnni in EVEX, which needs AVX-512"),
    }
    sets
}

/// Runs a product through the driver.
fn product(team: &Team, kernels: &Kernels, weight: Matrix<'_>, x: &[f32], rows: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * weight.rows()];
    let mut workspace = Workspace::new(team.threads());
    let job = Job {
        weight,
        out: MatMut::new(&mut out, rows),
        store: Store::Set,
    };
    team.region(|region| matmul(region, kernels, &mut workspace, x, rows, [job]));
    out
}

fn assert_same(what: &str, expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len());
    let differing: Vec<_> = (0..expected.len())
        .filter(|&i| {
            expected[i].to_bits() != found[i].to_bits()
                && !(expected[i].is_nan() && found[i].is_nan())
        })
        .collect();
    assert!(
        differing.is_empty(),
        "{what}: {} of {} differ, first at {}: expected {:e}, found {:e}",
        differing.len(),
        expected.len(),
        differing[0],
        expected[differing[0]],
        found[differing[0]],
    );
}

const TOKENS: [usize; 11] = [1, 2, 3, 4, 5, 7, 8, 9, 23, 33, 64];

fn check(format: Format, rows: usize, cols: usize, kind: Weights) {
    let mut random = Random(rows as u64 * 1000 + cols as u64);
    let bytes = weights(format, rows, cols, kind, &mut random);
    let weight = Matrix::new(format, rows, cols, &bytes).unwrap();
    let most = TOKENS[TOKENS.len() - 1];
    let x: Vec<f32> = (0..most * cols).map(|_| random.float() * 4.0).collect();
    let solo = Team::new(1).unwrap();
    let expected = product(&solo, &Kernels::new(Isa::Scalar).unwrap(), weight, &x, most);
    if kind == Weights::Ordinary {
        assert!(expected.iter().all(|v| v.is_finite()) && expected.iter().any(|v| *v != 0.0));
    }
    let trio = Team::new(3).unwrap();
    for (set, kernels) in sets() {
        for tokens in TOKENS {
            for team in [&solo, &trio] {
                let found = product(team, &kernels, weight, &x[..tokens * cols], tokens);
                let what = format!(
                    "{} for {set}, {rows} x {cols}, {tokens} tokens, {kind:?}",
                    kernels.matmul(format).name()
                );
                assert_same(&what, &expected[..tokens * rows], &found);
            }
        }
    }
}

/// Every kernel against the definition, of the formats whose blocks are so long. (Two
/// tests, side by side: under emulation they take minutes.)
fn check_kernels(of_block: impl Fn(usize) -> bool) {
    for format in Format::all().filter(|format| of_block(format.info().block_len)) {
        let block = format.info().block_len.max(32);
        for (rows, blocks) in [
            (1, 1),
            (7, 1),
            (16, 3),
            (33, 8 * 32 / block + 1),
            (70, 9),
            (48, 16),
            // Rows that begin and end within octets: four, two and eight of
            // them are whole octets together; some are left over.
            (23, 18),
            (21, 12),
            (27, 13),
            // Rows that many tokens meet part by part.
            (9, 4096 / block + 9),
        ] {
            check(format, rows, blocks * block, Weights::Ordinary);
        }
    }
}

#[test]
fn kernels_of_short_blocks_equal_the_definition() {
    check_kernels(|len| len < 256);
}

#[test]
fn kernels_of_long_blocks_equal_the_definition() {
    check_kernels(|len| len >= 256);
}

#[test]
fn float_rows_of_any_length() {
    for format in [Format::F32, Format::F16, Format::BF16] {
        for cols in [1, 2, 15, 17, 31, 33, 47, 100] {
            check(format, 9, cols, Weights::Ordinary);
        }
    }
}

/// Factors about the floor of bf16 products, and far below and above it, so that
/// products are subnormal or cancel next to it if nothing is done.
#[test]
fn bf16_about_the_floor() {
    let mut random = Random(11);
    let team = Team::new(1).unwrap();
    let (rows, cols, tokens) = (21, 200, 14);
    for (least, exponents) in [(60, 20), (0, 90), (68, 6), (1, 3), (60, 190)] {
        let mut any = |len: usize| -> Vec<f32> {
            (0..len)
                .map(|_| {
                    let exponent = least + random.next() as u32 % exponents;
                    let bits = random.next() as u32;
                    f32::from_bits(bits & 0x807f_ffff | exponent << 23)
                })
                .collect()
        };
        let x = any(tokens * cols);
        let bytes: Vec<u8> = any(rows * cols)
            .iter()
            .flat_map(|w| ((w.to_bits() >> 16) as u16).to_le_bytes())
            .collect();
        let weight = Matrix::new(Format::BF16, rows, cols, &bytes).unwrap();
        let scalar = Kernels::new(Isa::Scalar).unwrap();
        let expected = product(&team, &scalar, weight, &x, tokens);
        assert!(expected.iter().all(|v| !v.is_subnormal()));
        for (set, kernels) in sets() {
            for tokens in [1, 3, 14] {
                let found = product(&team, &kernels, weight, &x[..tokens * cols], tokens);
                let what = format!("{set}, exponents from {least}, {tokens} tokens");
                assert_same(&what, &expected[..tokens * rows], &found);
            }
        }
    }
}

#[test]
fn extreme_blocks() {
    for format in Format::all() {
        let cols = format.info().block_len.max(32) * 2;
        for kind in [
            Weights::Wild,
            Weights::Bytes(0),
            Weights::Bytes(0xff),
            Weights::Bytes(0x80),
            Weights::Bytes(0x7f),
        ] {
            check(format, 33, cols, kind);
        }
    }
}

#[test]
fn wild_activations() {
    let mut random = Random(5);
    let team = Team::new(1).unwrap();
    for format in Format::all() {
        let (rows, cols, tokens) = (19, 256 * 2, 6);
        let bytes = weights(format, rows, cols, Weights::Ordinary, &mut random);
        let weight = Matrix::new(format, rows, cols, &bytes).unwrap();
        let specials = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            1e-40,
            0.0,
            -0.0,
        ];
        for special in specials {
            let mut x: Vec<f32> = (0..tokens * cols).map(|_| random.float()).collect();
            for at in [3, cols + 40, 2 * cols + 511, 5 * cols] {
                x[at] = special;
            }
            let expected = product(
                &team,
                &Kernels::new(Isa::Scalar).unwrap(),
                weight,
                &x,
                tokens,
            );
            if !special.is_finite() {
                assert!(
                    expected[..rows].iter().all(|v| !v.is_finite()),
                    "{special} got lost"
                );
                assert!(expected[3 * rows..4 * rows].iter().all(|v| v.is_finite()));
            }
            for (set, kernels) in sets() {
                let found = product(&team, &kernels, weight, &x, tokens);
                assert_same(
                    &format!("{format:?} for {set} with {special}"),
                    &expected,
                    &found,
                );
            }
        }
    }
}

#[test]
fn near_the_exact_product() {
    let mut random = Random(9);
    let team = Team::new(1).unwrap();
    for format in Format::all() {
        let (rows, cols) = (32, 1024);
        let bytes = weights(format, rows, cols, Weights::Ordinary, &mut random);
        let weight = Matrix::new(format, rows, cols, &bytes).unwrap();
        let x: Vec<f32> = (0..cols).map(|_| random.float()).collect();
        let found = product(&team, &Kernels::detect(), weight, &x, 1);
        let (mut error, mut power) = (0.0, 0.0);
        let mut row = vec![0.0; cols];
        for (n, found) in found.iter().enumerate() {
            weight.dequantize_row(n, &mut row);
            let exact: f64 = row
                .iter()
                .zip(&x)
                .map(|(w, x)| f64::from(*w) * f64::from(*x))
                .sum();
            error += (exact - f64::from(*found)).powi(2);
            power += exact.powi(2);
        }
        let bound = match format.info().activations {
            ActivationForm::Float => 1e-10,
            ActivationForm::Bf16 => 1e-5,
            ActivationForm::Int8 => 1e-4,
        };
        assert!(
            error / power < bound,
            "{format:?}: normalized mean squared error {:e}",
            error / power
        );
    }
}

#[test]
fn several_jobs_and_all_stores() {
    let mut random = Random(3);
    let (tokens, cols) = (5, 64);
    let x: Vec<f32> = (0..tokens * cols).map(|_| random.float()).collect();
    for threads in 1..4 {
        let team = Team::new(threads).unwrap();
        let kernels = Kernels::detect();
        let shapes = [
            (Format::Q4_0, 40),
            (Format::F32, 3),
            (Format::Q8_0, 17),
            (Format::F16, 1),
            (Format::Q8_0, 100),
        ];
        let bytes: Vec<_> = shapes
            .iter()
            .map(|&(format, rows)| weights(format, rows, cols, Weights::Ordinary, &mut random))
            .collect();
        let bias: Vec<f32> = (0..100).map(|_| random.float()).collect();
        let stores = [
            Store::Set,
            Store::Bias(&bias[..3]),
            Store::Add,
            Store::AddBias(&bias[..1]),
            Store::Set,
        ];
        let mut outs: Vec<Vec<f32>> = shapes
            .iter()
            .map(|&(_, rows)| vec![0.5; tokens * rows])
            .collect();
        let jobs: Vec<_> = outs
            .iter_mut()
            .enumerate()
            .map(|(i, out)| Job {
                weight: Matrix::new(shapes[i].0, shapes[i].1, cols, &bytes[i]).unwrap(),
                out: MatMut::new(out, tokens),
                store: stores[i],
            })
            .collect();
        let mut workspace = Workspace::new(threads);
        team.region(|region| matmul(region, &kernels, &mut workspace, &x, tokens, jobs));
        for (i, out) in outs.iter().enumerate() {
            let weight = Matrix::new(shapes[i].0, shapes[i].1, cols, &bytes[i]).unwrap();
            let mut expected = product(&team, &kernels, weight, &x, tokens);
            for (j, value) in expected.iter_mut().enumerate() {
                *value = match stores[i] {
                    Store::Set => *value,
                    Store::Bias(bias) => *value + bias[j % shapes[i].1],
                    Store::Add => 0.5 + *value,
                    Store::AddBias(bias) => 0.5 + (*value + bias[j % shapes[i].1]),
                };
            }
            assert_same(&format!("job {i}"), &expected, out);
        }
    }
}

#[test]
fn groups_are_as_if_alone() {
    // Tokens, inputs, and format and rows of the weights: few tokens and many, none, and
    // then other ones in the same buffers.
    let calls = [
        vec![
            (70, 512, Format::Q4_K, 130),
            (1, 64, Format::Q8_0, 40),
            (0, 64, Format::Q8_0, 40),
            (9, 96, Format::F16, 20),
            (5, 32, Format::BF16, 7),
        ],
        vec![(2, 256, Format::Q6_K, 5), (33, 64, Format::F32, 9)],
    ];
    let mut random = Random(4);
    for (name, kernels) in sets() {
        let team = Team::new(3).unwrap();
        let mut workspace = Workspace::new(3);
        for shapes in &calls {
            let inputs: Vec<Vec<f32>> = shapes
                .iter()
                .map(|(tokens, cols, ..)| (0..tokens * cols).map(|_| random.float()).collect())
                .collect();
            let bytes: Vec<Vec<u8>> = shapes
                .iter()
                .map(|&(_, cols, format, rows)| {
                    weights(format, rows, cols, Weights::Ordinary, &mut random)
                })
                .collect();
            let matrix = |index: usize| {
                let (_, cols, format, rows) = shapes[index];
                Matrix::new(format, rows, cols, &bytes[index]).unwrap()
            };
            let mut outs: Vec<Vec<f32>> = shapes
                .iter()
                .map(|(tokens, .., rows)| vec![0.5; tokens * rows])
                .collect();
            let mut groups: Vec<_> = outs
                .iter_mut()
                .enumerate()
                .map(|(index, out)| Group {
                    x: &inputs[index],
                    rows: shapes[index].0,
                    jobs: vec![Job {
                        weight: matrix(index),
                        out: MatMut::new(out, shapes[index].0),
                        store: Store::Set,
                    }],
                })
                .collect();
            team.region(|region| matmul_groups(region, &kernels, &mut workspace, &mut groups));
            drop(groups);
            for (index, out) in outs.iter().enumerate() {
                let (tokens, x) = (shapes[index].0, &inputs[index]);
                let expected = product(&team, &kernels, matrix(index), x, tokens);
                assert_same(&format!("{name}: group {index}"), &expected, out);
            }
        }
    }
}
