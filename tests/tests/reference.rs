//! Greedy text of real trained models against an independent engine's.
//!
//! The models lie outside of the repository, in `../shared/models`; without
//! them these tests say so and pass.

use firstlight::sampler::greedy;
use firstlight::{Isa, KvFormat, Model, ModelOptions, Sequence, Wanted};
use firstlight_tests::shared_dir;
use serde_json::Value;

struct Case {
    model: String,
    prompt: Vec<u32>,
    expected: Vec<u32>,
}

fn cases(model: &str) -> Option<Vec<Case>> {
    let path = shared_dir()?.join("models");
    let text = std::fs::read_to_string(path.join("reference_greedy.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let ids = |value: &Value| -> Vec<u32> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_u64().unwrap() as u32)
            .collect()
    };
    let cases: Vec<Case> = all["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["model"] == model)
        .map(|case| Case {
            model: path.join(model).to_str().unwrap().to_owned(),
            prompt: ids(&case["prompt_tokens"]),
            expected: ids(&case["tokens"]),
        })
        .collect();
    assert!(!cases.is_empty(), "no cases for {model}");
    Some(cases)
}

fn open(case: &Case, isa: Isa, threads: usize) -> Model {
    Model::open(
        &case.model,
        &ModelOptions {
            threads: Some(threads),
            isa: Some(isa),
            ..ModelOptions::default()
        },
    )
    .unwrap()
}

#[test]
fn greedy_text_is_the_same_on_all_threads_and_instruction_sets() {
    let Some(cases) = cases("stories260K.gguf") else {
        return;
    };
    for case in cases {
        let mut bits: Option<Vec<u32>> = None;
        for isa in Isa::available() {
            for threads in [1, 2, 3] {
                let model = open(&case, isa, threads);
                let mut cache = model.cache(KvFormat::F32, 512).unwrap();
                let mut tokens = case.prompt.clone();
                let mut found_bits = Vec::new();
                for (position, &expected) in case.expected.iter().enumerate() {
                    let part = Sequence {
                        cache: &mut cache,
                        tokens: &tokens,
                        wanted: Wanted::Last,
                    };
                    let logits = model.step(&mut [part]).unwrap();
                    let found = greedy(&logits);
                    assert_eq!(
                        found, expected,
                        "token {position} after {:?}, {isa}, {threads} threads",
                        case.prompt
                    );
                    found_bits.extend(logits.iter().map(|logit| logit.to_bits()));
                    tokens = vec![found];
                }
                let expected_bits = bits.get_or_insert_with(|| found_bits.clone());
                assert!(
                    *expected_bits == found_bits,
                    "logits after {:?}, {isa}, {threads} threads",
                    case.prompt
                );
            }
        }
    }
}

#[test]
fn quantized_model_follows_the_reference() {
    let Some(cases) = cases("TinyStories-656K-Q8_0.gguf") else {
        return;
    };
    let (mut same, mut all) = (0, 0);
    for case in cases {
        let model = open(&case, Isa::detect(), 2);
        let n_vocab = model.config().n_vocab;
        let tokens: Vec<u32> = case.prompt.iter().chain(&case.expected).copied().collect();
        let mut cache = model.cache(KvFormat::F32, tokens.len()).unwrap();
        let part = Sequence {
            cache: &mut cache,
            tokens: &tokens,
            wanted: Wanted::All,
        };
        let logits = model.step(&mut [part]).unwrap();
        for (logits, &next) in logits
            .chunks_exact(n_vocab)
            .zip(&tokens[1..])
            .skip(case.prompt.len() - 1)
        {
            same += usize::from(greedy(logits) == next);
            all += 1;
        }
    }
    println!("{same} of {all} positions agree");
    assert!(
        same * 100 >= all * 98,
        "{same} of {all} positions agree, expected at least 98 %"
    );
}
