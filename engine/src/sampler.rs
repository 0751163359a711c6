//! Choosing the next token from its logits.
//!
//! The steps, in this order (each can be switched off):
//!
//! 1. penalties for tokens that occurred: repetition divides positive logits
//!    and multiplies negative ones (Keskar et al., "CTRL", 2019), frequency
//!    and presence are subtracted;
//! 2. top-k: the `k` highest (Fan et al., 2018);
//! 3. typical: those whose surprise is nearest to the expected one, together
//!    at least `p` (Meister et al., 2023);
//! 4. top-p: the most probable that together reach `p` (Holtzman et al., 2020);
//! 5. min-p: at least `p` times as probable as the most probable (Nguyen et
//!    al., 2024);
//! 6. temperature, then a draw.
//!
//! With temperature 0 the token with the highest penalized logit is taken, the
//! first of equals. With a seed, the same logits give the same tokens on every
//! machine: the exponential is our own (see [`kernels::ops::softmax`]).

use crate::Error;
use kernels::Isa;
use kernels::ops::softmax_row;
use std::collections::HashMap;

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 always takes the most probable token; higher is more adventurous.
    pub temperature: f32,
    /// Keep this many tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the most probable tokens that together reach this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this many times as probable as the first; 0 keeps
    /// all.
    pub min_p: f32,
    /// Keep tokens of typical surprise that together reach this; 1 keeps all.
    pub typical_p: f32,
    /// Above 1 discourages tokens that occurred lately; 1 does nothing.
    pub repeat_penalty: f32,
    /// Subtracted for every occurrence; 0 does nothing.
    pub frequency_penalty: f32,
    /// Subtracted once for a token that occurred; 0 does nothing.
    pub presence_penalty: f32,
    /// How many of the latest tokens the penalties look at.
    pub penalty_window: usize,
    /// Where the draws start; by default different each time.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: 64,
            seed: None,
        }
    }
}

impl Sampling {
    /// Always the most probable token.
    pub fn greedy() -> Sampling {
        Sampling {
            temperature: 0.0,
            ..Sampling::default()
        }
    }

    /// Whether it changes logits of tokens that occurred.
    fn penalizes(&self) -> bool {
        self.repeat_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let check = |name, value: f32, good: bool, expected| match good {
            true => Ok(()),
            false => Err(Error::Parameter {
                name,
                expected,
                found: value.to_string(),
            }),
        };
        let share = |value: f32| (0.0..=1.0).contains(&value) && value > 0.0;
        let finite = |value: f32| value.is_finite();
        check(
            "the temperature",
            self.temperature,
            finite(self.temperature) && self.temperature >= 0.0,
            "a finite number from 0 up",
        )?;
        check(
            "top-p",
            self.top_p,
            share(self.top_p),
            "above 0 and at most 1",
        )?;
        check(
            "typical-p",
            self.typical_p,
            share(self.typical_p),
            "above 0 and at most 1",
        )?;
        check(
            "min-p",
            self.min_p,
            (0.0..=1.0).contains(&self.min_p),
            "0 to 1",
        )?;
        check(
            "the repeat penalty",
            self.repeat_penalty,
            finite(self.repeat_penalty) && self.repeat_penalty > 0.0,
            "a finite number above 0",
        )?;
        check(
            "the frequency penalty",
            self.frequency_penalty,
            finite(self.frequency_penalty),
            "a finite number",
        )?;
        check(
            "the presence penalty",
            self.presence_penalty,
            finite(self.presence_penalty),
            "a finite number",
        )
    }
}

/// Chooses tokens, one after the other.
pub struct Sampler {
    sampling: Sampling,
    isa: Isa,
    random: Random,
    /// Reused from token to token.
    candidates: Vec<Candidate>,
    p: Vec<f32>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: u32,
    logit: f32,
    p: f32,
}

impl Sampler {
    /// A sampler that computes with an instruction set, which does not change
    /// what it chooses.
    ///
    /// # Errors
    ///
    /// If a parameter makes no sense.
    pub fn new(sampling: &Sampling, isa: Isa) -> Result<Sampler, Error> {
        sampling.check()?;
        let seed = sampling.seed.unwrap_or_else(fresh_seed);
        let random = Random(seed);
        Ok(Sampler {
            sampling: sampling.clone(),
            isa,
            random,
            candidates: Vec::new(),
            p: Vec::new(),
        })
    }

    /// How many of the highest logits decide, if a few do: those from which
    /// [`Sampler::choose`] chooses what [`Sampler::sample`] would from all.
    pub fn deciding(&self) -> Option<usize> {
        const MOST: usize = 256;
        match (self.sampling.penalizes(), self.sampling.temperature) {
            (true, _) => None,
            (false, 0.0) => Some(1),
            (false, _) => Some(self.sampling.top_k).filter(|k| (1..=MOST).contains(k)),
        }
    }

    /// Chooses among tokens and their logits: the [`Sampler::deciding`] highest.
    pub fn choose(&mut self, highest: &[(u32, f32)]) -> u32 {
        self.candidates.clear();
        self.candidates
            .extend(highest.iter().map(|&(token, logit)| Candidate {
                token,
                logit,
                p: 0.0,
            }));
        if self.sampling.temperature == 0.0 {
            top_k(&mut self.candidates, 1);
            return self.candidates[0].token;
        }
        self.draw()
    }

    /// Chooses the token that follows `tokens`. The logits are finite; their
    /// values afterwards are those with penalties.
    pub fn sample(&mut self, logits: &mut [f32], tokens: &[u32]) -> u32 {
        self.penalize(logits, tokens);
        if self.sampling.temperature == 0.0 {
            return greedy(logits);
        }
        let all = logits.iter().enumerate();
        self.candidates.clear();
        self.candidates.extend(all.map(|(token, &logit)| Candidate {
            token: token as u32,
            logit,
            p: 0.0,
        }));
        self.draw()
    }

    /// Takes the candidates through all steps but the penalties.
    fn draw(&mut self) -> u32 {
        let sampling = &self.sampling;
        let candidates = &mut self.candidates;
        let mut softmax = |candidates: &mut [Candidate], temperature: f32| {
            softmax(self.isa, &mut self.p, candidates, temperature);
        };
        top_k(candidates, sampling.top_k);
        if sampling.typical_p < 1.0 {
            softmax(candidates, 1.0);
            typical(candidates, sampling.typical_p);
        }
        if sampling.top_p < 1.0 {
            softmax(candidates, 1.0);
            candidates.truncate(reach(candidates, sampling.top_p));
        }
        if sampling.min_p > 0.0 {
            softmax(candidates, 1.0);
            let least = candidates[0].p * sampling.min_p;
            candidates.retain(|candidate| candidate.p >= least);
        }
        softmax(candidates, sampling.temperature);
        let mut draw = self.random.unit();
        for candidate in candidates.iter() {
            draw -= candidate.p;
            if draw < 0.0 {
                return candidate.token;
            }
        }
        // Rounding can leave a sliver above the sum of all.
        candidates[candidates.len() - 1].token
    }

    fn penalize(&self, logits: &mut [f32], tokens: &[u32]) {
        let s = &self.sampling;
        if !s.penalizes() {
            return;
        }
        let window = &tokens[tokens.len().saturating_sub(s.penalty_window)..];
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for &token in window {
            *counts.entry(token).or_default() += 1;
        }
        for (token, count) in counts {
            let Some(logit) = logits.get_mut(token as usize) else {
                continue;
            };
            let repeated = if *logit > 0.0 {
                *logit / s.repeat_penalty
            } else {
                *logit * s.repeat_penalty
            };
            let penalty = count as f32 * s.frequency_penalty + s.presence_penalty;
            // Extreme penalties must not make infinities, whose differences are NaN.
            *logit = finite(finite(repeated) - finite(penalty));
        }
    }
}

fn finite(x: f32) -> f32 {
    x.clamp(f32::MIN, f32::MAX)
}

/// The token with the highest logit, the first of equals.
pub fn greedy(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

/// Keeps the `k` highest, sorted; all of them for 0.
fn top_k(candidates: &mut Vec<Candidate>, k: usize) {
    let order =
        |a: &Candidate, b: &Candidate| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token));
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, order);
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(order);
}

/// Sets the probabilities of sorted candidates.
fn softmax(isa: Isa, p: &mut Vec<f32>, candidates: &mut [Candidate], temperature: f32) {
    let highest = candidates[0].logit;
    p.clear();
    p.extend(
        candidates
            .iter()
            .map(|candidate| (candidate.logit - highest) / temperature),
    );
    softmax_row(isa, p);
    for (candidate, &p) in candidates.iter_mut().zip(p.iter()) {
        candidate.p = p;
    }
}

/// How many candidates from the front are needed to reach `p` together.
fn reach(candidates: &[Candidate], p: f32) -> usize {
    let mut sum = 0.0;
    for (index, candidate) in candidates.iter().enumerate() {
        sum += candidate.p;
        if sum >= p {
            return index + 1;
        }
    }
    candidates.len()
}

/// Keeps candidates whose surprise `-ln p` is nearest to its expectation.
fn typical(candidates: &mut Vec<Candidate>, p: f32) {
    // -ln p up to a constant that cancels: highest logit minus logit.
    let highest = candidates[0].logit;
    let surprise = |candidate: &Candidate| highest - candidate.logit;
    let expected: f32 = candidates
        .iter()
        .filter(|candidate| candidate.p > 0.0)
        .map(|candidate| candidate.p * surprise(candidate))
        .sum();
    let distance = |candidate: &Candidate| (surprise(candidate) - expected).abs();
    candidates.sort_by(|a, b| {
        distance(a)
            .total_cmp(&distance(b))
            .then(a.token.cmp(&b.token))
    });
    candidates.truncate(reach(candidates, p));
    top_k(candidates, 0);
}

/// splitmix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    /// Uniform in 0..1, 24 bits.
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }
}

/// Differs from call to call: the standard library seeds its hasher from the
/// operating system.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 2.0, 1.0, -1.0, 1.9];

    fn sampler(sampling: &Sampling) -> Result<Sampler, Error> {
        Sampler::new(sampling, Isa::detect())
    }

    /// The tokens that ever come out of many draws.
    fn support(sampling: Sampling, history: &[u32]) -> Vec<u32> {
        let mut sampler = sampler(&Sampling {
            seed: Some(1),
            ..sampling
        })
        .unwrap();
        let mut seen: Vec<u32> = (0..2000)
            .map(|_| sampler.sample(&mut LOGITS.clone(), history))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }

    /// Nothing switched on but a hot temperature.
    fn open() -> Sampling {
        Sampling {
            temperature: 1.5,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            ..Sampling::default()
        }
    }

    #[test]
    fn each_step_keeps_what_it_should() {
        let cases: [(&str, Sampling, &[u32]); 8] = [
            ("everything", open(), &[0, 1, 2, 3, 4]),
            ("greedy", Sampling::greedy(), &[1]),
            ("top-k 1", Sampling { top_k: 1, ..open() }, &[1]),
            ("top-k 3", Sampling { top_k: 3, ..open() }, &[1, 2, 4]),
            // p = 0.06, 0.41, 0.15, 0.02, 0.37
            (
                "top-p 0.5",
                Sampling {
                    top_p: 0.5,
                    ..open()
                },
                &[1, 4],
            ),
            (
                "top-p tiny",
                Sampling {
                    top_p: 1e-6,
                    ..open()
                },
                &[1],
            ),
            (
                "min-p 0.3",
                Sampling {
                    min_p: 0.3,
                    ..open()
                },
                &[1, 2, 4],
            ),
            (
                "min-p 1",
                Sampling {
                    min_p: 1.0,
                    ..open()
                },
                &[1],
            ),
        ];
        for (what, sampling, expected) in cases {
            assert_eq!(support(sampling, &[]), expected, "{what}");
        }
    }

    #[test]
    fn typical_prefers_the_expected_surprise() {
        // Expected surprise is 0.06·2 + 0.15·1 + 0.02·3 + 0.37·0.1 = 0.38: token 4
        // (0.1) is nearest, then 1 (0), then 2 (1).
        assert_eq!(
            support(
                Sampling {
                    typical_p: 0.3,
                    ..open()
                },
                &[]
            ),
            [4]
        );
        assert_eq!(
            support(
                Sampling {
                    typical_p: 0.5,
                    ..open()
                },
                &[]
            ),
            [1, 4]
        );
    }

    #[test]
    fn penalties_count_within_the_window() {
        let greedy_after = |sampling: Sampling, history: &[u32]| {
            sampler(&Sampling {
                temperature: 0.0,
                ..sampling
            })
            .unwrap()
            .sample(&mut LOGITS.clone(), history)
        };
        assert_eq!(
            greedy_after(
                Sampling {
                    repeat_penalty: 1.2,
                    ..open()
                },
                &[1]
            ),
            4
        );
        assert_eq!(
            greedy_after(
                Sampling {
                    repeat_penalty: 3.0,
                    ..open()
                },
                &[1, 4]
            ),
            2
        );
        assert_eq!(
            greedy_after(
                Sampling {
                    presence_penalty: 0.2,
                    ..open()
                },
                &[1, 1]
            ),
            4
        );
        assert_eq!(
            greedy_after(
                Sampling {
                    frequency_penalty: 0.06,
                    ..open()
                },
                &[1]
            ),
            1
        );
        assert_eq!(
            greedy_after(
                Sampling {
                    frequency_penalty: 0.06,
                    ..open()
                },
                &[1, 1]
            ),
            4
        );
        let short = Sampling {
            presence_penalty: 5.0,
            penalty_window: 1,
            ..open()
        };
        assert_eq!(greedy_after(short, &[1, 4]), 1);
        // A negative logit is made more negative.
        let mut logits = [-1.0, -1.1];
        let sampling = Sampling {
            repeat_penalty: 2.0,
            ..Sampling::greedy()
        };
        assert_eq!(sampler(&sampling).unwrap().sample(&mut logits, &[0]), 1);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let mut sampler = sampler(&Sampling {
            temperature: 1.0,
            seed: Some(7),
            ..open()
        })
        .unwrap();
        let mut counts = [0_u32; 5];
        for _ in 0..20_000 {
            counts[sampler.sample(&mut LOGITS.clone(), &[]) as usize] += 1;
        }
        let sum: f64 = LOGITS.iter().map(|&l| f64::from(l).exp()).sum();
        for (count, logit) in counts.iter().zip(LOGITS) {
            let expected = f64::from(logit).exp() / sum;
            let found = f64::from(*count) / 20_000.0;
            assert!(
                (found - expected).abs() < 0.012,
                "expected {expected}, found {found}"
            );
        }
    }

    #[test]
    fn a_seed_repeats_and_no_seed_does_not() {
        let draws = |seed| {
            let mut sampler = sampler(&Sampling { seed, ..open() }).unwrap();
            (0..50)
                .map(|_| sampler.sample(&mut LOGITS.clone(), &[]))
                .collect::<Vec<_>>()
        };
        assert_eq!(draws(Some(3)), draws(Some(3)));
        assert_ne!(draws(Some(3)), draws(Some(4)));
        assert_ne!(draws(None), draws(None));
    }

    #[test]
    fn extreme_parameters_choose_some_token() {
        type Change = fn(&mut Sampling);
        let extremes: &[(&str, Change)] = &[
            ("repeat penalty tiny", |s| s.repeat_penalty = 1e-38),
            ("repeat penalty huge", |s| s.repeat_penalty = f32::MAX),
            ("frequency penalty huge", |s| s.frequency_penalty = f32::MAX),
            ("frequency penalty very negative", |s| {
                s.frequency_penalty = f32::MIN;
            }),
            ("all of them", |s| {
                s.repeat_penalty = 1e-38;
                s.frequency_penalty = f32::MAX;
                s.presence_penalty = f32::MAX;
            }),
            ("temperature subnormal", |s| s.temperature = 1e-45),
            ("temperature huge", |s| s.temperature = f32::MAX),
        ];
        for (what, change) in extremes {
            let mut sampling = Sampling {
                min_p: 0.05,
                typical_p: 0.9,
                top_p: 0.9,
                ..open()
            };
            change(&mut sampling);
            let tokens = support(sampling, &[1, 1, 1, 4]);
            assert!(!tokens.is_empty(), "{what}");
            assert!(tokens.iter().all(|&token| token < 5), "{what}: {tokens:?}");
        }
    }

    #[test]
    fn the_deciding_logits_give_the_same_tokens_as_all() {
        let logits: Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 / 10.0).collect();
        let mut sorted: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let seeded = |sampling| Sampling {
            seed: Some(7),
            ..sampling
        };
        for (sampling, deciding) in [
            (Sampling::greedy(), Some(1)),
            (Sampling::default(), Some(40)),
            (
                Sampling {
                    top_k: 256,
                    typical_p: 0.7,
                    ..open()
                },
                Some(256),
            ),
            (
                Sampling {
                    top_k: 257,
                    ..open()
                },
                None,
            ),
            (open(), None),
            (
                Sampling {
                    repeat_penalty: 1.1,
                    ..Sampling::greedy()
                },
                None,
            ),
        ] {
            let sampling = seeded(sampling);
            let (mut all, mut few) = (sampler(&sampling).unwrap(), sampler(&sampling).unwrap());
            assert_eq!(few.deciding(), deciding, "{sampling:?}");
            let Some(count) = deciding else { continue };
            // In no order.
            let highest: Vec<_> = sorted[..count].iter().rev().copied().collect();
            for draw in 0..100 {
                let expected = all.sample(&mut logits.clone(), &[]);
                assert_eq!(few.choose(&highest), expected, "draw {draw}, {sampling:?}");
            }
        }
    }

    #[test]
    fn senseless_parameters_are_refused() {
        let bad = [
            (
                Sampling {
                    temperature: -1.0,
                    ..open()
                },
                "the temperature is -1, expected a finite number from 0 up",
            ),
            (
                Sampling {
                    temperature: f32::NAN,
                    ..open()
                },
                "the temperature is NaN, expected a finite number from 0 up",
            ),
            (
                Sampling {
                    top_p: 0.0,
                    ..open()
                },
                "top-p is 0, expected above 0 and at most 1",
            ),
            (
                Sampling {
                    top_p: 2.0,
                    ..open()
                },
                "top-p is 2, expected above 0 and at most 1",
            ),
            (
                Sampling {
                    min_p: 1.5,
                    ..open()
                },
                "min-p is 1.5, expected 0 to 1",
            ),
            (
                Sampling {
                    typical_p: f32::NAN,
                    ..open()
                },
                "typical-p is NaN, expected above 0 and at most 1",
            ),
            (
                Sampling {
                    repeat_penalty: 0.0,
                    ..open()
                },
                "the repeat penalty is 0, expected a finite number above 0",
            ),
            (
                Sampling {
                    presence_penalty: f32::INFINITY,
                    ..open()
                },
                "the presence penalty is inf, expected a finite number",
            ),
        ];
        for (sampling, message) in bad {
            assert_eq!(sampler(&sampling).err().unwrap().to_string(), message);
        }
    }
}
