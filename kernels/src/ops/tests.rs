//! Every operation: near the formula in `f64`, and the same bits on every
//! instruction set, for any number of threads and rows.

use super::*;
use crate::isa::Isa;
use crate::lanes::{Lanes, Op};
use crate::team::{Region, Team};

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    let one_nan = |v: &f32| if v.is_nan() { f32::NAN } else { *v };
    x.iter().map(|v| one_nan(v).to_bits()).collect()
}

/// Runs `op` on rows `[rows, cols]` in place, with every instruction set, one
/// and three threads, and all rows at once or one at a time (`op` gets the
/// number of the first row); all must agree. Compares with `exact` row by row:
/// the error may be `tolerance` times the row's largest magnitude.
fn check(
    what: &str,
    x: &[f32],
    cols: usize,
    tolerance: f64,
    op: impl Fn(&Region<'_>, Isa, &mut [f32], usize) + Sync,
    exact: impl Fn(usize, &[f64]) -> Vec<f64>,
) {
    let run = |threads: usize, isa: Isa, rows_at_once: usize| {
        let mut out = x.to_vec();
        Team::new(threads).unwrap().region(|region| {
            for (index, part) in out.chunks_mut(rows_at_once * cols).enumerate() {
                op(region, isa, part, index * rows_at_once);
            }
        });
        out
    };
    let rows = x.len() / cols;
    let expected = run(1, Isa::Scalar, rows);
    for isa in Isa::available() {
        for (threads, rows_at_once) in [(1, rows), (1, 1), (3, rows), (3, 2)] {
            let found = run(threads, isa, rows_at_once);
            assert_eq!(
                bits(&expected),
                bits(&found),
                "{what}, rows of {cols}, {isa}, {threads} threads, {rows_at_once} rows at once"
            );
        }
    }
    for (row, (x, found)) in x.chunks(cols).zip(expected.chunks(cols)).enumerate() {
        let x: Vec<f64> = x.iter().copied().map(f64::from).collect();
        let exact = exact(row, &x);
        let bound = tolerance * exact.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        for (i, (exact, found)) in exact.iter().zip(found).enumerate() {
            let error = (exact - f64::from(*found)).abs();
            assert!(
                error <= bound,
                "{what}, rows of {cols}: [{row}, {i}] is {found}, expected {exact}"
            );
        }
    }
}

/// Row lengths around whole vectors, and ones that make several units.
const COLS: [usize; 9] = [1, 2, 15, 16, 17, 64, 100, 2048, 5000];

#[test]
fn norms() {
    for cols in COLS {
        let x = random(7 * cols, cols as u64);
        // Rows take turns with the weights of three.
        let (weight, bias) = (random(3 * cols, 1), random(3 * cols, 2));
        let n = cols as f64;
        let variants = [NormKind::Rms, NormKind::Layer]
            .into_iter()
            .flat_map(|kind| [(kind, 1), (kind, 3)])
            .flat_map(|(kind, weights)| [(kind, weights, false), (kind, weights, true)]);
        for (kind, weights, with_bias) in variants {
            // Those of the rows from one on.
            let from = |values: &[f32], row: usize| -> Vec<f32> {
                let values = values[..weights * cols].iter().copied().cycle();
                let from_row = values.skip(row % weights * cols);
                from_row.take(weights * cols).collect()
            };
            let run = |region: &Region<'_>, isa, x: &mut [f32], row, in_place| {
                let (weight, bias) = (from(&weight, row), from(&bias, row));
                let of = Norm {
                    kind,
                    eps: 1e-5,
                    cols,
                    weight: &weight,
                    bias: with_bias.then_some(&bias),
                };
                if in_place {
                    return norm_in_place(region, isa, &of, x);
                }
                let input = x.to_vec();
                norm(region, isa, &of, x, &input);
            };
            let exact = |row: usize, x: &[f64]| -> Vec<f64> {
                let mean = match kind {
                    NormKind::Rms => 0.0,
                    NormKind::Layer => x.iter().sum::<f64>() / n,
                };
                let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
                let scale = 1.0 / (variance + 1e-5).sqrt();
                let of_row = from(&weight, row).into_iter().zip(from(&bias, row));
                x.iter()
                    .zip(of_row)
                    .map(|(x, (weight, bias))| {
                        let bias = if with_bias { bias } else { 0.0 };
                        (x - mean) * scale * f64::from(weight) + f64::from(bias)
                    })
                    .collect()
            };
            for in_place in [false, true] {
                check(
                    &format!("{kind:?}, {weights} weights, bias {with_bias}, in place {in_place}"),
                    &x,
                    cols,
                    1e-6,
                    |region, isa, x, row| run(region, isa, x, row, in_place),
                    exact,
                );
            }
        }
    }
}

#[test]
fn element_by_element() {
    for cols in COLS {
        let x = random(5 * cols, 3);
        let y = random(5 * cols, 4);
        let part = |y: &[f32], row: usize, len: usize| y[row * cols..][..len].to_vec();
        let exact = |row: usize| -> Vec<f64> {
            y[row * cols..][..cols]
                .iter()
                .copied()
                .map(f64::from)
                .collect()
        };
        check(
            "add",
            &x,
            cols,
            1e-7,
            |region, isa, x, row| add(region, isa, x, &part(&y, row, x.len())),
            |row, x| x.iter().zip(exact(row)).map(|(x, y)| x + y).collect(),
        );
        check(
            "mul",
            &x,
            cols,
            1e-7,
            |region, isa, x, row| mul(region, isa, x, &part(&y, row, x.len())),
            |row, x| x.iter().zip(exact(row)).map(|(x, y)| x * y).collect(),
        );
        check(
            "add_bias",
            &x,
            cols,
            1e-7,
            |region, isa, x, _| add_bias(region, isa, x, &y[..cols]),
            |_, x| x.iter().zip(exact(0)).map(|(x, y)| x + y).collect(),
        );
        // A row of x is a sum, to which two rows of y and none are added in turn.
        let terms = |row: usize| match row % 2 {
            0 => vec![(row, 0.7), (row / 2, -1.3)],
            _ => Vec::new(),
        };
        check(
            "add_weighted",
            &x,
            cols,
            1e-6,
            |region, isa, x, row| {
                let terms: Vec<_> = (row..row + x.len() / cols).map(terms).collect();
                add_weighted(region, isa, x, &y, &terms);
            },
            |row, x| {
                let mut sum = x.to_vec();
                for (from, weight) in terms(row) {
                    let weighted = exact(from).into_iter().map(|y| y * f64::from(weight));
                    sum.iter_mut().zip(weighted).for_each(|(sum, y)| *sum += y);
                }
                sum
            },
        );
        check(
            "scale",
            &x,
            cols,
            1e-7,
            |region, isa, x, _| scale(region, isa, x, 0.3),
            |_, x| x.iter().map(|x| x * f64::from(0.3_f32)).collect(),
        );
        check(
            "sigmoid_rows",
            &x,
            cols,
            1e-7,
            |region, isa, x, row| {
                let rows = x.len() / cols;
                sigmoid_rows(region, isa, x, &y[row..row + rows]);
            },
            |row, x| {
                let factor = 1.0 / (1.0 + (-f64::from(y[row])).exp());
                x.iter().map(|x| x * factor).collect()
            },
        );
        let silu64 = |x: f64| x / (1.0 + (-x).exp());
        let gelu64 = |x: f64| {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + u.tanh())
        };
        check(
            "silu_mul",
            &x,
            cols,
            1e-6,
            |region, isa, x, row| silu_mul(region, isa, x, &part(&y, row, x.len())),
            |row, x| {
                x.iter()
                    .zip(exact(row))
                    .map(|(x, y)| silu64(*x) * y)
                    .collect()
            },
        );
        check(
            "gelu_mul",
            &x,
            cols,
            1e-6,
            |region, isa, x, row| gelu_mul(region, isa, x, &part(&y, row, x.len())),
            |row, x| {
                x.iter()
                    .zip(exact(row))
                    .map(|(x, y)| gelu64(*x) * y)
                    .collect()
            },
        );
        check(
            "sigmoid_mul",
            &x,
            cols,
            1e-6,
            |region, isa, x, row| sigmoid_mul(region, isa, x, &part(&y, row, x.len())),
            |row, x| {
                let gated = |(x, y): (&f64, f64)| x / (1.0 + (-y).exp());
                x.iter().zip(exact(row)).map(gated).collect()
            },
        );
        check(
            "limited_mul",
            &x,
            cols,
            1e-6,
            |region, isa, x, row| limited_mul(region, isa, x, &part(&y, row, x.len())),
            |row, x| {
                let limited = |(x, y): (&f64, f64)| {
                    let x = x.min(7.0);
                    let alpha = f64::from(1.702_f32);
                    x / (1.0 + (-alpha * x).exp()) * (y.clamp(-7.0, 7.0) + 1.0)
                };
                x.iter().zip(exact(row)).map(limited).collect()
            },
        );
        check(
            "limited",
            &x,
            cols,
            1e-6,
            |region, isa, x, _| limited(region, isa, x),
            |_, x| {
                let limited = |x: f64| x / (1.0 + (-f64::from(1.702_f32) * x).exp());
                x.iter().map(|x| limited(x.min(7.0))).collect()
            },
        );
        let parameters = Xielu {
            alpha_n: 0.8,
            alpha_p: 0.7,
            beta: 0.5,
            eps: -1e-6,
        };
        let xielu64 = |x: &f64| {
            let [alpha_n, alpha_p, beta, eps] = [
                parameters.alpha_n,
                parameters.alpha_p,
                parameters.beta,
                parameters.eps,
            ]
            .map(f64::from);
            match *x > 0.0 {
                true => alpha_p * x * x + beta * x,
                false => alpha_n * (x.min(eps).exp_m1() - x) + beta * x,
            }
        };
        check(
            "xielu",
            &x,
            cols,
            1e-6,
            |region, isa, x, _| xielu(region, isa, x, &parameters),
            |_, x| x.iter().map(xielu64).collect(),
        );
        let relu64 = |x: &f64| x.max(0.0);
        check(
            "relu",
            &x,
            cols,
            0.0,
            |region, isa, x, _| relu(region, isa, x),
            |_, x| x.iter().map(relu64).collect(),
        );
        check(
            "relu_squared",
            &x,
            cols,
            1e-7,
            |region, isa, x, _| relu_squared(region, isa, x),
            |_, x| x.iter().map(|x| relu64(x).powi(2)).collect(),
        );
        check(
            "relu_mul",
            &x,
            cols,
            1e-7,
            |region, isa, x, row| relu_mul(region, isa, x, &part(&y, row, x.len())),
            |row, x| {
                let gated = |(x, y): (&f64, f64)| relu64(x) * y;
                x.iter().zip(exact(row)).map(gated).collect()
            },
        );
        check(
            "relu_squared_mul",
            &x,
            cols,
            2e-7,
            |region, isa, x, row| relu_squared_mul(region, isa, x, &part(&y, row, x.len())),
            |row, x| {
                let gated = |(x, y): (&f64, f64)| relu64(x).powi(2) * y;
                x.iter().zip(exact(row)).map(gated).collect()
            },
        );
        check(
            "silu",
            &x,
            cols,
            1e-6,
            |region, isa, x, _| silu(region, isa, x),
            |_, x| x.iter().map(|x| silu64(*x)).collect(),
        );
        check(
            "gelu",
            &x,
            cols,
            1e-6,
            |region, isa, x, _| gelu(region, isa, x),
            |_, x| x.iter().map(|x| gelu64(*x)).collect(),
        );
        let squared = |x: f64| x.max(0.0).powi(2);
        check(
            "relu_squared",
            &x,
            cols,
            1e-6,
            |region, isa, x, _| relu_squared(region, isa, x),
            |_, x| x.iter().map(|x| squared(*x)).collect(),
        );
        check(
            "relu_squared_mul",
            &x,
            cols,
            1e-6,
            |region, isa, x, row| relu_squared_mul(region, isa, x, &part(&y, row, x.len())),
            |row, x| {
                let pairs = x.iter().zip(exact(row));
                pairs.map(|(x, y)| squared(*x) * y).collect()
            },
        );
    }
}

#[test]
fn softmax_rows() {
    for cols in COLS {
        for factor in [1.0, 60.0] {
            let x: Vec<f32> = random(5 * cols, 5).iter().map(|x| x * factor).collect();
            check(
                "softmax",
                &x,
                cols,
                1e-6,
                |region, isa, x, _| softmax(region, isa, x, cols),
                |_, x| {
                    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = x.iter().map(|x| (x - max).exp()).sum();
                    x.iter().map(|x| (x - max).exp() / sum).collect()
                },
            );
        }
    }
}

type RowOp<'a> = dyn Fn(&Region<'_>, &mut [f32]) + Sync + 'a;

#[test]
fn special_values_are_never_silent() {
    let team = Team::new(1).unwrap();
    let specials = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        1e-40,
        -0.0,
    ];
    for special in specials {
        for at in [0, 20, 36] {
            let mut x = random(37, 6);
            x[at] = special;
            let run = |isa: Isa| {
                let of = |kind| Norm {
                    kind,
                    eps: 1e-6,
                    cols: 37,
                    weight: &[0.5; 37],
                    bias: None,
                };
                let ops: [&RowOp<'_>; 6] = [
                    &|region, x| norm_in_place(region, isa, &of(NormKind::Rms), x),
                    &|region, x| norm_in_place(region, isa, &of(NormKind::Layer), x),
                    &|region, x| softmax(region, isa, x, 37),
                    &|region, x| silu(region, isa, x),
                    &|region, x| gelu(region, isa, x),
                    &|region, x| relu_squared(region, isa, x),
                ];
                ops.map(|op| {
                    let mut x = x.clone();
                    team.region(|region| op(region, &mut x));
                    bits(&x)
                })
            };
            let expected = run(Isa::Scalar);
            for isa in Isa::available() {
                assert_eq!(expected, run(isa), "{isa} with {special} at {at}");
            }
            if special.is_nan() || special == f32::INFINITY {
                let lost = |row: &Vec<u32>| row.iter().all(|&v| f32::from_bits(v).is_finite());
                // All activations of +∞ are +∞.
                assert!(!expected.iter().any(lost), "{special} at {at} got lost");
            }
        }
    }
}

struct Exp<'a>(&'a mut [f32]);

impl Op for Exp<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for x in self.0.as_chunks_mut().0 {
            l.store(exp(l, l.load(x)), x);
        }
    }
}

#[test]
fn exp_is_within_one_ulp() {
    // Steps of a prime number of bits over all positive and negative values.
    let all = (0..=f32::INFINITY.to_bits()).step_by(4099);
    let mut x: Vec<f32> = all
        .flat_map(|b| [f32::from_bits(b), -f32::from_bits(b)])
        .filter(|x| x.abs() < 200.0)
        .collect();
    x.truncate(x.len() / 16 * 16);
    let mut worst = 0.0_f64;
    for isa in Isa::available() {
        let mut y = x.clone();
        isa.run(Exp(&mut y));
        let mut scalar = x.clone();
        Isa::Scalar.run(Exp(&mut scalar));
        assert_eq!(bits(&scalar), bits(&y), "{isa}");
        for (x, y) in x.iter().zip(&y) {
            let exact = f64::from(*x).exp();
            if exact > f64::from(f32::MAX) {
                assert!(*y == f32::INFINITY || *y == f32::MAX, "exp({x}) = {y}");
                continue;
            }
            if *x < -87.33 {
                assert_eq!(y.to_bits(), 0, "exp({x}) = {y}");
                continue;
            }
            assert!(*y >= f32::MIN_POSITIVE, "exp({x}) = {y}");
            let ulp = f64::from(exact as f32).abs();
            let ulp = 2_f64.powi(ulp.log2().floor() as i32 - 23);
            worst = worst.max((exact - f64::from(*y)).abs() / ulp);
        }
    }
    assert!(worst <= 1.0, "{worst} ulp");

    let mut special = [0.0; 16];
    special[..5].copy_from_slice(&[0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0]);
    Isa::detect().run(Exp(&mut special));
    assert!(special[1].is_nan());
    assert_eq!(
        [special[0], special[2], special[3], special[4]],
        [1.0, f32::INFINITY, 0.0, 1.0]
    );
}

#[test]
fn argmax_is_the_first_of_the_largest() {
    const NAN: f32 = f32::NAN;
    let mut long = random(1000, 8);
    (long[333], long[777]) = (2.0, 2.0);
    let rows: [(&[f32], Option<usize>); 7] = [
        (&[], None),
        (&[NAN, NAN], None),
        (&[NAN, -1.0, NAN], Some(1)),
        (&[f32::NEG_INFINITY, NAN], Some(0)),
        (&[1.0, 3.0, 3.0, 2.0], Some(1)),
        (&[-0.0, 0.0], Some(0)),
        (&long, Some(333)),
    ];
    for isa in Isa::available() {
        for (x, expected) in rows {
            assert_eq!(argmax(isa, x), expected, "{isa}: {x:?}");
        }
    }
}

#[test]
fn rope_turns_pairs() {
    let scalings = [
        RopeScaling::None,
        RopeScaling::Linear(4.0),
        RopeScaling::Yarn(Yarn {
            factor: 8.0,
            original_context: 4096,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor: 1.0,
        }),
    ];
    let positions = [0, 1, 2, 63, 4097, 131_071];
    for (head_dim, n_rot) in [(2, 2), (8, 6), (24, 24), (64, 64), (80, 20), (128, 128)] {
        for pairing in [Pairing::Adjacent, Pairing::Halves] {
            for scaling in scalings {
                for with_factors in [false, true] {
                    let factors: Vec<f32> = (0..n_rot / 2).map(|i| 1.0 + i as f32).collect();
                    let factors = with_factors.then_some(&factors[..]);
                    let turning = Rope::new(pairing, n_rot, 5e5, factors, scaling).unwrap();
                    let cols = 3 * head_dim;
                    let x = random(positions.len() * cols, 9);
                    check(
                        &format!("rope {pairing:?} {scaling:?} {n_rot} of {head_dim}"),
                        &x,
                        cols,
                        1e-6,
                        |region, isa, x, row| {
                            let mut angles = RopeAngles::default();
                            turning.angles(&positions[row..][..x.len() / cols], &mut angles);
                            rope(region, isa, x, head_dim, &angles);
                        },
                        |row, x| {
                            let frequency = frequencies(n_rot, factors, scaling);
                            let mut out = x.to_vec();
                            for head in 0..3 {
                                for i in 0..n_rot / 2 {
                                    let (a, b) = match pairing {
                                        Pairing::Adjacent => (2 * i, 2 * i + 1),
                                        Pairing::Halves => (i, i + n_rot / 2),
                                    };
                                    let (a, b) = (head * head_dim + a, head * head_dim + b);
                                    let (f, magnitude) = frequency(i);
                                    let (sin, cos) = (positions[row] as f64 * f).sin_cos();
                                    out[a] = (x[a] * cos - x[b] * sin) * magnitude;
                                    out[b] = (x[a] * sin + x[b] * cos) * magnitude;
                                }
                            }
                            out
                        },
                    );
                }
            }
        }
    }
}

/// The formulas of rope with the platform's functions.
fn frequencies<'a>(
    n_rot: usize,
    factors: Option<&'a [f32]>,
    scaling: RopeScaling,
) -> impl Fn(usize) -> (f64, f64) + use<'a> {
    move |i| {
        let n = n_rot as f64;
        let base = 5e5_f64;
        let f = base.powf(-2.0 * i as f64 / n) / factors.map_or(1.0, |f| f64::from(f[i]));
        match scaling {
            RopeScaling::None => (f, 1.0),
            RopeScaling::Linear(factor) => (f / factor, 1.0),
            RopeScaling::Yarn(yarn) => {
                let pair = |turns: f64| {
                    let length = yarn.original_context as f64;
                    n * (length / (turns * 2.0 * std::f64::consts::PI)).ln() / (2.0 * base.ln())
                };
                let low = pair(yarn.beta_fast).floor().max(0.0);
                let high = pair(yarn.beta_slow).ceil().min(n - 1.0);
                let ramp = ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                let stretched = f / yarn.factor * ramp + f * (1.0 - ramp);
                (stretched, 1.0 + 0.1 * yarn.factor.ln())
            }
        }
    }
}

#[test]
fn rope_refuses_what_makes_no_rotation() {
    let new = |n_rot, base, factors: Option<&[f32]>, scaling| {
        Rope::new(Pairing::Halves, n_rot, base, factors, scaling)
            .err()
            .map(|error| error.to_string())
    };
    let none = RopeScaling::None;
    let rows = [
        (
            new(7, 1e4, None, none),
            "rope over 7 dimensions, expected an even number above 0",
        ),
        (
            new(0, 1e4, None, none),
            "rope over 0 dimensions, expected an even number above 0",
        ),
        (
            new(8, 0.0, None, none),
            "rope base 0, expected a finite number above 1",
        ),
        (
            new(8, f64::NAN, None, none),
            "rope base NaN, expected a finite number above 1",
        ),
        (
            new(8, f64::INFINITY, None, none),
            "rope base inf, expected a finite number above 1",
        ),
        (
            new(8, 1e4, Some(&[1.0; 3]), none),
            "3 rope frequency factors for 4 pairs of dimensions",
        ),
        (
            new(4, 1e4, Some(&[1.0, 0.0]), none),
            "rope frequency factor 0, expected a finite number above 0",
        ),
        (
            new(8, 1e4, None, RopeScaling::Linear(-1.0)),
            "rope scaling factor -1, expected a finite number above 0",
        ),
    ];
    for (found, expected) in rows {
        assert_eq!(found.as_deref(), Some(expected));
    }
}
