//! Generating text, token by token.

use super::lookup::{self, Lookup};
use super::{PROMPT_END, Session, Stats};
use crate::Error;
use crate::model::{Sequence, Wanted};
use crate::sampler::{Sampler, Sampling};
use crate::stop::StopStrings;
use crate::tokenizer::{Decode, Detokenizer};
use std::collections::VecDeque;
use std::time::Instant;

/// What is asked of a session.
#[derive(Clone, Debug)]
pub struct Request {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; by default until the model ends the text or
    /// the context is full.
    pub max_tokens: Option<usize>,
    /// Strings that end the text; they are not part of it.
    pub stop: Vec<String>,
    /// Whether special tokens written in the prompt count as such.
    pub parse_special: bool,
    /// Most tokens that are drafted at a time, up to 15, by default 15: where the text
    /// repeats itself, those that came next before are computed together with the one
    /// that they follow, as many as that makes faster. It changes no token. For what a GPU
    /// computes none are, since its sums can differ in their last bits with the number of
    /// tokens.
    pub draft_tokens: usize,
}

impl Default for Request {
    fn default() -> Self {
        Request {
            sampling: Sampling::default(),
            max_tokens: None,
            stop: Vec::new(),
            parse_special: false,
            draft_tokens: lookup::MOST,
        }
    }
}

impl Request {
    /// Whether all parameters make sense.
    ///
    /// # Errors
    ///
    /// Names the first that does not.
    pub fn check(&self) -> Result<(), Error> {
        if self.max_tokens == Some(0) {
            return Err(Error::Parameter {
                name: "the number of tokens to generate",
                expected: "at least 1",
                found: "0".to_owned(),
            });
        }
        if self.draft_tokens > lookup::MOST {
            return Err(Error::Parameter {
                name: "the number of drafted tokens",
                expected: "0 to 15",
                found: self.draft_tokens.to_string(),
            });
        }
        self.sampling.check()
    }
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it.
    EndOfText,
    /// [`Request::max_tokens`] was reached.
    MaxTokens,
    /// A stop string came.
    StopString,
    /// The context is full.
    ContextFull,
    /// The session was cancelled.
    Cancelled,
}

impl Finish {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Finish::EndOfText => "end of text",
            Finish::MaxTokens => "max tokens",
            Finish::StopString => "stop string",
            Finish::ContextFull => "context full",
            Finish::Cancelled => "cancelled",
        }
    }
}

/// A piece of generated text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The token, or `None` for text that was held back until the end.
    pub token: Option<u32>,
    /// Text that is complete with this token: may be empty while a character
    /// or a possible stop string is incomplete, and never holds half a
    /// character.
    pub text: String,
}

/// An iterator over generated text.
///
/// Dropping it stops the generation; the session keeps what was generated.
pub struct Generation<'s> {
    session: &'s mut Session,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stop: StopStrings,
    left: usize,
    finish: Option<Finish>,
    /// Where drafts come from, if there are any.
    lookup: Option<Lookup>,
}

/// What the next token is chosen from.
pub(super) enum Logits {
    All(Vec<f32>),
    Highest(Vec<(u32, f32)>),
}

impl Logits {
    /// Those of so many tokens, one by one.
    fn of_each(self, tokens: usize) -> VecDeque<Logits> {
        fn chunks<T: Clone>(values: &[T], count: usize) -> impl Iterator<Item = Vec<T>> {
            values.chunks(values.len() / count).map(<[T]>::to_vec)
        }
        match self {
            logits if tokens == 1 => VecDeque::from([logits]),
            Logits::All(logits) => chunks(&logits, tokens).map(Logits::All).collect(),
            Logits::Highest(found) => chunks(&found, tokens).map(Logits::Highest).collect(),
        }
    }
}

/// Tokens that are in the cache in case that they come next, and the logits after each.
#[derive(Default)]
pub(super) struct Ahead {
    pub tokens: VecDeque<u32>,
    pub logits: VecDeque<Logits>,
}

impl<'s> Generation<'s> {
    /// What follows the session's tokens, of which some are not computed yet.
    pub(super) fn new(
        session: &'s mut Session,
        request: &Request,
    ) -> Result<Generation<'s>, Error> {
        let tokenizer = session.model.tokenizer();
        let sampler =
            Sampler::new(&request.sampling, session.model.isa())?.without(tokenizer.suppressed());
        // The text begins here if nothing but the first token precedes it.
        let mut tokens = session.tokens.iter();
        let begins_text = tokens.all(|&token| tokenizer.is_special(token));
        let special = false;
        let has_states = session.cache.has_states();
        let most = match session.model.gpu() {
            Some(_) => 0,
            // What is computed again, and one more, must not look like a prompt's end.
            None if has_states => request.draft_tokens.min(PROMPT_END - 2),
            None => request.draft_tokens,
        };
        Ok(Generation {
            sampler,
            detokenizer: Detokenizer::new(Decode {
                begins_text,
                special,
            }),
            stop: StopStrings::new(&request.stop),
            left: request.max_tokens.unwrap_or(usize::MAX),
            finish: None,
            lookup: (most > 0).then(|| Lookup::new(most, has_states)),
            session,
        })
    }

    /// Why the text ended, once it has.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Time and tokens so far.
    pub fn stats(&self) -> Stats {
        self.session.stats
    }

    fn end(&mut self, finish: Finish) -> Option<Result<Piece, Error>> {
        self.finish = Some(finish);
        let mut text = self.stop.push(self.detokenizer.finish()).text;
        text += &self.stop.finish();
        (!text.is_empty()).then_some(Ok(Piece { token: None, text }))
    }

    /// Chooses the token that follows all so far.
    fn next_token(&mut self) -> Result<u32, Error> {
        while self.session.advance()?.is_some() {}
        let logits = match self.session.take_ahead() {
            Some(logits) => logits,
            None => self.step()?,
        };
        Ok(match logits {
            Logits::Highest(highest) => self.sampler.choose(&highest),
            Logits::All(mut logits) => self.sampler.sample(&mut logits, &self.session.tokens),
        })
    }

    /// Computes what is pending, and ahead what may follow it.
    fn step(&mut self) -> Result<Logits, Error> {
        let start = Instant::now();
        let count = self.session.pending.len();
        let cache = &mut self.session.cache;
        if count > PROMPT_END && !cache.has_states() {
            cache.mark(cache.len() + count - PROMPT_END);
        }
        let is_prompt = self.session.stats.generated_tokens == 0;
        let mut draft = match is_prompt || count > 1 {
            true => Vec::new(),
            false => self.draft(),
        };
        let computed = match self.compute(&draft) {
            // Of what is only drafted, a model may compute something that is no number.
            Err(Error::NonFinite { .. }) if !draft.is_empty() => {
                draft.clear();
                self.compute(&draft)
            }
            computed => computed,
        };
        let mut logits = computed?.of_each(1 + draft.len());
        let next = logits.pop_front().expect("logits of what was pending");
        let time = start.elapsed();
        let stats = &mut self.session.stats;
        if is_prompt {
            stats.prompt_time += time;
            stats.prompt_tokens += count;
        } else {
            stats.generation_time += time;
            stats.drafted_tokens += draft.len();
            if let Some(lookup) = &mut self.lookup {
                lookup.took(count + draft.len(), time);
            }
        }
        let tokens = draft.into();
        self.session.ahead = Ahead { tokens, logits };
        Ok(next)
    }

    /// What may come after the token that is pending: no more than has room and may be
    /// generated.
    fn draft(&mut self) -> Vec<u32> {
        let Session { cache, tokens, .. } = &*self.session;
        let room = cache.capacity() - cache.len() - 1;
        match &mut self.lookup {
            Some(lookup) => {
                lookup.read(tokens);
                lookup.draft(tokens, room.min(self.left - 1))
            }
            None => Vec::new(),
        }
    }

    /// Takes what is pending through the model, and a draft of what may follow.
    fn compute(&mut self, draft: &[u32]) -> Result<Logits, Error> {
        let session = &mut *self.session;
        let tokens = [&session.pending, draft].concat();
        let mut sequences = [Sequence {
            cache: &mut session.cache,
            tokens: &tokens,
            wanted: match draft {
                [] => Wanted::Last,
                _ => Wanted::All,
            },
        }];
        let logits = match self.sampler.deciding() {
            Some(count) => Logits::Highest(session.model.step_highest(&mut sequences, count)?),
            None => Logits::All(session.model.step(&mut sequences)?),
        };
        session.pending.clear();
        Ok(logits)
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finish.is_some() {
            return None;
        }
        if self.left == 0 {
            return self.end(Finish::MaxTokens);
        }
        let token = match self.next_token() {
            Ok(token) => token,
            Err(error) if error.is_cancelled() => return self.end(Finish::Cancelled),
            Err(error) => {
                self.finish = Some(Finish::ContextFull);
                return Some(Err(error));
            }
        };
        self.session.stats.generated_tokens += 1;
        self.left -= 1;
        if self.session.model.tokenizer().is_end(token) {
            return self.end(Finish::EndOfText);
        }
        self.session.tokens.push(token);
        self.session.pending.push(token);
        let text = self.detokenizer.push(self.session.model.tokenizer(), token);
        let released = self.stop.push(text);
        if released.stopped {
            self.finish = Some(Finish::StopString);
        } else if self.session.tokens.len() > self.session.cache.capacity() {
            // The token was chosen, but its successor has no room.
            self.session.tokens.pop();
            self.session.pending.pop();
            let rest = self.end(Finish::ContextFull);
            let mut text = released.text;
            if let Some(Ok(rest)) = rest {
                text += &rest.text;
            }
            return Some(Ok(Piece {
                token: Some(token),
                text,
            }));
        }
        Some(Ok(Piece {
            token: Some(token),
            text: released.text,
        }))
    }
}
