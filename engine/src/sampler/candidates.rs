//! The tokens that are left to choose from, and the steps that thin them out.
//!
//! Candidates are sorted by logit, the highest first, between the steps.

use kernels::Isa;
use kernels::ops::softmax_row;

/// A token that may be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub token: u32,
    pub logit: f32,
    pub p: f32,
}

/// Keeps the `k` highest, sorted; all of them for 0.
pub(super) fn top_k(candidates: &mut Vec<Candidate>, k: usize) {
    let order =
        |a: &Candidate, b: &Candidate| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token));
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, order);
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(order);
}

/// Sets the probabilities of sorted candidates.
pub(super) fn softmax(isa: Isa, p: &mut Vec<f32>, candidates: &mut [Candidate], temperature: f32) {
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
pub(super) fn reach(candidates: &[Candidate], p: f32) -> usize {
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
pub(super) fn typical(candidates: &mut Vec<Candidate>, p: f32) {
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
