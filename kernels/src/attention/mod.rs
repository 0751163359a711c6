//! Attention of a step's tokens to their sequences' caches.
//!
//! ```text
//! out[t, h] = Σ_j softmax_j( scale · q[t, h]·k[j, h'] ) · v[j, h']
//!
//! t  token of the step       h  query head       h' = h / group  head of keys and values
//! j  every position up to the token's own; with a window, the last `window` of those
//! ```
//!
//! # Definition
//!
//! The order of operations depends on absolute positions alone: not on how
//! many tokens or sequences come together, nor on threads. Positions are cut
//! into chunks of 64 ([`CHUNK`]) and those into splits of 512 ([`SPLIT`]).
//!
//! A query row is first multiplied: `q'[d] = q[d] · scale`. A *state* is a
//! maximum `m`, sixteen partial sums `l` and the sum of values `o[d]`; it
//! starts at `−∞, 0, 0`. A chunk, of which at least one position is visible,
//! enters a state so:
//!
//! ```text
//! s[j] = Σ_d q'[d]·k[j, d]             d ascending, fma from 0 (Q8_0: see below)
//! m'   = max(m, s[j] of the visible j)                 NaNs do not count
//! c    = exp(m − m')
//! p[j] = exp(s[j] − m')                exp of crate::ops
//! l[i] = l[i] · c, then + p[j]         visible j with j mod 16 = i, ascending
//! o[d] = o[d] · c, then fma(p[j], v[j, d], o[d])       visible j ascending
//! m    = m'
//! ```
//!
//! Each split has a state of its own. They are combined in ascending order,
//! starting from `−∞, 0, 0`; for each split with a visible position:
//!
//! ```text
//! M' = max(M, m)      a = exp(M − M')      b = exp(m − M')
//! L[i] = fma(b, l[i], L[i] · a)
//! O[d] = fma(b, o[d], O[d] · a)
//! M  = M'
//!
//! out[d] = O[d] · (1 / ΣL)             ΣL folded in halves
//! ```
//!
//! With a *cap* `C`, scores become `C · (1 − 2 / (1 + exp(2 · (s / C))))`, which is `C · tanh(s
//! / C)`, before anything else is done with them.
//!
//! With a *sink*, a score `a` of each head that every query sees and that has no
//! value:
//!
//! ```text
//! M' = max(M, a)      out[d] = O[d] · (e / fma(e, ΣL, exp(a − M')))      e = exp(M − M')
//! ```
//!
//! A NaN or infinite score makes the row NaN.
//!
//! With a Q8_0 cache, whose keys and values are integers `i` with a scale `d`
//! for each block `b` of 32 dimensions ([`KvLayer`]), the query row is
//! quantized too, as [`crate::activation`] has it, to integers `x` with scales
//! `e`:
//!
//! ```text
//! s[j] = Σ_b (Σ x·i over block b) · (e[b]·d[j, b])      b ascending, fma from 0;
//!                                                       the inner sum is exact
//! o[d] = … fma(p[j]·d[j, b], i[j, d], o[d])             p·d rounded
//! ```
//!
//! # How the work is split
//!
//! A unit of work is a head of keys, a tile of the tokens of a sequence with
//! all query heads that share the head, and either all splits, or one where
//! that would leave threads without work. Each piece of a cache is loaded once
//! for all rows of a unit.
//!
//! Sources: Milakov and Gimelshein, "Online normalizer calculation for
//! softmax", 2018; Dao, "FlashAttention-2", 2023; the fixed splits are those of
//! batch-invariant kernels ("Defeating Nondeterminism in LLM Inference", 2025).

mod ahead;
mod append;
mod cache;
#[allow(clippy::needless_range_loop)] // tiles of registers, indexed alike
mod int8;
#[allow(clippy::needless_range_loop)]
mod panel;
mod part;
mod read;
mod state;
mod unit;
mod weights;

pub use cache::{CHUNK, KvFormat, KvLayer, UnknownKvFormat};

use crate::isa::Isa;
use crate::lanes::LANES;
use crate::team::{MatMut, Region, TileMut};
use state::state_len;
use std::ops::Range;
use unit::{Scratch, Unit};

/// Positions whose chunks share a state.
pub const SPLIT: usize = 512;

/// Query rows a unit of work aims at.
const TILE_ROWS: usize = 64;

/// The query heads and how they attend.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    /// Query heads; a multiple of the cache's heads.
    pub n_head: usize,
    /// Factor on the scores, usually `1 / √head_dim_k`.
    pub scale: f32,
    /// How many positions a token sees, its own included; `None`: all.
    pub window: Option<usize>,
    /// For each query head a score that takes its share and adds nothing.
    pub sinks: Option<&'a [f32]>,
    /// What scores stay below, in magnitude.
    pub cap: Option<f32>,
}

/// The tokens of one sequence in a step, whose keys and values are in the
/// cache already.
#[derive(Clone, Copy)]
pub struct AttentionSeq<'a> {
    /// The sequence's cache in this layer.
    pub cache: &'a KvLayer,
    /// The first of its rows in `q` and `out`: the rows of the sequences before
    /// it end there.
    pub first_row: usize,
    /// Number of tokens.
    pub tokens: usize,
    /// Position of the first of them.
    pub position: usize,
}

/// Buffers that are reused from call to call.
pub struct Workspace {
    threads: Vec<Scratch>,
    partial: Vec<f32>,
}

impl Workspace {
    /// For a team of `threads`.
    pub fn new(threads: usize) -> Workspace {
        Workspace {
            threads: (0..threads.max(1)).map(|_| Scratch::default()).collect(),
            partial: Vec::new(),
        }
    }
}

/// One sequence's share of a call.
#[derive(Clone, Copy)]
struct Sequence<'a> {
    cache: &'a KvLayer,
    /// `[tokens, n_head · head_dim_k]`.
    q: &'a [f32],
    tokens: usize,
    /// Position of the first token.
    position: usize,
    /// Query heads per head of keys.
    group: usize,
    scale: f32,
    window: usize,
    sinks: Option<&'a [f32]>,
    cap: Option<f32>,
}

impl<'a> Sequence<'a> {
    /// The positions that some of `tokens` see.
    fn visible(&self, tokens: &Range<usize>) -> Range<usize> {
        let first = (self.position + tokens.start + 1).saturating_sub(self.window);
        first..self.position + tokens.end
    }

    /// The splits with positions that some of `tokens` see.
    fn splits(&self, tokens: &Range<usize>) -> Range<usize> {
        let visible = self.visible(tokens);
        visible.start / SPLIT..visible.end.div_ceil(SPLIT)
    }

    fn unit(&self, tokens: Range<usize>, head: usize) -> Unit<'a> {
        Unit {
            cache: self.cache,
            head,
            q: self.q,
            tokens: tokens.clone(),
            position: self.position + tokens.start,
            group: self.group,
            scale: self.scale,
            window: self.window,
            cap: self.cap,
            sinks: self
                .sinks
                .map(|sinks| &sinks[head * self.group..][..self.group]),
        }
    }

    /// The unit that an output tile is for.
    fn unit_of(&self, tile: &TileMut<'_>) -> Unit<'a> {
        let width = self.group * self.cache.head_dim_v();
        self.unit(tile.rows(), tile.cols().start / width)
    }

    /// Its tokens in tiles of `len`, as [`Region::tiles`] cuts them.
    fn tiles(&self, len: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let tokens = self.tokens;
        let starts = (0..tokens).step_by(len);
        starts.map(move |start| start..tokens.min(start + len))
    }
}

/// Attention of the tokens of `seqs`, whose rows follow one another in `q`
/// (`[tokens, n_head · head_dim_k]`) and `out` (`[tokens, n_head ·
/// head_dim_v]`).
///
/// # Panics
///
/// If shapes do not fit, or a sequence has positions that are not in its cache.
pub fn attention(
    region: &Region<'_>,
    isa: Isa,
    workspace: &mut Workspace,
    out: &mut [f32],
    q: &[f32],
    seqs: &[AttentionSeq<'_>],
    heads: &Heads<'_>,
) {
    let Some(first) = seqs.first() else {
        assert!(out.is_empty() && q.is_empty(), "rows of no sequence");
        return;
    };
    let (n_head, n_head_kv) = (heads.n_head, first.cache.n_head_kv());
    assert!(
        n_head > 0 && n_head.is_multiple_of(n_head_kv),
        "{n_head} query heads for {n_head_kv} of keys"
    );
    assert_ne!(heads.window, Some(0), "a window of no positions");
    let sinks = heads.sinks.map_or(n_head, <[f32]>::len);
    assert_eq!(sinks, n_head, "a sink for each query head");
    let group = n_head / n_head_kv;
    let (dim_k, dim_v) = (first.cache.head_dim_k(), first.cache.head_dim_v());

    let mut sequences = Vec::with_capacity(seqs.len());
    let mut outs = Vec::with_capacity(seqs.len());
    let (mut rows, mut q_left, mut out_left) = (0, q, out);
    for seq in seqs {
        let cache = seq.cache;
        assert_eq!(
            (cache.n_head_kv(), cache.head_dim_k(), cache.head_dim_v()),
            (n_head_kv, dim_k, dim_v),
            "heads of the caches"
        );
        assert!(
            seq.position + seq.tokens <= cache.len(),
            "{} tokens from position {} on, {} positions in the cache",
            seq.tokens,
            seq.position,
            cache.len()
        );
        assert_eq!(seq.first_row, rows, "rows follow one another");
        rows += seq.tokens;
        let (q, q_rest) = q_left.split_at(seq.tokens * n_head * dim_k);
        let (out, out_rest) = out_left.split_at_mut(seq.tokens * n_head * dim_v);
        (q_left, out_left) = (q_rest, out_rest);
        if seq.tokens == 0 {
            continue;
        }
        sequences.push(Sequence {
            cache,
            q,
            tokens: seq.tokens,
            position: seq.position,
            group,
            scale: heads.scale,
            window: heads.window.unwrap_or(usize::MAX),
            sinks: heads.sinks,
            cap: heads.cap,
        });
        outs.push(MatMut::new(out, seq.tokens));
    }
    assert!(
        q_left.is_empty() && out_left.is_empty(),
        "{} values of q and {} of out beyond the sequences' rows",
        q_left.len(),
        out_left.len()
    );
    if sequences.is_empty() {
        return;
    }

    let step = ((TILE_ROWS / group).max(1), group * dim_v);
    let whole_units: usize = sequences.iter().map(|s| s.tiles(step.0).count()).sum();
    let deep = sequences.iter().any(|s| s.splits(&(0..s.tokens)).len() > 1);
    if !deep || whole_units * n_head_kv >= 8 * region.threads() {
        region.tiles(
            &mut outs,
            |_| step,
            &mut workspace.threads,
            |scratch, seq, mut tile| {
                let sequence = &sequences[seq];
                let unit = sequence.unit_of(&tile);
                let splits = sequence.splits(&tile.rows());
                unit.all_splits(isa, splits, scratch, &mut tile);
            },
        );
    } else {
        by_split(region, isa, workspace, &sequences, &mut outs, step);
    }
}

/// Each split a unit of its own, then everything combined.
fn by_split(
    region: &Region<'_>,
    isa: Isa,
    workspace: &mut Workspace,
    sequences: &[Sequence<'_>],
    outs: &mut [MatMut<'_>],
    step: (usize, usize),
) {
    let cache = sequences[0].cache;
    let (heads, group) = (cache.n_head_kv(), sequences[0].group);
    let state_len = state_len(step.0 * group, cache.head_dim_v().div_ceil(LANES));
    // Sequence, tile, head and split of each unit, splits innermost; and where
    // the units of a sequence's tile begin.
    let mut units = Vec::new();
    let mut first_unit = Vec::new();
    for (index, sequence) in sequences.iter().enumerate() {
        let mut firsts = Vec::new();
        for tokens in sequence.tiles(step.0) {
            firsts.push(units.len());
            let splits = sequence.splits(&tokens);
            for head in 0..heads {
                units.extend(splits.clone().map(|s| (index, tokens.clone(), head, s)));
            }
        }
        first_unit.push(firsts);
    }

    let Workspace { threads, partial } = workspace;
    let partial_len = units.len() * state_len;
    if partial.len() < partial_len {
        partial.resize(partial_len, 0.0);
    }
    let partial = &mut partial[..partial_len];
    let mut states = [MatMut::new(partial, units.len())];
    region.tiles(
        &mut states,
        |_| (1, state_len),
        threads,
        |scratch, _, mut tile| {
            let (seq, tokens, head, split) = units[tile.rows().start].clone();
            let unit = sequences[seq].unit(tokens, head);
            unit.one_split(isa, split, scratch, tile.row(tile.rows().start));
        },
    );
    let partial = &*partial;
    region.tiles(
        outs,
        |_| step,
        threads,
        |scratch, seq, mut tile| {
            let sequence = &sequences[seq];
            let unit = sequence.unit_of(&tile);
            let splits = sequence.splits(&tile.rows());
            let first = first_unit[seq][tile.rows().start / step.0] + unit.head * splits.len();
            let states = &partial[first * state_len..][..splits.len() * state_len];
            unit.combine(
                isa,
                splits,
                states.chunks_exact(state_len),
                scratch,
                &mut tile,
            );
        },
    );
}

#[cfg(test)]
mod tests;
