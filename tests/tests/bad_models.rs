//! Files that are no models that can be run: each is refused with one line that
//! says what was expected and what was found.

use firstlight::{Model, ModelOptions, Request, Sampling, SessionOptions};
use firstlight_tests::tiny::{Shape, Tiny};

fn options() -> ModelOptions {
    ModelOptions {
        threads: Some(1),
        ..ModelOptions::default()
    }
}

/// The text of ten tokens, or the message of the error that came.
fn generate(model: &Tiny, prompt: &str) -> Result<String, String> {
    let file = model.write();
    let model = Model::open(file.path(), &options()).map_err(|error| error.to_string())?;
    let mut session = model
        .session(&SessionOptions::default())
        .map_err(|error| error.to_string())?;
    let request = Request {
        sampling: Sampling::greedy(),
        max_tokens: Some(10),
        ..Request::default()
    };
    let generation = session
        .generate(prompt, &request)
        .map_err(|error| error.to_string())?;
    generation
        .map(|piece| piece.map(|piece| piece.text).map_err(|e| e.to_string()))
        .collect()
}

#[test]
fn the_unchanged_model_generates_in_every_format() {
    for format in kernels::Format::all() {
        let shape = Shape::of_format(format.info().tensor_type);
        for experts in [None, Some((4, 2))] {
            let model = Tiny::new(&Shape { experts, ..shape });
            let text = generate(&model, "the hen");
            assert!(text.is_ok(), "{}: {text:?}", format.name());
        }
    }
}
