//! The bundled model's stories, judged by the grammar that wrote its training
//! text.

use firstlight::{Finish, Model, ModelOptions, Request, Sampling, SessionOptions};
use firstlight_tests::story;
use std::path::Path;

const SAMPLES: u64 = 100;

/// Of 100 stories; the grammar asks for consistent characters, causes before
/// consequences, and an end.
const EXPECTED: usize = 80;

#[test]
fn most_stories_of_the_bundled_model_make_sense() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/models/firstlight-stories.gguf");
    let model = Model::open(path, &ModelOptions::default()).unwrap();
    let prompt = "Once upon a time";
    let mut passed = 0;
    for seed in 0..SAMPLES {
        let sampling = Sampling {
            temperature: 0.7,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: Some(seed),
            ..Sampling::default()
        };
        let mut session = model.session(&SessionOptions::default()).unwrap();
        let mut generation = session
            .generate(
                prompt,
                &Request {
                    sampling,
                    ..Request::default()
                },
            )
            .unwrap();
        let mut text = prompt.to_owned();
        for piece in &mut generation {
            text += &piece.unwrap().text;
        }
        assert_eq!(
            generation.finish(),
            Some(Finish::EndOfText),
            "seed {seed}: {text}"
        );
        match story::check(&text) {
            Ok(()) => passed += 1,
            Err(complaint) => println!("seed {seed}: {complaint}\n{text}\n"),
        }
    }
    println!("{passed} of {SAMPLES} stories pass");
    assert!(
        passed >= EXPECTED,
        "{passed} of {SAMPLES} stories pass, expected at least {EXPECTED}"
    );
}
