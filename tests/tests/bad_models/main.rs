//! Files that are no models that can be run: each is refused with one line that
//! says what was expected and what was found.

mod hyperparameters;
mod mutations;
mod not_finite;
mod split;
mod tensors;
mod vocabularies;

use firstlight::{KvFormat, Model, ModelOptions, Request, Sampling, SessionOptions};
use firstlight_tests::tiny::{Shape, Tiny};
use gguf::write::OwnedValue;

fn options() -> ModelOptions {
    ModelOptions {
        threads: Some(1),
        ..ModelOptions::default()
    }
}

fn open(model: &Tiny) -> Result<Model, String> {
    let file = model.write();
    let opened = Model::open(file.path(), &options());
    opened.map_err(|error| {
        error
            .to_string()
            .replace(&*file.path().to_string_lossy(), "FILE")
    })
}

/// The text of some tokens, or the message of the error that came.
fn generate(model: &Model, prompt: &str, max_tokens: usize) -> Result<String, firstlight::Error> {
    let mut session = model.session(&SessionOptions {
        context: Some(64),
        kv: KvFormat::F16,
    })?;
    let request = Request {
        sampling: Sampling::greedy(),
        max_tokens: Some(max_tokens),
        ..Request::default()
    };
    let generation = session.generate(prompt, &request)?;
    generation.map(|piece| Ok(piece?.text)).collect()
}

/// The model is refused, with exactly this message.
#[track_caller]
fn refused(model: &Tiny, expected: &str) {
    match open(model) {
        Ok(_) => panic!("opened, expected: {expected}"),
        Err(message) => assert_eq!(message, format!("FILE: {expected}")),
    }
}

/// Each row is refused: a key of the llama family, its value, the message
/// without the key's name.
#[track_caller]
fn refused_values(rows: Vec<(&str, OwnedValue, &str)>) {
    for (key, value, expected) in rows {
        let key = format!("llama.{key}");
        let model = Tiny::default().set(&key, value);
        refused(&model, &format!("metadata key \"{key}\"{expected}"));
    }
}

fn shaped(change: impl FnOnce(&mut Shape)) -> Tiny {
    let mut shape = Shape::default();
    change(&mut shape);
    Tiny::new(&shape)
}

#[test]
fn the_unchanged_model_generates_in_every_format() {
    for format in kernels::Format::all() {
        let shape = Shape::of_format(format.info().tensor_type);
        for experts in [None, Some((4, 2))] {
            let model = open(&Tiny::new(&Shape { experts, ..shape })).unwrap();
            let text = generate(&model, "the hen", 10);
            assert!(text.is_ok(), "{}: {text:?}", format.name());
        }
    }
}
