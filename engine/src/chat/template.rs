//! Chat templates: programs in Jinja that a file carries and that turn messages
//! into the text which its model was trained on.
//!
//! They are meant for Python's jinja2 with blocks trimmed, the methods of
//! Python's strings and dictionaries, `raise_exception`, `strftime_now`, and
//! JSON as Python writes it. They come with the model, so they are not trusted:
//! steps, depth and output are limited.

use super::json;
use crate::tokenizer::Tokenizer;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Value, context};
use std::io::{self, Write};
use std::time::SystemTime;

/// Instructions that a rendering may take. A conversation of a thousand messages
/// takes some hundred thousand.
const STEPS: u64 = 50_000_000;

/// Bytes of text that a rendering may produce.
const OUTPUT_BYTES: usize = 64 << 20;

/// The one template of an environment.
const NAME: &str = "chat template";

/// Why a conversation has no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages document the variants
pub enum ChatError {
    #[error("the model has no chat template")]
    Missing,
    #[error("the chat template cannot be read: {reason}")]
    Syntax { reason: String },
    #[error("the chat template refuses the conversation: {reason}")]
    Refused { reason: String },
    #[error("the chat template fails: {reason}")]
    Rendering { reason: String },
    #[error("expected messages as a JSON list of objects: {reason}")]
    Messages { reason: String },
}

/// What a template gets beside the messages.
#[derive(Clone, Debug)]
pub struct Rendering {
    /// The text of the token that begins a text.
    pub bos: String,
    /// The text of the token that ends a text.
    pub eos: String,
    /// Whether the text ends where the model's next message begins.
    pub add_generation_prompt: bool,
    /// What `strftime_now` tells, in UTC.
    pub now: SystemTime,
}

impl Default for Rendering {
    fn default() -> Self {
        Rendering {
            bos: String::new(),
            eos: String::new(),
            add_generation_prompt: true,
            now: SystemTime::now(),
        }
    }
}

impl Rendering {
    /// With the texts of a vocabulary's tokens.
    pub fn for_tokenizer(tokenizer: &Tokenizer) -> Rendering {
        let text = |token: Option<u32>| match token {
            Some(token) => tokenizer.token_text(token).into_owned(),
            None => String::new(),
        };
        Rendering {
            bos: text(tokenizer.bos()),
            eos: text(tokenizer.eos()),
            ..Rendering::default()
        }
    }
}

/// A template that has been read.
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// What it is told beside a conversation.
    arguments: Vec<(String, Value)>,
}

impl ChatTemplate {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn parse(source: &str) -> Result<ChatTemplate, ChatError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(STEPS));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", json::tojson);
        environment.add_function("raise_exception", raise_exception);
        environment
            .add_template_owned(NAME, without_generation_marks(source))
            .map_err(|error| ChatError::Syntax {
                reason: one_line(&error),
            })?;
        Ok(ChatTemplate {
            environment,
            arguments: Vec::new(),
        })
    }

    /// Tells the template something in every conversation: `value` as JSON, or as
    /// text if it is none.
    pub fn tell(&mut self, name: &str, value: &str) {
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        self.arguments.push((name.to_owned(), value));
    }

    /// The text of a conversation: a JSON list of messages with `role` and
    /// `content`, or an object with these as `messages`, with `tools` and whatever
    /// else a template asks for.
    ///
    /// # Errors
    ///
    /// If it is no such list, or the template does not accept it.
    pub fn render_json(&self, messages: &str, rendering: &Rendering) -> Result<String, ChatError> {
        let found: Value = serde_json::from_str(messages).map_err(|error| ChatError::Messages {
            reason: error.to_string(),
        })?;
        let inputs = match found.kind() {
            ValueKind::Map => found,
            _ => context! { messages => found },
        };
        let messages = inputs.get_attr("messages").unwrap_or_default();
        let is_object = |message: Value| message.kind() == ValueKind::Map;
        let is_list = messages.kind() == ValueKind::Seq;
        let is_message = messages.try_iter().map(|mut all| all.all(is_object));
        if !is_list || !is_message.unwrap_or(false) {
            let reason = format!("found {}", messages.kind());
            return Err(ChatError::Messages { reason });
        }
        self.render(inputs, rendering)
    }

    /// The text of these messages.
    pub(super) fn render_values(
        &self,
        messages: Value,
        rendering: &Rendering,
    ) -> Result<String, ChatError> {
        self.render(context! { messages }, rendering)
    }

    fn render(&self, inputs: Value, rendering: &Rendering) -> Result<String, ChatError> {
        let now = jiff::Timestamp::try_from(rendering.now).unwrap_or_default();
        let strftime_now = move |format: &str| {
            let now = now.to_zoned(jiff::tz::TimeZone::UTC);
            jiff::fmt::strtime::format(format, &now).map_err(|error| {
                let reason = format!("strftime_now: {error}");
                minijinja::Error::new(ErrorKind::InvalidOperation, reason)
            })
        };
        // What comes first counts.
        let arguments: Value = self.arguments.iter().cloned().collect();
        let values = context! {
            ..inputs,
            ..arguments,
            ..context! {
                add_generation_prompt => rendering.add_generation_prompt,
                bos_token => rendering.bos,
                eos_token => rendering.eos,
                tools => (),
                documents => (),
                strftime_now => Value::from_function(strftime_now),
            }
        };
        let failed = |error: minijinja::Error| match refusal(&error) {
            Some(reason) => ChatError::Refused { reason },
            None => ChatError::Rendering {
                reason: one_line(&error),
            },
        };
        let template = self.environment.get_template(NAME).map_err(failed)?;
        let mut text = Limited(Vec::new());
        template
            .render_captured_to(values, &mut text)
            .map_err(failed)?;
        String::from_utf8(text.0).map_err(|error| ChatError::Rendering {
            reason: error.to_string(),
        })
    }
}

/// What begins the message of a template's own exception.
const RAISED: &str = "raised: ";

fn raise_exception(message: &str) -> Result<Value, minijinja::Error> {
    let message = format!("{RAISED}{message}");
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// What the template itself says against a conversation.
fn refusal(error: &minijinja::Error) -> Option<String> {
    let reason = error.detail()?.strip_prefix(RAISED)?;
    Some(gguf::Escaped(reason).to_string())
}

fn one_line(error: &minijinja::Error) -> String {
    // A template may print what would control a terminal.
    gguf::Escaped(&error.to_string()).to_string()
}

/// Templates that are also used for training mark what the model has said with a
/// statement that jinja2 does not have: `{% generation %}`. Its text stands there
/// in any case.
fn without_generation_marks(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        result += before;
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
        let name = tag.trim_matches(['{', '%', '}', '-', '+', ' ', '\n', '\t']);
        result += &match name {
            "generation" => tag.replace(name, "if true"),
            "endgeneration" => tag.replace(name, "endif"),
            _ => tag.to_owned(),
        };
        rest = after;
    }
    result + rest
}

/// Text up to a length.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES {
            return Err(io::Error::other(format!(
                "more than {OUTPUT_BYTES} bytes of text"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
