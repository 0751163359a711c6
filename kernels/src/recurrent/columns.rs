//! Layers whose states are a matrix for each head.
//!
//! Columns of a matrix never meet: a unit of work is sixteen of a head, which stay in
//! the first-level cache for all tokens.

use super::Seq;
use crate::lanes::{LANES, Lanes};
use crate::lines::Lines;
use crate::team::Region;

/// Buffers that are reused from call to call.
#[derive(Default)]
pub struct Workspace {
    /// `[tokens, channels]`: what the convolution makes of the inputs.
    pub(super) mixed: Lines<f32>,
    /// `[units][tokens][16]`: results, a sequence after the other.
    pub(super) results: Lines<f32>,
}

/// Sixteen columns of a head's matrix, and the tokens of a sequence.
pub(super) struct Unit<'a> {
    /// Which sixteen of all heads' columns.
    pub index: usize,
    /// The row of the first token.
    pub first: usize,
    /// `[rows of the matrix][16]`.
    pub before: &'a [f32],
    pub after: &'a mut [f32],
    /// `[tokens][16]`.
    pub results: &'a mut [f32],
}

/// Two numbers of each head, for each token: `[tokens, heads]`, from where that is and the
/// head.
pub(super) fn gates(
    region: &Region<'_>,
    [tokens, heads]: [usize; 2],
    of: impl Fn(usize, usize) -> [f32; 2] + Sync,
) -> Vec<[f32; 2]> {
    let mut gates = vec![[0.0; 2]; tokens * heads];
    region.chunks_mut(&mut gates, heads, |row, gates| {
        for (head, gate) in gates.iter_mut().enumerate() {
            *gate = of(row * heads + head, head);
        }
    });
    gates
}

/// Takes the tokens of `seqs` through all units, of so many columns and so many rows in
/// their matrices, and puts the results in order: `out` is `[tokens, columns]`.
pub(super) fn each(
    region: &Region<'_>,
    results: &mut Lines<f32>,
    [cols, rows]: [usize; 2],
    seqs: &mut [Seq<'_>],
    out: &mut [f32],
    recur: impl Fn(&mut Unit<'_>) + Sync,
) {
    let tokens: usize = seqs.iter().map(|seq| seq.tokens).sum();
    let units = cols / LANES;
    let mut results = results.resize(units * tokens * LANES);
    let mut work = Vec::with_capacity(units * seqs.len());
    let mut first = 0;
    for seq in seqs {
        let before = seq.before.matrices.chunks_exact(rows * LANES);
        let after = seq.after.matrices.chunks_exact_mut(rows * LANES);
        let len = seq.tokens * LANES;
        for (index, (before, after)) in before.zip(after).enumerate() {
            work.push(Unit {
                index,
                first,
                before,
                after,
                results: results.split_off_mut(..len).unwrap_or_default(),
            });
        }
        first += seq.tokens;
    }
    region.chunks_mut(&mut work, 1, |_, work| work.iter_mut().for_each(&recur));
    // Of each row its sequence's units, and which of their tokens it is.
    let mut sources = Vec::with_capacity(tokens);
    for units in work.chunks_exact(units) {
        sources.extend((0..units[0].results.len() / LANES).map(|token| (units, token)));
    }
    region.chunks_mut(out, cols, |row, out| {
        let (units, token) = sources[row];
        for (out, unit) in out.chunks_exact_mut(LANES).zip(units) {
            out.copy_from_slice(&unit.results[token * LANES..][..LANES]);
        }
    });
}

/// What four partial sums make.
#[inline(always)]
pub(super) fn sum_of<L: Lanes>(l: L, [a, b, c, d]: [L::F; 4]) -> L::F {
    l.add(l.add(a, b), l.add(c, d))
}
