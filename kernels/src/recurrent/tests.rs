//! Against the formulas in `f64`, and the same bits however the work is cut.

mod ssm;

use super::*;
use crate::isa::Isa;
use crate::team::Team;
use std::ops::Range;

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let value = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(value).collect()
}

const SHAPE: DeltaShape = DeltaShape {
    n_head_k: 2,
    n_head_v: 6,
    head_dim: 32,
    width: 4,
    grouped: false,
};
const GROUPED: DeltaShape = DeltaShape {
    grouped: true,
    ..SHAPE
};
const EPS: f32 = 1e-6;

struct Tensors {
    conv: Vec<f32>,
    a: Vec<f32>,
    bias: Vec<f32>,
    qkv: Vec<f32>,
    alpha: Vec<f32>,
    beta: Vec<f32>,
}

fn tensors(tokens: usize, seed: u64) -> Tensors {
    let heads = SHAPE.n_head_v;
    let channels = SHAPE.channels();
    Tensors {
        conv: random(SHAPE.width * channels, 1),
        a: random(heads, 2).iter().map(|a| -0.1 - a.abs()).collect(),
        bias: random(heads, 3),
        qkv: random(tokens * channels, seed),
        alpha: random(tokens * heads, seed + 1),
        beta: random(tokens * heads, seed + 2),
    }
}

/// Takes sequences of so many tokens through a layer, `at_once` of each in a step, which
/// is given what tokens of each it has, the states, and where `values` of each go.
fn stepped(
    shape: RecurrentShape,
    values: usize,
    lens: &[usize],
    at_once: usize,
    mut step: impl FnMut(&[Range<usize>], &mut [Seq<'_>], &mut [f32]),
) -> Vec<Vec<f32>> {
    let mut states: Vec<_> = lens.iter().map(|_| State::new(&shape)).collect();
    let mut found = vec![Vec::new(); lens.len()];
    loop {
        let parts: Vec<_> = (lens.iter().zip(&found))
            .map(|(&len, found): (_, &Vec<f32>)| {
                let from = found.len() / values;
                from..len.min(from + at_once)
            })
            .collect();
        let tokens: usize = parts.iter().map(|part| part.len()).sum();
        if tokens == 0 {
            return found;
        }
        let mut next: Vec<_> = states.clone();
        let mut out = vec![f32::NAN; tokens * values];
        let mut seqs: Vec<_> = (states.iter().zip(&mut next).zip(&parts))
            .map(|((before, after), part)| Seq {
                before,
                after,
                tokens: part.len(),
            })
            .collect();
        step(&parts, &mut seqs, &mut out);
        let mut rest = &out[..];
        for (found, part) in found.iter_mut().zip(&parts) {
            let (own, others) = rest.split_at(part.len() * values);
            found.extend_from_slice(own);
            rest = others;
        }
        states = next;
    }
}

/// The rows that a step has of each sequence's tensor.
fn gather<'a>(
    tensors: impl Iterator<Item = &'a [f32]>,
    parts: &[Range<usize>],
    cols: usize,
) -> Vec<f32> {
    let rows = |(all, part): (&'a [f32], &Range<usize>)| &all[part.start * cols..part.end * cols];
    tensors.zip(parts).flat_map(rows).copied().collect()
}

/// The sequences' tokens, `at_once` of each in a step.
fn run(
    delta: &DeltaShape,
    isa: Isa,
    threads: usize,
    sequences: &[Tensors],
    at_once: usize,
) -> Vec<Vec<f32>> {
    let team = Team::new(threads).unwrap();
    let mut workspace = Workspace::default();
    let (channels, heads) = (SHAPE.channels(), SHAPE.n_head_v);
    let weights = DeltaWeights {
        conv: &sequences[0].conv,
        a: &sequences[0].a,
        bias: &sequences[0].bias,
        eps: EPS,
    };
    let lens: Vec<_> = (sequences.iter().map(|all| all.alpha.len() / heads)).collect();
    let shape = RecurrentShape::Delta(*delta);
    stepped(shape, SHAPE.values(), &lens, at_once, |parts, seqs, out| {
        let all = || sequences.iter();
        let qkv = gather(all().map(|all| &all.qkv[..]), parts, channels);
        let alpha = gather(all().map(|all| &all.alpha[..]), parts, heads);
        let beta = gather(all().map(|all| &all.beta[..]), parts, heads);
        let inputs = DeltaInputs {
            qkv: &qkv,
            alpha: &alpha,
            beta: &beta,
        };
        team.region(|region| {
            let workspace = &mut workspace;
            delta_net(region, isa, workspace, delta, &weights, &inputs, seqs, out);
        });
    })
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn the_same_bits_everywhere() {
    let alone = [tensors(40, 10)];
    let expected = run(&SHAPE, Isa::Scalar, 1, &alone, 40);
    let three = [tensors(40, 10), tensors(3, 20), tensors(17, 30)];
    for isa in Isa::available() {
        for threads in [1, 3] {
            for at_once in [1, 2, 3, 7, 40] {
                let what = format!("{isa}, {threads} threads, {at_once} at once");
                let found = run(&SHAPE, isa, threads, &alone, at_once);
                assert!(bits(&found[0]) == bits(&expected[0]), "{what}");
                let found = run(&SHAPE, isa, threads, &three, at_once);
                assert!(bits(&found[0]) == bits(&expected[0]), "{what}, in company");
            }
        }
    }
}

#[test]
fn near_the_formula() {
    check_formula(&SHAPE, |head| head % SHAPE.n_head_k);
    check_formula(&GROUPED, |head| head / 3);
}

/// With what says which head of keys a head of values has.
fn check_formula(shape: &DeltaShape, key_head: fn(usize) -> usize) {
    let (tokens, dim) = (20, SHAPE.head_dim);
    let all = tensors(tokens, 10);
    let found = &run(shape, Isa::Scalar, 1, std::slice::from_ref(&all), tokens)[0];
    let wide = |x: &[f32]| x.iter().copied().map(f64::from).collect::<Vec<f64>>();
    let (channels, heads) = (SHAPE.channels(), SHAPE.n_head_v);
    let (conv, qkv) = (wide(&all.conv), wide(&all.qkv));
    let mixed = |token: usize, channel: usize| -> f64 {
        let sum: f64 = (0..SHAPE.width)
            .filter_map(|w| Some((w, (token + w).checked_sub(SHAPE.width - 1)?)))
            .map(|(w, at)| conv[w * channels + channel] * qkv[at * channels + channel])
            .sum();
        sum / (1.0 + (-sum).exp())
    };
    let normed = |token: usize, first: usize| -> Vec<f64> {
        let head: Vec<f64> = (0..dim).map(|i| mixed(token, first + i)).collect();
        let squares: f64 = head.iter().map(|x| x * x).sum();
        let norm = (squares + f64::from(EPS)).sqrt();
        head.iter().map(|x| x / norm).collect()
    };
    for head in 0..heads {
        let mut state = vec![vec![0.0; dim]; dim];
        for token in 0..tokens {
            let key_head = key_head(head) * dim;
            let (q, k) = (
                normed(token, key_head),
                normed(token, SHAPE.keys() + key_head),
            );
            let at = token * heads + head;
            let alpha = f64::from(all.alpha[at]) + f64::from(all.bias[head]);
            let decay = (f64::from(all.a[head]) * alpha.exp().ln_1p()).exp();
            let beta = 1.0 / (1.0 + (-f64::from(all.beta[at])).exp());
            for j in 0..dim {
                let v = mixed(token, 2 * SHAPE.keys() + head * dim + j);
                (0..dim).for_each(|i| state[i][j] *= decay);
                let recalled: f64 = (0..dim).map(|i| state[i][j] * k[i]).sum();
                (0..dim).for_each(|i| state[i][j] += k[i] * beta * (v - recalled));
                let exact: f64 = (0..dim).map(|i| state[i][j] * q[i]).sum();
                let exact = exact / (dim as f64).sqrt();
                let found = f64::from(found[token * SHAPE.values() + head * dim + j]);
                assert!(
                    (found - exact).abs() < 1e-6,
                    "token {token}, head {head}: {found}, expected {exact}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_so() {
    let mut all = tensors(3, 10);
    all.alpha[SHAPE.n_head_v] = f32::NAN;
    let found = &run(&SHAPE, Isa::detect(), 1, &[all], 3)[0];
    let head = |token: usize, head: usize| found[token * SHAPE.values() + head * SHAPE.head_dim];
    assert!(head(0, 0).is_finite() && head(1, 1).is_finite());
    assert!(head(1, 0).is_nan() && head(2, 0).is_nan());
}

/// Tokens of two sequences through a convolution alone, `at_once` of each in a step.
fn convolved(isa: Isa, shape: &ConvShape, sequences: [&[f32]; 2], at_once: usize) -> [Vec<f32>; 2] {
    let team = Team::new(2).unwrap();
    let weights = random(shape.width * shape.channels, 1);
    let mut states = [(); 2].map(|()| State::new(&RecurrentShape::Conv(*shape)));
    let steps = sequences.map(|x| x.chunks(at_once * shape.channels));
    let mut found = [Vec::new(), Vec::new()];
    let [mut first, mut second] = steps;
    loop {
        let parts = [first.next(), second.next()].map(Option::unwrap_or_default);
        if parts.iter().all(|part| part.is_empty()) {
            return found;
        }
        let x = parts.concat();
        let mut next = states.clone();
        let mut out = vec![f32::NAN; x.len()];
        let mut seqs: Vec<_> = (states.iter().zip(&mut next).zip(parts))
            .map(|((before, after), part)| Seq {
                before,
                after,
                tokens: part.len() / shape.channels,
            })
            .collect();
        team.region(|region| short_conv(region, isa, shape, &weights, &x, &mut seqs, &mut out));
        states = next;
        let (own, other) = out.split_at(parts[0].len());
        found[0].extend_from_slice(own);
        found[1].extend_from_slice(other);
    }
}

#[test]
fn convolutions() {
    for width in [1, 3, 4] {
        let shape = ConvShape {
            channels: 48,
            width,
        };
        let weights = random(width * 48, 1);
        let sequences = [random(9 * 48, 2), random(4 * 48, 3)];
        let slices = [&sequences[0][..], &sequences[1]];
        let expected = convolved(Isa::Scalar, &shape, slices, 9);
        for (x, found) in sequences.iter().zip(&expected) {
            for (at, found) in found.iter().enumerate() {
                let (token, channel) = (at / 48, at % 48);
                let exact: f64 = (0..width)
                    .filter_map(|w| Some((w, (token + w).checked_sub(width - 1)?)))
                    .map(|(w, at)| [weights[w * 48 + channel], x[at * 48 + channel]])
                    .map(|[weight, x]| f64::from(weight) * f64::from(x))
                    .sum();
                let found = f64::from(*found);
                assert!(
                    (found - exact).abs() < 1e-6,
                    "width {width}: {found}, {exact}"
                );
            }
        }
        for isa in Isa::available() {
            for at_once in [1, 2, 5, 9] {
                let found = convolved(isa, &shape, slices, at_once);
                let same = |(a, b): (&Vec<f32>, &Vec<f32>)| bits(a) == bits(b);
                let all = found.iter().zip(&expected).all(same);
                assert!(all, "{isa}, width {width}, {at_once} at once");
            }
        }
    }
}
