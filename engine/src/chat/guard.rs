//! What is said to a model stays text.
//!
//! A rendered template is full of control tokens: they say whose turn it is.
//! The same texts inside a message must not become such tokens, or a pasted
//! document could end the user's turn and speak as the system. So where a message
//! has the text of a control token, marks are put around it before the template
//! sees it, and what stands between marks is encoded as ordinary text.
//!
//! The marks are two code points that Unicode sets aside for a program's own use
//! (noncharacters, Unicode 16 section 23.7): no text means anything by them, and
//! where a message has them all the same, they become U+FFFD.

use crate::tokenizer::Tokenizer;
use minijinja::Value;
use minijinja::value::ValueKind;

const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';

/// The same messages with marks around the texts of control tokens, except in
/// what the model itself has said.
pub(super) fn messages(messages: &Value, tokenizer: &Tokenizer) -> Value {
    let guarded = |message: Value| match message.get_attr("role") {
        Ok(role) if role.as_str() == Some("assistant") => message,
        _ => value(&message, tokenizer),
    };
    match messages.try_iter() {
        Ok(all) => all.map(guarded).collect(),
        Err(_) => messages.clone(),
    }
}

/// The same value with marks in all of its texts.
fn value(found: &Value, tokenizer: &Tokenizer) -> Value {
    match (found.kind(), found.as_str(), found.try_iter()) {
        (_, Some(text), _) => Value::from(mark(text, tokenizer)),
        (ValueKind::Map, _, Ok(keys)) => keys
            .map(|key| {
                let inner = found.get_item(&key).unwrap_or_default();
                (key, value(&inner, tokenizer))
            })
            .collect(),
        (ValueKind::Seq, _, Ok(items)) => items.map(|item| value(&item, tokenizer)).collect(),
        _ => found.clone(),
    }
}

fn mark(text: &str, tokenizer: &Tokenizer) -> String {
    let mut marked = String::with_capacity(text.len());
    let mut copied = 0;
    let plain = |text: &str| text.replace([OPEN, CLOSE], "\u{FFFD}");
    for range in tokenizer.control_texts(text) {
        marked += &plain(&text[copied..range.start]);
        marked.push(OPEN);
        marked += &text[range.clone()];
        marked.push(CLOSE);
        copied = range.end;
    }
    marked + &plain(&text[copied..])
}

/// The parts of a rendered text, and whether each stood between marks.
pub(super) fn parts(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut is_guarded = false;
    text.split_inclusive([OPEN, CLOSE]).map(move |part| {
        let was_guarded = is_guarded;
        is_guarded = part.ends_with(OPEN);
        (part.trim_end_matches([OPEN, CLOSE]), was_guarded)
    })
}
