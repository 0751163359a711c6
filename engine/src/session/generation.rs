//! Generating text, token by token.

use super::{PROMPT_END, Session, Stats};
use crate::Error;
use crate::model::{Sequence, Wanted};
use crate::sampler::{Sampler, Sampling};
use crate::stop::StopStrings;
use crate::tokenizer::{Decode, Detokenizer};
use std::time::Instant;

/// What is asked of a session.
#[derive(Clone, Debug, Default)]
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
}

/// What the next token is chosen from.
enum Logits {
    All(Vec<f32>),
    Highest(Vec<(u32, f32)>),
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
        Ok(Generation {
            sampler,
            detokenizer: Detokenizer::new(Decode {
                begins_text,
                special,
            }),
            stop: StopStrings::new(&request.stop),
            left: request.max_tokens.unwrap_or(usize::MAX),
            finish: None,
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

    /// Computes what is pending and chooses the token that follows.
    fn next_token(&mut self) -> Result<u32, Error> {
        while self.session.advance()?.is_some() {}
        let start = Instant::now();
        let count = self.session.pending.len();
        let cache = &mut self.session.cache;
        if count > PROMPT_END && !cache.has_states() {
            cache.mark(cache.len() + count - PROMPT_END);
        }
        let logits = self.session.compute(count, |model, tokens, cache| {
            let mut sequences = [Sequence {
                cache,
                tokens,
                wanted: Wanted::Last,
            }];
            Ok(match self.sampler.deciding() {
                Some(count) => Logits::Highest(model.step_highest(&mut sequences, count)?),
                None => Logits::All(model.step(&mut sequences)?),
            })
        })?;
        let stats = &mut self.session.stats;
        if stats.generated_tokens == 0 {
            stats.prompt_time += start.elapsed();
            stats.prompt_tokens += count;
        } else {
            stats.generation_time += start.elapsed();
        }
        Ok(match logits {
            Logits::Highest(highest) => self.sampler.choose(&highest),
            Logits::All(mut logits) => self.sampler.sample(&mut logits, &self.session.tokens),
        })
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
