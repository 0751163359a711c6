//! Mamba-2.

use super::*;
use crate::recurrent::ssm::ssm;

const SHAPE: SsmShape = SsmShape {
    n_head: 6,
    n_group: 2,
    head_dim: 32,
    state: 48,
    width: 4,
};

struct Tensors {
    conv: Vec<f32>,
    conv_bias: Option<Vec<f32>>,
    a: Vec<f32>,
    dt_bias: Vec<f32>,
    d: Vec<f32>,
    x: Vec<f32>,
    steps: Vec<f32>,
}

fn tensors(tokens: usize, seed: u64) -> Tensors {
    let (heads, channels) = (SHAPE.n_head, SHAPE.channels());
    Tensors {
        conv: random(SHAPE.width * channels, 1),
        conv_bias: Some(random(channels, 2)),
        a: random(heads, 3).iter().map(|a| -0.1 - a.abs()).collect(),
        dt_bias: random(heads, 4),
        d: random(heads, 5),
        x: random(tokens * channels, seed),
        steps: random(tokens * heads, seed + 1),
    }
}

/// The sequences' tokens, `at_once` of each in a step.
fn run(isa: Isa, threads: usize, sequences: &[Tensors], at_once: usize) -> Vec<Vec<f32>> {
    let team = Team::new(threads).unwrap();
    let mut workspace = Workspace::default();
    let (channels, heads) = (SHAPE.channels(), SHAPE.n_head);
    let weights = SsmWeights {
        conv: &sequences[0].conv,
        conv_bias: sequences[0].conv_bias.as_deref(),
        a: &sequences[0].a,
        dt_bias: &sequences[0].dt_bias,
        d: &sequences[0].d,
    };
    let lens: Vec<_> = (sequences.iter().map(|all| all.steps.len() / heads)).collect();
    let shape = RecurrentShape::Ssm(SHAPE);
    stepped(shape, SHAPE.values(), &lens, at_once, |parts, seqs, out| {
        let all = || sequences.iter();
        let x = gather(all().map(|all| &all.x[..]), parts, channels);
        let steps = gather(all().map(|all| &all.steps[..]), parts, heads);
        let inputs = SsmInputs {
            x: &x,
            steps: &steps,
        };
        team.region(|region| {
            let workspace = &mut workspace;
            ssm(region, isa, workspace, &SHAPE, &weights, &inputs, seqs, out);
        });
    })
}

#[test]
fn the_same_bits_everywhere() {
    let alone = [tensors(40, 10)];
    let expected = run(Isa::Scalar, 1, &alone, 40);
    let three = [tensors(40, 10), tensors(3, 20), tensors(17, 30)];
    for isa in Isa::available() {
        for threads in [1, 3] {
            for at_once in [1, 2, 3, 7, 40] {
                let what = format!("{isa}, {threads} threads, {at_once} at once");
                let found = run(isa, threads, &alone, at_once);
                assert!(bits(&found[0]) == bits(&expected[0]), "{what}");
                let found = run(isa, threads, &three, at_once);
                assert!(bits(&found[0]) == bits(&expected[0]), "{what}, in company");
            }
        }
    }
}

#[test]
fn near_the_formula() {
    let tokens = 20;
    for biased in [true, false] {
        let mut all = tensors(tokens, 10);
        all.conv_bias = all.conv_bias.filter(|_| biased);
        let found = &run(Isa::Scalar, 1, std::slice::from_ref(&all), tokens)[0];
        let channels = SHAPE.channels();
        let mixed = |token: usize, channel: usize| -> f64 {
            let sum: f64 = (0..SHAPE.width)
                .filter_map(|w| Some((w, (token + w).checked_sub(SHAPE.width - 1)?)))
                .map(|(w, at)| {
                    [
                        all.conv[w * channels + channel],
                        all.x[at * channels + channel],
                    ]
                })
                .map(|[weight, x]| f64::from(weight) * f64::from(x))
                .sum();
            let bias = all.conv_bias.as_ref();
            let sum = sum + bias.map_or(0.0, |bias| f64::from(bias[channel]));
            sum / (1.0 + (-sum).exp())
        };
        for head in 0..SHAPE.n_head {
            let b = SHAPE.values() + head / 3 * SHAPE.state;
            let c = b + SHAPE.n_group * SHAPE.state;
            let mut state = vec![vec![0.0; SHAPE.head_dim]; SHAPE.state];
            for token in 0..tokens {
                let step = all.steps[token * SHAPE.n_head + head] + all.dt_bias[head];
                let dt = f64::from(step).exp().ln_1p();
                let decay = (f64::from(all.a[head]) * dt).exp();
                for column in 0..SHAPE.head_dim {
                    let value = head * SHAPE.head_dim + column;
                    let x = mixed(token, value);
                    let mut exact = f64::from(all.d[head]) * x;
                    for (row, state) in state.iter_mut().enumerate() {
                        let element = &mut state[column];
                        *element = decay * *element + mixed(token, b + row) * dt * x;
                        exact += *element * mixed(token, c + row);
                    }
                    let found = f64::from(found[token * SHAPE.values() + value]);
                    assert!(
                        (found - exact).abs() < 1e-6 * (1.0 + exact.abs()),
                        "token {token}, head {head}: {found}, expected {exact}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_so() {
    let mut all = tensors(3, 10);
    all.steps[SHAPE.n_head] = f32::NAN;
    let found = &run(Isa::detect(), 1, &[all], 3)[0];
    let head = |token: usize, head: usize| found[token * SHAPE.values() + head * SHAPE.head_dim];
    assert!(head(0, 0).is_finite() && head(1, 1).is_finite());
    assert!(head(1, 0).is_nan() && head(2, 0).is_nan());
}
