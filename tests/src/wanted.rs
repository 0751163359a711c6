//! Steps of several sequences that want different logits.

use firstlight::{KvFormat, Model, Sequence, Wanted};

/// Tokens of each sequence in the first step: enough together for a panel.
const FIRST: [usize; 3] = [5, 1, 13];
/// All of them: the largest step.
pub const MOST: usize = FIRST[0] + FIRST[1] + FIRST[2];
/// And in the second.
const SECOND: [usize; 3] = [1, 3, 2];

/// The logits of two steps of three sequences, the first with what is `wanted` of
/// each, the second with all: what shows whether the caches are complete.
pub fn logits(model: &Model, kv: KvFormat, wanted: [Wanted; 3]) -> [Vec<f32>; 2] {
    let n_vocab = model.config().n_vocab as u32;
    let tokens = |sequence: u32| (0..16).map(move |i| (i * i * 7 + i * 3 + sequence) % n_vocab);
    let tokens: [Vec<u32>; 3] = [1, 2, 3].map(|sequence| tokens(sequence).collect());
    let mut caches = [(); 3].map(|()| model.cache(kv, 16).unwrap());
    let mut at = [0; 3];
    [(FIRST, wanted), (SECOND, [Wanted::All; 3])].map(|(counts, wanted)| {
        let sequences = caches.iter_mut().zip(&tokens).zip(at.iter_mut());
        let sequences = sequences.zip(counts).zip(wanted);
        let mut sequences: Vec<_> = sequences
            .map(|((((cache, tokens), at), count), wanted)| {
                let tokens = &tokens[*at..*at + count];
                *at += count;
                Sequence {
                    cache,
                    tokens,
                    wanted,
                }
            })
            .collect();
        model.step(&mut sequences).unwrap()
    })
}

/// Of the logits of all tokens in the first step, those that are `wanted`.
pub fn of_all(all: &[f32], n_vocab: usize, wanted: [Wanted; 3]) -> Vec<f32> {
    let mut rows = all.chunks_exact(n_vocab);
    let mut found = Vec::new();
    for (count, wanted) in FIRST.into_iter().zip(wanted) {
        let rows: Vec<_> = rows.by_ref().take(count).collect();
        let first = match wanted {
            Wanted::Nothing => count,
            Wanted::Last => count - 1,
            Wanted::All => 0,
        };
        found.extend(rows[first..].concat());
    }
    found
}

/// What is asked of the sequences.
pub const CASES: [[Wanted; 3]; 4] = {
    use Wanted::{All, Last, Nothing};
    [
        [Nothing, Last, All],
        [Last, Last, Last],
        [All, Nothing, Last],
        [Nothing, Nothing, Nothing],
    ]
};
