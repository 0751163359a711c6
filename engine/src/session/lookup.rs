//! Drafts from the text itself: what came after the same tokens before (prompt lookup
//! decoding, Saxena 2023).
//!
//! A step of few tokens takes little longer than of one, since weights are read once
//! for all of them. So tokens that may come next go through the model together with
//! the one that they follow, and those that are then chosen need no step of their own
//! (Leviathan et al., "Fast Inference from Transformers via Speculative Decoding",
//! 2023). What is chosen is not touched by that: logits of a token are the same to the
//! bit whatever else is in the step.
//!
//! ```text
//! tokens    ┄ the cat sat on the mat ┄ the cat sat
//!             └────3────┘ └──draft─┘   └────3────┘
//! ```
//!
//! The longest repetition that ends the text is found as in LZ77 (Ziv and Lempel,
//! 1977): places where a pair of tokens ends are chained, the latest first.

use std::collections::HashMap;
use std::time::Duration;

/// Most tokens that are drafted.
pub const MOST: usize = 15;

/// Places that are compared with the end of the text.
const PLACES: usize = 32;
/// As many tokens that were the same are as good as more.
const LONGEST: usize = 32;
/// Lengths of repetitions, by powers of two: 1 to 32.
const LENGTHS: usize = LONGEST.ilog2() as usize + 1;

/// Part of the difference by which what came last changes an estimate.
const HIT_RATE: f32 = 1.0 / 16.0;
const COST_RATE: f32 = 1.0 / 4.0;
/// Times what was expected that a step counts for at most: others may have had the
/// processor.
const MOST_UNEXPECTED: f32 = 1.5;

/// Finds what may come next, and how much of it is worth being computed.
pub struct Lookup {
    /// Where each pair of tokens came last: how many tokens there were with it.
    last: HashMap<[u32; 2], usize>,
    /// For each number of tokens, that at which the pair that ends them came before;
    /// 0 if it did not.
    before: Vec<usize>,
    /// The longest repetition that ends the tokens.
    found: Option<Repetition>,
    /// How often what came after a repetition came again, by its length.
    hits: [f32; LENGTHS],
    /// Seconds that a step of one token takes.
    seconds: Option<f32>,
    /// What steps with so many drafted tokens cost, where one without any costs 1.
    costs: [f32; MOST + 1],
    /// Whether a step whose draft is not accepted in full has to be computed again as far
    /// as it is.
    again: bool,
    /// Most tokens of a draft.
    most: usize,
}

/// Tokens that came before.
#[derive(Clone, Copy)]
struct Repetition {
    /// How many, or [`LONGEST`].
    len: usize,
    /// How many there were with them then.
    end: usize,
}

impl Lookup {
    /// Knows no tokens yet, and drafts up to `most`, which is up to [`MOST`]. `again`: whether
    /// a step whose draft is not accepted in full has to be computed again as far as it is,
    /// together with what comes next.
    pub fn new(most: usize, again: bool) -> Lookup {
        // Before anything is measured: the longer, the likelier; and a few tokens as on
        // processors that have been measured.
        let hit = |length| 1.0 - 1.2 / (1 + length) as f32;
        Lookup {
            last: HashMap::new(),
            before: Vec::new(),
            found: None,
            hits: std::array::from_fn(hit),
            seconds: None,
            costs: std::array::from_fn(|drafted| 1.0 + 0.12 * drafted as f32),
            again,
            most,
        }
    }

    /// Takes note of those of a text's tokens that it does not know yet.
    pub fn read(&mut self, tokens: &[u32]) {
        for len in self.before.len() + 1..=tokens.len() {
            let (tokens, next) = (&tokens[..len], tokens[len - 1]);
            if let Some(found) = self.found {
                let hit = f32::from(u8::from(tokens[found.end] == next));
                let rate = &mut self.hits[length(found.len)];
                *rate += HIT_RATE * (hit - *rate);
            }
            let pair = tokens.last_chunk();
            let before = pair.and_then(|pair| self.last.insert(*pair, len));
            self.before.push(before.unwrap_or(0));
            self.found = self.longest(tokens);
        }
    }

    /// The longest repetition of what ends the tokens, the latest of equals.
    fn longest(&self, tokens: &[u32]) -> Option<Repetition> {
        let before = |end: &usize| Some(self.before[end - 1]).filter(|&end| end > 0);
        let places = std::iter::successors(before(&tokens.len()), before);
        let repetitions = places.take(PLACES).map(|end| {
            let pairs = tokens.iter().rev().zip(tokens[..end].iter().rev());
            let len = pairs.take(LONGEST).take_while(|(a, b)| a == b).count();
            Repetition { len, end }
        });
        repetitions.reduce(|best, next| if next.len > best.len { next } else { best })
    }

    /// What may come after the tokens that were read last, for which there is so much room:
    /// as many as make tokens come fastest, if any do.
    pub fn draft(&self, tokens: &[u32], room: usize) -> Vec<u32> {
        let Some(found) = self.found.filter(|_| self.seconds.is_some()) else {
            return Vec::new();
        };
        // A repetition that reaches into what it repeats goes on repeating itself.
        let next = tokens[found.end..].iter().cycle().copied();
        next.take(self.worthwhile(found.len, room.min(self.most)))
            .collect()
    }

    /// How many tokens after a repetition of so many make tokens come fastest.
    fn worthwhile(&self, len: usize, most: usize) -> usize {
        let (mut best, mut best_speed) = (0, 1.0);
        let (mut likely, mut expected) = (1.0, 1.0);
        for drafted in 1..=most {
            likely *= self.hits[length(len + drafted - 1)];
            expected += likely;
            // The next step has as many tokens more as this one has brought.
            let again = match self.again {
                true => (1.0 - likely) * (self.costs[(expected as usize).min(MOST)] - 1.0),
                false => 0.0,
            };
            let speed = expected / (self.costs[drafted] + again);
            if speed > best_speed {
                (best, best_speed) = (drafted, speed);
            }
        }
        best
    }

    /// Takes note of how long a step of so many tokens took.
    pub fn took(&mut self, tokens: usize, time: Duration) {
        let time = time.as_secs_f32();
        let (expected, took) = match (self.costs.get_mut(tokens - 1), self.seconds) {
            (Some(_), _) if tokens == 1 => (self.seconds.get_or_insert(time), time),
            (Some(cost), Some(seconds)) => (cost, time / seconds),
            _ => return,
        };
        *expected += COST_RATE * (took.min(MOST_UNEXPECTED * *expected) - *expected);
    }
}

/// The place of a length among others.
fn length(len: usize) -> usize {
    len.min(LONGEST).ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    /// A lookup that has read these tokens and measured a step.
    fn after(tokens: &[u32]) -> Lookup {
        let mut lookup = Lookup::new(MOST, false);
        lookup.read(tokens);
        lookup.took(1, STEP);
        lookup
    }

    /// The most that it drafts if drafting costs nothing.
    fn all_drafted(tokens: &[u32], most: usize) -> Vec<u32> {
        let mut lookup = after(tokens);
        lookup.costs = [1.0; MOST + 1];
        lookup.draft(tokens, most)
    }

    #[test]
    fn what_came_after_the_longest_repetition_is_drafted() {
        //            ┌ three the same ┐     ┌ only two ┐     ┌ the end ┐
        let tokens = [1, 2, 3, 4, 50, 51, 9, 3, 4, 60, 61, 8, 2, 3, 4];
        assert_eq!(all_drafted(&tokens, 2), [50, 51]);
        assert_eq!(all_drafted(&tokens, 4), [50, 51, 9, 3]);
        assert!(all_drafted(&tokens, 0).is_empty());
    }

    #[test]
    fn of_equals_the_latest_is_drafted() {
        let tokens = [3, 4, 50, 7, 3, 4, 60, 8, 3, 4];
        assert_eq!(all_drafted(&tokens, 1), [60]);
    }

    #[test]
    fn a_period_goes_on() {
        let tokens = [9, 5, 6, 7, 5, 6, 7];
        assert_eq!(all_drafted(&tokens, 7), [5, 6, 7, 5, 6, 7, 5]);
        assert_eq!(all_drafted(&[5; 100], MOST), [5; MOST]);
    }

    #[test]
    fn without_repetition_nothing_is_drafted() {
        let tokens: Vec<u32> = (0..100).collect();
        assert!(all_drafted(&tokens, MOST).is_empty());
        assert!(all_drafted(&[7], MOST).is_empty());
        assert!(all_drafted(&[], MOST).is_empty());
    }

    #[test]
    fn reading_piece_by_piece_is_reading_at_once() {
        let tokens: Vec<u32> = (0..500_u32).map(|i| i * i % 37 % 11).collect();
        let at_once = after(&tokens);
        let mut in_pieces = after(&[]);
        for end in 0..=tokens.len() {
            in_pieces.read(&tokens[..end]);
        }
        assert_eq!(at_once.before, in_pieces.before);
        assert_eq!(at_once.hits, in_pieces.hits);
        assert_eq!(at_once.draft(&tokens, MOST), in_pieces.draft(&tokens, MOST));
    }

    /// The numbers of tokens that are drafted after a repetition of four.
    fn drafted(lookup: &Lookup) -> usize {
        lookup.worthwhile(4, MOST)
    }

    #[test]
    fn what_does_not_pay_is_not_drafted() {
        let mut lookup = after(&[1, 2, 1, 2]);
        assert!(drafted(&lookup) > 0, "at first it is tried");
        for _ in 0..100 {
            for tokens in 2..=MOST + 1 {
                // As much as if each token had its own step.
                lookup.took(tokens, STEP * tokens as u32);
            }
        }
        assert_eq!(drafted(&lookup), 0);
        for _ in 0..100 {
            lookup.took(1 + 3, STEP);
        }
        assert_eq!(drafted(&lookup), 3, "the only ones that cost nothing");
    }

    #[test]
    fn nothing_is_drafted_before_a_step_was_measured() {
        let tokens = [1, 2, 1, 2];
        let mut lookup = Lookup::new(MOST, false);
        lookup.read(&tokens);
        for tokens in [2, MOST + 1, 500] {
            lookup.took(tokens, STEP);
        }
        assert!(lookup.draft(&tokens, MOST).is_empty());
        lookup.took(1, STEP);
        assert!(!lookup.draft(&tokens, MOST).is_empty());
    }

    #[test]
    fn one_slow_step_ends_no_drafts() {
        let mut lookup = after(&[1, 2, 1, 2]);
        let before = drafted(&lookup);
        lookup.took(1 + before, STEP * 1000);
        assert!(drafted(&lookup) > 0);
        assert!(lookup.costs[before] < 1.2 * (1.0 + 0.12 * before as f32));
    }

    #[test]
    fn less_is_drafted_if_it_has_to_be_computed_again() {
        let mut lookup = after(&[1, 2, 1, 2]);
        let once = drafted(&lookup);
        lookup.again = true;
        assert!((1..once).contains(&drafted(&lookup)), "{once}");
        lookup.hits = [1.0; LENGTHS];
        assert_eq!(drafted(&lookup), MOST, "what is always right never is");
    }

    #[test]
    fn more_is_drafted_of_text_that_repeats_itself() {
        let repeating: Vec<u32> = (0..400).map(|i| i % 10).collect();
        // Pairs come again, but never the same after them.
        let changing: Vec<u32> = (0..400_u32).flat_map(|i| [1, 2, 3, 4, 100 + i]).collect();
        let (repeating, changing) = (after(&repeating), after(&changing));
        let one = |lookup: &Lookup| lookup.hits[length(4)];
        assert!(one(&changing) < 0.01, "{}", one(&changing));
        assert_eq!(drafted(&changing), 0);
        assert!(repeating.hits[length(LONGEST)] > 0.99);
        assert_eq!(repeating.worthwhile(LONGEST, MOST), MOST);
    }
}
