//! A session: one conversation with a model.

mod generation;
mod lookup;

pub use generation::{Finish, Generation, Piece, Request};

use crate::Error;
use crate::cache::{KvCache, KvFormat, STEP};
use crate::cancel::Cancel;
use crate::model::{Model, Sequence, Wanted};
use crate::tokenizer::Encode;
use generation::{Ahead, Logits};
use std::time::{Duration, Instant};

/// Prompt tokens that go through the model at a time. Does not change what
/// comes out; short enough that progress can be shown and work be cancelled.
const PROMPT_CHUNK: usize = STEP;

/// Tokens of a prompt's end before which a cache can be cut that cannot be cut
/// anywhere: more than what chat templates put before an answer.
const PROMPT_END: usize = 16;

/// How a session is set up.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Tokens the session can hold; by default what the model was trained for,
    /// or less if memory does not suffice.
    pub context: Option<usize>,
    /// Format of the key-value cache.
    pub kv: KvFormat,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            context: None,
            kv: KvFormat::F16,
        }
    }
}

/// Time and tokens of a session's latest request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Time they took.
    pub prompt_time: Duration,
    /// Tokens generated.
    pub generated_tokens: usize,
    /// Time they took, the first excluded: it comes out of the prompt.
    pub generation_time: Duration,
    /// Tokens that were drafted: computed in case that they come next.
    pub drafted_tokens: usize,
    /// Those of them that came.
    pub accepted_tokens: usize,
}

impl Stats {
    /// Prompt tokens per second.
    pub fn prompt_speed(&self) -> f64 {
        speed(self.prompt_tokens, self.prompt_time)
    }

    /// Generated tokens per second.
    pub fn generation_speed(&self) -> f64 {
        speed(
            self.generated_tokens.saturating_sub(1),
            self.generation_time,
        )
    }
}

fn speed(tokens: usize, time: Duration) -> f64 {
    if tokens == 0 {
        0.0
    } else {
        tokens as f64 / time.as_secs_f64().max(1e-9)
    }
}

/// A conversation: tokens, their cache, and what comes next.
pub struct Session {
    model: Model,
    cache: KvCache,
    /// Tokens that are not in the cache yet.
    pending: Vec<u32>,
    /// All tokens so far.
    tokens: Vec<u32>,
    /// What follows them in the cache.
    ahead: Ahead,
    stats: Stats,
    cancel: Cancel,
}

impl Session {
    pub(crate) fn new(model: Model, options: &SessionOptions) -> Result<Session, Error> {
        let trained = model.config().context_length;
        let cache = match options.context {
            Some(context) => {
                if context == 0 || context > 1 << 30 {
                    return Err(Error::Parameter {
                        name: "the context",
                        expected: "1 to 1073741824 tokens",
                        found: context.to_string(),
                    });
                }
                model.cache(options.kv, context)?
            }
            None => {
                // Half of the memory at most, unless asked for.
                let bytes = crate::machine::available_memory().map_or(u64::MAX, |bytes| bytes / 2);
                let fits = KvCache::fits(model.config(), options.kv, bytes, trained);
                model.cache(options.kv, fits.max(1))?
            }
        };
        let cancel = Cancel::default();
        Ok(Session {
            model: model.cancelled_by(cancel.clone()),
            cache,
            pending: Vec::new(),
            tokens: Vec::new(),
            ahead: Ahead::default(),
            stats: Stats::default(),
            cancel,
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Tokens the session can hold.
    pub fn context(&self) -> usize {
        self.cache.capacity()
    }

    /// All tokens so far, those not yet computed included.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Time and tokens of the latest request.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What stops this session's work, from any thread: a text then ends with
    /// [`Finish::Cancelled`], [`Session::advance`] with an error. Nothing that
    /// was computed is lost.
    pub fn canceller(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Adds text. At the start of a session the model's first token precedes
    /// it.
    ///
    /// # Errors
    ///
    /// If the context cannot hold it: nothing is ever cut off.
    pub fn feed(&mut self, text: &str, parse_special: bool) -> Result<(), Error> {
        let add_special = self.tokens.is_empty();
        let tokenizer = self.model.tokenizer();
        let mut tokens = tokenizer.encode(
            text,
            Encode {
                add_special: false,
                parse_special,
            },
        );
        if add_special
            && tokenizer.adds_bos()
            && let Some(bos) = tokenizer.bos()
        {
            tokens.insert(0, bos);
        }
        self.feed_tokens(&tokens)
    }

    /// Adds tokens.
    ///
    /// # Errors
    ///
    /// As [`Session::feed`].
    pub fn feed_tokens(&mut self, tokens: &[u32]) -> Result<(), Error> {
        let (prompt, context) = (self.tokens.len() + tokens.len(), self.cache.capacity());
        if prompt > context {
            return Err(Error::PromptTooLong { prompt, context });
        }
        self.forget_ahead();
        self.pending.extend_from_slice(tokens);
        self.tokens.extend_from_slice(tokens);
        Ok(())
    }

    /// Makes these the session's tokens, of which those that were computed already
    /// and are the same so far are not computed again.
    ///
    /// # Errors
    ///
    /// If the context cannot hold them: nothing is ever cut off. The session is
    /// then as before.
    pub fn replace_tokens(&mut self, tokens: &[u32]) -> Result<(), Error> {
        let (prompt, context) = (tokens.len(), self.cache.capacity());
        if prompt > context {
            return Err(Error::PromptTooLong { prompt, context });
        }
        self.forget_ahead();
        let same = self.tokens.iter().zip(tokens).take_while(|(a, b)| a == b);
        // The last one has to be computed for what follows it.
        let kept = same
            .count()
            .min(self.cache.len())
            .min(prompt.saturating_sub(1));
        let kept = self.cache.truncate(kept);
        self.pending = tokens[kept..].to_vec();
        self.tokens = tokens.to_vec();
        self.stats = Stats::default();
        Ok(())
    }

    /// Computes part of what was fed, if it is much, and always leaves the end
    /// of it to the first generated token. Returns how many tokens remain, or
    /// `None` if nothing was done.
    ///
    /// Calling this is optional: it is for those who want to show progress.
    pub fn advance(&mut self) -> Result<Option<usize>, Error> {
        let mut count = PROMPT_CHUNK;
        if self.cache.has_states() {
            // What comes next may differ from the end of this, and then has something
            // to go on from.
            count = count.min(self.pending.len().saturating_sub(PROMPT_END));
            if self.pending.len() == PROMPT_END {
                self.cache.mark(self.cache.len());
            }
        }
        if self.pending.len() <= count || count == 0 {
            return Ok(None);
        }
        let start = Instant::now();
        self.model.step(&mut [Sequence {
            cache: &mut self.cache,
            tokens: &self.pending[..count],
            wanted: Wanted::Nothing,
        }])?;
        self.pending.drain(..count);
        self.stats.prompt_time += start.elapsed();
        self.stats.prompt_tokens += count;
        Ok(Some(self.pending.len()))
    }

    /// The logits after the token that is pending, if it was drafted before. Otherwise
    /// what was drafted is forgotten.
    fn take_ahead(&mut self) -> Option<Logits> {
        let drafted = self.ahead.tokens.front().copied();
        if self.pending != drafted.as_slice() {
            self.forget_ahead();
            return None;
        }
        self.pending.clear();
        self.stats.accepted_tokens += 1;
        self.ahead.tokens.pop_front();
        self.ahead.logits.pop_front()
    }

    /// Takes what was drafted, and not chosen, out of the cache. Where layers have states,
    /// those of before the draft are all there is to go on from.
    fn forget_ahead(&mut self) {
        let drafted = std::mem::take(&mut self.ahead).tokens.len();
        if drafted > 0 {
            let len = self.cache.len() - drafted;
            let kept = self.cache.truncate(len);
            let again = self.tokens[kept..len].iter().copied();
            self.pending.splice(0..0, again);
        }
    }

    /// Adds a prompt and generates what follows, token by token.
    ///
    /// # Errors
    ///
    /// If the prompt does not fit, or a parameter makes no sense.
    pub fn generate(&mut self, prompt: &str, request: &Request) -> Result<Generation<'_>, Error> {
        request.check()?;
        if self.pending.is_empty() {
            self.stats = Stats::default();
        }
        self.feed(prompt, request.parse_special)?;
        self.resume(request)
    }

    /// Generates what follows the tokens so far.
    ///
    /// # Errors
    ///
    /// If there are none, or a parameter makes no sense.
    pub fn resume(&mut self, request: &Request) -> Result<Generation<'_>, Error> {
        request.check()?;
        if self.pending.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        // Its logits may be others than this request asks for.
        self.forget_ahead();
        Generation::new(self, request)
    }
}
