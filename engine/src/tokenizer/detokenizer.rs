//! Token ids to text, at once or as they come.

use super::Tokenizer;

/// How tokens are turned into text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decode {
    /// The tokens begin a text: the space that encoding put before it is taken away again. Not for the continuation of a
    /// prompt, whose first space is its own.
    pub begins_text: bool,
    /// Control and unknown tokens are written out as they stand in the vocabulary. Without it they print as nothing.
    pub special: bool,
}

/// Turns tokens into text as they come, holding back the bytes of a character until it is complete.
///
/// What can be no UTF-8 becomes U+FFFD, as `String::from_utf8_lossy` has it, so the pieces make up exactly what
/// [`Tokenizer::decode`] returns.
#[derive(Clone, Debug, Default)]
pub struct Detokenizer {
    options: Decode,
    /// Bytes of the last token that begin a character.
    pending: Vec<u8>,
    text: String,
}

impl Detokenizer {
    /// A detokenizer at the start of its output.
    pub fn new(options: Decode) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// The text that becomes certain with one more token; empty while a character is incomplete.
    ///
    /// # Panics
    /// If the token is not of the vocabulary.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> &str {
        let held = self.pending.len();
        tokenizer.append_bytes(token, self.options.special, &mut self.pending);
        if self.options.begins_text && self.pending.len() > held {
            self.options.begins_text = false;
            if tokenizer.adds_space_prefix() && self.pending[held] == b' ' {
                self.pending.remove(held);
            }
        }
        self.text.clear();
        let mut done = 0;
        for chunk in self.pending.utf8_chunks() {
            self.text.push_str(chunk.valid());
            done += chunk.valid().len();
            let invalid = chunk.invalid();
            let at_end = done + invalid.len() == self.pending.len();
            if invalid.is_empty() || at_end && may_continue(invalid) {
                break;
            }
            self.text.push(char::REPLACEMENT_CHARACTER);
            done += invalid.len();
        }
        self.pending.drain(..done);
        &self.text
    }

    /// What is held back when there are no more tokens: U+FFFD for an incomplete character, else nothing.
    pub fn finish(&mut self) -> &str {
        self.text.clear();
        if !self.pending.is_empty() {
            self.pending.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        &self.text
    }
}

/// Whether bytes that are no UTF-8 would be with more after them.
fn may_continue(invalid: &[u8]) -> bool {
    std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none())
}
