//! Attention near the formula in `f64`, and the same bits however the work is
//! cut.

use super::*;
use crate::team::Team;

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

/// A model's attention and the tokens of a sequence.
#[derive(Clone, Copy, Debug)]
struct Case {
    format: KvFormat,
    n_head: usize,
    n_head_kv: usize,
    dim_k: usize,
    dim_v: usize,
    window: Option<usize>,
    sinks: bool,
    cap: Option<f32>,
    tokens: usize,
}

struct Tensors {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Case {
    fn heads<'a>(&self, sinks: &'a [f32]) -> Heads<'a> {
        Heads {
            n_head: self.n_head,
            scale: 1.0 / (self.dim_k as f32).sqrt(),
            window: self.window,
            sinks: self.sinks.then_some(sinks),
            cap: self.cap,
        }
    }

    /// From far below the scores to far above.
    fn sinks(&self) -> Vec<f32> {
        let spread = |head| 8.0 * head as f32 / self.n_head as f32 - 4.0;
        (0..self.n_head).map(spread).collect()
    }

    fn cache(&self) -> KvLayer {
        KvLayer::new(self.format, self.n_head_kv, self.dim_k, self.dim_v)
    }

    fn tensors(&self, seed: u64) -> Tensors {
        let tensor = |cols: usize, seed| random(self.tokens * cols, seed);
        let mut q = tensor(self.n_head * self.dim_k, seed);
        q.iter_mut().for_each(|q| *q *= 4.0); // so that weights differ
        Tensors {
            q,
            k: tensor(self.n_head_kv * self.dim_k, seed + 1),
            v: tensor(self.n_head_kv * self.dim_v, seed + 2),
        }
    }

    /// The last tokens' rows of the output, the tokens having come in pieces
    /// of `at_once`, of which those before `from` are only cached.
    fn run(
        &self,
        isa: Isa,
        threads: usize,
        tensors: &Tensors,
        from: usize,
        at_once: usize,
    ) -> Vec<f32> {
        let team = Team::new(threads).unwrap();
        let mut workspace = Workspace::new(threads);
        let mut cache = self.cache();
        let rows = |x: &[f32], r: &Range<usize>| {
            let cols = x.len() / self.tokens;
            x[r.start * cols..r.end * cols].to_vec()
        };
        let mut all = Vec::new();
        team.region(|region| {
            let before = 0..from;
            cache.append(
                region,
                isa,
                &rows(&tensors.k, &before),
                &rows(&tensors.v, &before),
                0,
            );
            let mut at = from;
            while at < self.tokens {
                let piece = at..self.tokens.min(at.saturating_add(at_once));
                at = piece.end;
                cache.append(
                    region,
                    isa,
                    &rows(&tensors.k, &piece),
                    &rows(&tensors.v, &piece),
                    piece.start,
                );
                let mut out = vec![0.0; piece.len() * self.n_head * self.dim_v];
                let seqs = [AttentionSeq {
                    cache: &cache,
                    first_row: 0,
                    tokens: piece.len(),
                    position: piece.start,
                }];
                let q = rows(&tensors.q, &piece);
                attention(
                    region,
                    isa,
                    &mut workspace,
                    &mut out,
                    &q,
                    &seqs,
                    &self.heads(&self.sinks()),
                );
                all.extend(out);
            }
        });
        all
    }

    /// A head of keys or values as the cache keeps it.
    fn kept(&self, x: &[f32]) -> Vec<f64> {
        let half = |x: f32| half::f16::from_f32(x).to_f32();
        match self.format {
            KvFormat::F32 => x.iter().map(|x| f64::from(*x)).collect(),
            KvFormat::F16 => x.iter().map(|x| f64::from(half(*x))).collect(),
            KvFormat::Q8_0 => int8(x, half),
        }
    }

    /// The formula, for one row of the output.
    fn exact(&self, tensors: &Tensors, token: usize, head: usize) -> Vec<f64> {
        let kv_head = head / (self.n_head / self.n_head_kv);
        let row = |x: &[f32], heads: usize, at: usize, head: usize, dim: usize| -> Vec<f32> {
            x[(at * heads + head) * dim..][..dim].to_vec()
        };
        let q = row(&tensors.q, self.n_head, token, head, self.dim_k);
        let q = match self.format {
            KvFormat::Q8_0 => int8(&q, |d| d),
            _ => q.into_iter().map(f64::from).collect(),
        };
        let first = self.window.map_or(0, |w| (token + 1).saturating_sub(w));
        let k = |j| self.kept(&row(&tensors.k, self.n_head_kv, j, kv_head, self.dim_k));
        let v = |j| self.kept(&row(&tensors.v, self.n_head_kv, j, kv_head, self.dim_v));
        let score = |j: usize| -> f64 {
            let dot: f64 = q.iter().zip(k(j)).map(|(q, k)| q * k).sum();
            let score = dot / (self.dim_k as f64).sqrt();
            match self.cap.map(f64::from) {
                Some(cap) => cap * (score / cap).tanh(),
                None => score,
            }
        };
        let scores: Vec<f64> = (first..=token).map(score).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        if self.sinks {
            sum += (f64::from(self.sinks()[head]) - max).exp();
        }
        let mut out = vec![0.0; self.dim_v];
        for (j, score) in (first..=token).zip(scores) {
            let weight = (score - max).exp() / sum;
            for (out, v) in out.iter_mut().zip(v(j)) {
                *out += weight * v;
            }
        }
        out
    }
}

/// Rounded to integers with a scale for 32 of them, itself rounded by `scale`.
fn int8(x: &[f32], scale: impl Fn(f32) -> f32) -> Vec<f64> {
    let block = |x: &[f32]| -> Vec<f64> {
        let amax = x.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let d = f64::from(scale(amax / 127.0));
        let quant = |x: &f32| (f64::from(*x) / d).round_ties_even().clamp(-127.0, 127.0);
        x.iter().map(|x| quant(x) * d).collect()
    };
    x.chunks(32).flat_map(block).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    let one_nan = |v: &f32| if v.is_nan() { f32::NAN } else { *v };
    x.iter().map(|v| one_nan(v).to_bits()).collect()
}

/// All tokens at once by the definition; then in pieces, with every
/// instruction set, with one and three threads; then against the formula.
/// Compares the rows from `from` on.
fn check(case: Case, from: usize, pieces: &[usize]) {
    let tensors = case.tensors(case.tokens as u64);
    let expected = case.run(Isa::Scalar, 1, &tensors, from, usize::MAX);
    for isa in Isa::available() {
        for (at_once, threads) in pieces.iter().flat_map(|&n| [(n, 1), (n, 3)]) {
            if isa == Isa::Scalar && (threads, at_once) != (3, pieces[0]) {
                continue; // slow
            }
            let found = case.run(isa, threads, &tensors, from, at_once);
            assert!(
                bits(&expected) == bits(&found),
                "{case:?} from {from}: {isa}, {threads} threads, {at_once} tokens at once"
            );
        }
    }
    // The first rows, the last ones and some between.
    let count = case.tokens - from;
    for token in (0..count).filter(|t| *t < 3 || *t + 3 > count || t % 61 == 0) {
        for head in 0..case.n_head {
            let exact = case.exact(&tensors, from + token, head);
            let found = &expected[(token * case.n_head + head) * case.dim_v..][..case.dim_v];
            for (exact, found) in exact.iter().zip(found) {
                let error = (exact - f64::from(*found)).abs();
                assert!(
                    error < 2e-6,
                    "{case:?}: token {}, head {head}: {found}, expected {exact}",
                    from + token
                );
            }
        }
    }
}

#[test]
fn heads_and_dimensions() {
    for format in KvFormat::ALL {
        for group in [1, 2, 3, 4, 5, 8] {
            for (dim_k, dim_v) in [(16, 16), (24, 24), (64, 64), (80, 80), (128, 128), (48, 20)] {
                let case = Case {
                    format,
                    n_head: 2 * group,
                    n_head_kv: 2,
                    dim_k,
                    dim_v,
                    window: None,
                    sinks: false,
                    cap: None,
                    tokens: 70,
                };
                check(case, 0, &[1, 7, 70]);
            }
        }
    }
}

#[test]
fn depths() {
    for format in KvFormat::ALL {
        for tokens in [1, 2, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1500] {
            let case = Case {
                format,
                n_head: 4,
                n_head_kv: 1,
                dim_k: 16,
                dim_v: 16,
                window: None,
                sinks: false,
                cap: None,
                tokens,
            };
            let pieces: &[usize] = if tokens > 600 {
                &[64, 512, 2000]
            } else {
                &[7, 1, 64, 512]
            };
            check(case, 0, pieces);
            // The last few, one by one behind what is cached: the splits of
            // one token are computed apart.
            check(case, tokens.saturating_sub(5), &[1, 2, 5]);
        }
    }
}

#[test]
fn windows() {
    for window in [1, 2, 63, 64, 65, 100, 512, 600] {
        for tokens in [65, 200, 1100] {
            let case = Case {
                format: KvFormat::F16,
                n_head: 2,
                n_head_kv: 1,
                dim_k: 16,
                dim_v: 24,
                window: Some(window),
                sinks: false,
                cap: None,
                tokens,
            };
            check(case, tokens - 60, &[1, 7, 60]);
        }
    }
}

#[test]
fn caps() {
    for format in KvFormat::ALL {
        for (cap, tokens) in [(0.5, 70), (3.0, 1100)] {
            let case = Case {
                format,
                n_head: 6,
                n_head_kv: 2,
                dim_k: 16,
                dim_v: 24,
                window: Some(600),
                sinks: false,
                cap: Some(cap),
                tokens,
            };
            check(case, tokens - 60, &[1, 7, 60]);
        }
    }
}

#[test]
fn sinks() {
    for format in KvFormat::ALL {
        for (window, tokens) in [(None, 70), (Some(20), 70), (None, 1100)] {
            let case = Case {
                format,
                n_head: 8,
                n_head_kv: 2,
                dim_k: 16,
                dim_v: 24,
                window,
                sinks: true,
                cap: None,
                tokens,
            };
            check(case, tokens - 60, &[1, 7, 60]);
        }
    }
}

#[test]
fn sequences_do_not_see_each_other() {
    // Sequences of different lengths, with different numbers of new tokens.
    for format in KvFormat::ALL {
        let cases = [(600, 1), (3, 3), (64, 0), (530, 70), (65, 1)].map(|(tokens, new)| {
            let case = Case {
                format,
                n_head: 4,
                n_head_kv: 2,
                dim_k: 32,
                dim_v: 32,
                window: None,
                sinks: false,
                cap: None,
                tokens,
            };
            (case, new)
        });
        for (isa, threads) in Isa::available().flat_map(|isa| [(isa, 1), (isa, 4)]) {
            let team = Team::new(threads).unwrap();
            let (mut q, mut expected) = (Vec::new(), Vec::new());
            let mut caches = Vec::new();
            for (index, (case, new)) in cases.iter().enumerate() {
                let tensors = case.tensors(index as u64);
                let cols = case.n_head * case.dim_k;
                q.extend_from_slice(&tensors.q[(case.tokens - new) * cols..]);
                let at_once = usize::MAX;
                expected.extend(case.run(isa, 1, &tensors, case.tokens - new, at_once));
                let mut cache = case.cache();
                team.region(|region| cache.append(region, isa, &tensors.k, &tensors.v, 0));
                caches.push(cache);
            }
            let mut first_row = 0;
            let mut seqs = Vec::new();
            for (cache, (case, tokens)) in caches.iter().zip(cases) {
                seqs.push(AttentionSeq {
                    cache,
                    first_row,
                    tokens,
                    position: case.tokens - tokens,
                });
                first_row += tokens;
            }
            let mut out = vec![0.0; expected.len()];
            let mut workspace = Workspace::new(threads);
            let heads = cases[0].0.heads(&[]);
            team.region(|region| {
                attention(region, isa, &mut workspace, &mut out, &q, &seqs, &heads);
            });
            assert!(
                bits(&expected) == bits(&out),
                "{format:?}, {isa}, {threads} threads"
            );
        }
    }
}

#[test]
fn what_lies_behind_the_end_does_not_matter() {
    let case = Case {
        format: KvFormat::F16,
        n_head: 2,
        n_head_kv: 1,
        dim_k: 16,
        dim_v: 16,
        window: None,
        sinks: false,
        cap: None,
        tokens: 40,
    };
    let tensors = case.tensors(1);
    let expected = case.run(Isa::detect(), 1, &tensors, 0, usize::MAX);
    let team = Team::new(1).unwrap();
    let mut cache = case.cache();
    let isa = Isa::detect();
    let mut out = vec![0.0; expected.len()];
    let mut workspace = Workspace::new(1);
    team.region(|region| {
        let (k, v) = (tensors.k.split_at(30 * 16), tensors.v.split_at(30 * 16));
        cache.append(region, isa, k.0, v.0, 0);
        cache.append(
            region,
            isa,
            &[f32::NAN; 50 * 16],
            &[f32::INFINITY; 50 * 16],
            30,
        );
        assert_eq!((cache.len(), cache.bytes()), (80, 2 * CHUNK * 16 * 4));
        cache.truncate(30);
        assert_eq!((cache.len(), cache.bytes()), (30, CHUNK * 16 * 4));
        cache.append(region, isa, k.1, v.1, 30);
        let seqs = [AttentionSeq {
            cache: &cache,
            first_row: 0,
            tokens: 40,
            position: 0,
        }];
        attention(
            region,
            isa,
            &mut workspace,
            &mut out,
            &tensors.q,
            &seqs,
            &case.heads(&[]),
        );
    });
    assert_eq!(bits(&expected), bits(&out));
}

#[test]
fn a_bad_score_is_never_silent() {
    let case = Case {
        format: KvFormat::F32,
        n_head: 1,
        n_head_kv: 1,
        dim_k: 16,
        dim_v: 16,
        window: None,
        sinks: false,
        cap: None,
        tokens: 600,
    };
    for bad in [f32::NAN, f32::INFINITY] {
        for at in [0, 70, 599] {
            let mut tensors = case.tensors(2);
            tensors.k[at * 16 + 5] = bad;
            // Of the sign that makes the score +∞.
            tensors.q.iter_mut().for_each(|q| *q = q.abs());
            for isa in Isa::available() {
                let out = case.run(isa, 1, &tensors, 598, usize::MAX);
                let (early, late) = out.split_at(16);
                assert!(
                    late.iter().all(|v| v.is_nan()),
                    "{isa}: {bad} at {at} got lost"
                );
                let expect_nan = at < 599;
                assert_eq!(
                    early.iter().all(|v| v.is_nan()),
                    expect_nan,
                    "{isa}: {bad} at {at}"
                );
            }
        }
    }
}
