//! Choosing the next token from its logits.
//!
//! Tokens that a file wants never to be generated are left out. Then, in this order (each
//! can be switched off):
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

mod candidates;
mod random;
mod sampling;

pub use sampling::Sampling;

use crate::Error;
use candidates::{Candidate, reach, softmax, top_k, typical};
use kernels::Isa;
use random::Random;
use std::collections::HashMap;

/// Chooses tokens, one after the other.
pub struct Sampler {
    sampling: Sampling,
    isa: Isa,
    random: Random,
    /// Tokens that are never chosen, ascending.
    left_out: Vec<u32>,
    /// Reused from token to token.
    candidates: Vec<Candidate>,
    p: Vec<f32>,
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
        Ok(Sampler {
            sampling: sampling.clone(),
            isa,
            random: Random::new(sampling.seed),
            left_out: Vec::new(),
            candidates: Vec::new(),
            p: Vec::new(),
        })
    }

    /// The same, but that it never chooses these tokens, which come ascending. (If a
    /// vocabulary has no others, it chooses among them.)
    pub fn without(mut self, tokens: &[u32]) -> Sampler {
        self.left_out = tokens.to_vec();
        self
    }

    /// How many of the highest logits decide, if a few do: those from which
    /// [`Sampler::choose`] chooses what [`Sampler::sample`] would from all.
    pub fn deciding(&self) -> Option<usize> {
        const MOST: usize = 256;
        let count = match (self.sampling.penalizes(), self.sampling.temperature) {
            (true, _) => None,
            (false, 0.0) => Some(1),
            (false, _) => Some(self.sampling.top_k).filter(|&k| k >= 1),
        };
        // Those that are left out may be among the highest.
        let count = count.map(|count| count + self.left_out.len());
        count.filter(|&count| count <= MOST)
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
        self.leave_out();
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
        for &token in &self.left_out {
            logits[token as usize] = f32::MIN;
        }
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
        self.leave_out();
        self.draw()
    }

    /// Leaves out of the candidates what is never chosen.
    fn leave_out(&mut self) {
        let is_left_out =
            |candidate: &Candidate| self.left_out.binary_search(&candidate.token).is_ok();
        if !self.left_out.is_empty() && !self.candidates.iter().all(is_left_out) {
            self.candidates.retain(|candidate| !is_left_out(candidate));
        }
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

#[cfg(test)]
mod tests;
