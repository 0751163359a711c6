//! Running tests on a model: checked first, then timed.

use crate::inventory::CHUNK;
use crate::memory::Peak;
use crate::plan::{Kind, Test};
use crate::progress;
use firstlight::backend::profile::GpuProfile;
use firstlight::{KvCache, KvFormat, Model, Sequence, Wanted};
use std::error::Error;
use std::time::Instant;

/// A test and what came out.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The test.
    pub test: Test,
    /// Time of each repetition.
    pub seconds: Vec<f64>,
    /// Memory during the test.
    pub memory: Peak,
    /// Where the GPU's time went, if that was asked for.
    pub profile: Option<GpuProfile>,
}

/// Measures tests, one after the other.
///
/// # Errors
///
/// If the model does not compute the same whatever the chunking, batch or
/// repetition, or computes what is no number: such a figure is worth nothing.
pub fn run(
    model: &Model,
    kv: KvFormat,
    tests: &[Test],
    repetitions: usize,
) -> Result<Vec<Measured>, Box<dyn Error>> {
    let tokens = |test: &Test| test.depth + test.tokens;
    let context = tests.iter().map(tokens).max().unwrap_or(0);
    let batch = tests.iter().map(|test| test.batch).max().unwrap_or(1);
    check(model, kv, batch)?;
    check_memory(model, kv, tests)?;
    let mut bench = Bench {
        model,
        kv,
        context,
        caches: Vec::new(),
    };
    let progress = progress::steps("", (tests.len() * (repetitions + 1)) as u64);
    let mut measured = Vec::new();
    for &test in tests {
        progress.set_message(test.to_string());
        let mut memory = Peak::begin();
        bench.fill(test)?;
        // Once untimed: buffers are made, pages are mapped.
        let warm_up = Test {
            tokens: test.tokens.min(match test.kind {
                Kind::Prompt => CHUNK,
                Kind::Generation => 2,
            }),
            ..test
        };
        bench.once(warm_up)?;
        progress.inc(1);
        // Of what came before, nothing is of interest.
        let take_profile = || model.gpu().and_then(|(gpu, _)| gpu.take_profile());
        take_profile();
        let mut seconds = Vec::with_capacity(repetitions);
        let mut first = None;
        for repetition in 1..=repetitions {
            let (time, logits) = bench.once(test)?;
            seconds.push(time);
            let first = first.get_or_insert_with(|| logits.clone());
            if *first != logits {
                return Err(format!(
                    "{test}: repetition {repetition} computed other logits than the first"
                )
                .into());
            }
            progress.inc(1);
        }
        memory.sample();
        measured.push(Measured {
            test,
            seconds,
            memory,
            profile: take_profile(),
        });
    }
    progress.finish_and_clear();
    Ok(measured)
}

/// The token at a place of a sequence: any, but always the same.
fn token(model: &Model, sequence: usize, position: usize) -> u32 {
    let mixed = (sequence * 7919 + position + 1).wrapping_mul(0x9E37_79B9) >> 7;
    (mixed % model.config().n_vocab) as u32
}

fn tokens(model: &Model, sequence: usize, positions: std::ops::Range<usize>) -> Vec<u32> {
    positions
        .map(|position| token(model, sequence, position))
        .collect()
}

struct Bench<'m> {
    model: &'m Model,
    kv: KvFormat,
    context: usize,
    caches: Vec<KvCache>,
}

impl Bench<'_> {
    /// Brings the caches of a test to its depth.
    fn fill(&mut self, test: Test) -> Result<(), firstlight::Error> {
        while self.caches.len() < test.batch {
            self.caches.push(self.model.cache(self.kv, self.context)?);
        }
        for (sequence, cache) in self.caches.iter_mut().enumerate().take(test.batch) {
            cache.truncate(test.depth);
            while cache.len() < test.depth {
                let end = test.depth.min(cache.len() + CHUNK);
                let tokens = tokens(self.model, sequence, cache.len()..end);
                self.model.step(&mut [Sequence {
                    cache,
                    tokens: &tokens,
                    wanted: Wanted::Nothing,
                }])?;
            }
            cache.mark(cache.len());
        }
        Ok(())
    }

    /// Runs a test once. Returns its time in seconds and the last logits, which
    /// are the highest only where a GPU selects these, as it does for `generate`;
    /// the caches are as before.
    fn once(&mut self, test: Test) -> Result<(f64, Vec<f32>), firstlight::Error> {
        let caches = &mut self.caches[..test.batch];
        let text: Vec<Vec<u32>> = (0..test.batch)
            .map(|sequence| tokens(self.model, sequence, test.depth..test.depth + test.tokens))
            .collect();
        let chunk = match test.kind {
            Kind::Prompt => CHUNK,
            Kind::Generation => 1,
        };
        let selects = self.model.gpu().is_some_and(|(_, placed)| placed.output);
        let mut logits = Vec::new();
        let start = Instant::now();
        for from in (0..test.tokens).step_by(chunk) {
            let to = test.tokens.min(from + chunk);
            // Of a prompt only the last token's logits are of use.
            let wanted = match test.kind {
                Kind::Prompt if to < test.tokens => Wanted::Nothing,
                _ => Wanted::Last,
            };
            let mut sequences: Vec<Sequence<'_>> = caches
                .iter_mut()
                .zip(&text)
                .map(|(cache, text)| Sequence {
                    cache,
                    tokens: &text[from..to],
                    wanted,
                })
                .collect();
            logits = match test.kind == Kind::Generation && selects {
                true => {
                    let highest = self.model.step_highest(&mut sequences, 1)?;
                    highest.into_iter().map(|(_, logit)| logit).collect()
                }
                false => self.model.step(&mut sequences)?,
            };
        }
        let seconds = start.elapsed().as_secs_f64();
        for cache in caches {
            cache.truncate(test.depth);
        }
        Ok((seconds, logits))
    }
}

/// Whether the model computes the same for a prompt at once and in pieces, and
/// alone and beside others. That it computes numbers is checked at every step.
fn check(model: &Model, kv: KvFormat, batch: usize) -> Result<(), Box<dyn Error>> {
    const TOKENS: usize = 19;
    let text = tokens(model, 0, 0..TOKENS);
    let run = |chunk: usize| {
        let mut cache = model.cache(kv, TOKENS)?;
        let mut logits = Vec::new();
        for tokens in text.chunks(chunk) {
            logits = model.step(&mut [Sequence {
                cache: &mut cache,
                tokens,
                wanted: Wanted::Last,
            }])?;
        }
        Ok::<_, firstlight::Error>(logits)
    };
    let whole = run(TOKENS)?;
    let (low, high) = whole
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
    if low >= high {
        return Err(format!("all logits are {low}: the model computes nothing").into());
    }
    let in_pieces = difference(&run(8)?, &whole);
    if in_pieces > bound(model) {
        return Err(format!(
            "a prompt in pieces gives other logits than at once: NMSE {in_pieces:.1e}"
        )
        .into());
    }
    if batch > 1 {
        let mut caches = (0..batch)
            .map(|_| model.cache(kv, TOKENS))
            .collect::<Result<Vec<_>, _>>()?;
        let mut sequences: Vec<Sequence<'_>> = caches
            .iter_mut()
            .map(|cache| Sequence {
                cache,
                tokens: &text,
                wanted: Wanted::Last,
            })
            .collect();
        let together = model.step(&mut sequences)?;
        let differences = together
            .chunks(whole.len())
            .map(|logits| difference(logits, &whole));
        let most = differences.fold(0.0, f64::max);
        if most > bound(model) {
            return Err(format!(
                "{batch} sequences at once give other logits than one alone: NMSE {most:.1e}"
            )
            .into());
        }
    }
    Ok(())
}

/// How far two computations of the same logits may differ: not at all on the CPU.
/// A GPU adds in another order for another number of tokens, and random weights
/// make much of a last bit: a cache in f16 instead of f32 changes the logits of a
/// synthetic model by 2e-3. What is computed wrongly differs by about 1.
fn bound(model: &Model) -> f64 {
    match model.gpu() {
        None => 0.0,
        Some(_) => 0.05,
    }
}

/// Normalized mean squared error.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let pairs = found.iter().zip(expected);
    let error: f64 = pairs
        .map(|(found, expected)| square(found - expected))
        .sum();
    let nmse = error / expected.iter().copied().map(square).sum::<f64>();
    match nmse.is_nan() {
        true => f64::INFINITY,
        false => nmse,
    }
}

/// Refuses caches that together exceed the memory.
fn check_memory(model: &Model, kv: KvFormat, tests: &[Test]) -> Result<(), String> {
    let config = model.config();
    let needed = |test: &Test| {
        let tokens = test.depth + test.tokens;
        let of_one = KvCache::bytes_in_memory(config, kv, 0..config.n_layer, tokens);
        of_one.saturating_mul(test.batch as u64)
    };
    let most = tests.iter().max_by_key(|test| needed(test));
    if let (Some(test), Some(available)) = (most, firstlight::machine::available_memory()) {
        let needed = needed(test);
        if needed > available {
            return Err(format!(
                "{test}: the caches need {needed} bytes, but only {available} bytes of memory are available"
            ));
        }
    }
    Ok(())
}
