//! Conversations with models that were trained for them.
//!
//! ```text
//!   messages ─▶ template of the file ─▶ text ─▶ tokens ─▶ session ─▶ answer ─┐
//!      ▲                                                                     │
//!      └─────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The whole conversation is rendered anew for every turn, as templates expect;
//! the session keeps what is the same of its tokens, so nothing is computed
//! twice. What was written to the model cannot end its own turn or pass for
//! another's: see [`guard`].

mod guard;
mod json;
mod template;

#[cfg(test)]
mod tests;

pub use template::{ChatError, ChatTemplate, Rendering};

use crate::Error;
use crate::session::{Finish, Generation, Piece, Request, Session};
use crate::tokenizer::Tokenizer;
use minijinja::Value;

/// The metadata key of a file's template.
pub const TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it: `system`, `user` or `assistant`.
    pub role: Role,
    /// The text.
    pub content: String,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whoever tells the model how to behave.
    System,
    /// Whoever talks with the model.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name that templates know.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// A conversation with a model.
///
/// ```no_run
/// use firstlight::chat::Chat;
/// use firstlight::{Model, ModelOptions, Request, SessionOptions};
///
/// let model = Model::open("model.gguf", &ModelOptions::default())?;
/// let session = model.session(&SessionOptions::default())?;
/// let mut chat = Chat::new(session, model.chat_template()?);
/// chat.instruct("Answer in one sentence.");
/// for question in ["Why is the sky blue?", "And at dusk?"] {
///     chat.say(question)?;
///     for piece in chat.answer(&Request::default())? {
///         print!("{}", piece?.text);
///     }
/// }
/// # Ok::<(), firstlight::Error>(())
/// ```
pub struct Chat {
    session: Session,
    template: ChatTemplate,
    messages: Vec<Message>,
}

impl Chat {
    /// With nothing said yet.
    pub fn new(session: Session, template: ChatTemplate) -> Chat {
        Chat {
            session,
            template,
            messages: Vec::new(),
        }
    }

    /// Tells the model how to behave.
    pub fn instruct(&mut self, text: &str) {
        self.push(Role::System, text.to_owned());
    }

    /// Says something to the model.
    ///
    /// # Errors
    ///
    /// If the template cannot render the conversation or the context cannot hold
    /// it; the conversation is then as before.
    pub fn say(&mut self, text: &str) -> Result<(), Error> {
        self.push(Role::User, text.to_owned());
        let fed = self.feed();
        if fed.is_err() {
            self.messages.pop();
        }
        fed
    }

    /// What the model says to that. Dropping the answer ends it; what there is of
    /// it stays in the conversation.
    ///
    /// # Errors
    ///
    /// If a parameter makes no sense, or nothing was said.
    pub fn answer(&mut self, request: &Request) -> Result<Answer<'_>, Error> {
        Ok(Answer {
            generation: self.session.resume(request)?,
            messages: &mut self.messages,
            text: String::new(),
        })
    }

    /// What was said so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The session that computes.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn push(&mut self, role: Role, content: String) {
        self.messages.push(Message { role, content });
    }

    /// Hands the conversation to the session.
    fn feed(&mut self) -> Result<(), Error> {
        let tokenizer = self.session.model().tokenizer();
        let messages: Value = self.messages.iter().map(as_value).collect();
        let tokens = prompt(&self.template, tokenizer, messages)?;
        self.session.replace_tokens(&tokens)
    }
}

/// A message as templates see it.
fn as_value(message: &Message) -> Value {
    let Message { role, content } = message;
    Value::from_iter([("role", role.name()), ("content", content)])
}

/// The tokens of a conversation that the model is to go on with.
fn prompt(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    messages: Value,
) -> Result<Vec<u32>, Error> {
    let guarded = guard::messages(&messages, tokenizer);
    let text = template.render_values(guarded, &Rendering::for_tokenizer(tokenizer))?;
    let parts = guard::parts(&text).map(|(part, is_guarded)| (part, !is_guarded));
    let mut tokens = tokenizer.encode_parts(parts);
    // Many templates write it themselves.
    if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.adds_bos())
        && tokens.first() != Some(&bos)
    {
        tokens.insert(0, bos);
    }
    Ok(tokens)
}

/// An iterator over the model's answer.
pub struct Answer<'c> {
    generation: Generation<'c>,
    messages: &'c mut Vec<Message>,
    text: String,
}

impl<'c> Answer<'c> {
    /// How the answer is being generated.
    pub fn generation(&self) -> &Generation<'c> {
        &self.generation
    }

    /// Why it ended, once it has.
    pub fn finish(&self) -> Option<Finish> {
        self.generation.finish()
    }
}

impl Iterator for Answer<'_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.generation.next()?;
        if let Ok(piece) = &piece {
            self.text += &piece.text;
        }
        Some(piece)
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.messages.push(Message {
            role: Role::Assistant,
            content: std::mem::take(&mut self.text),
        });
    }
}
