//! Tokenizers of real models: the expected ids of each vocabulary, text there and back, prompts of the reference engine.

use firstlight::tokenizer::{Decode, Detokenizer, Encode, Tokenizer};
use firstlight_tests::shared_dir;
use gguf::Gguf;
use std::fs;
use std::path::Path;

const VOCABULARIES: [&str; 7] = [
    "llama-spm",
    "llama-bpe",
    "gpt-2",
    "qwen2",
    "phi-3",
    "starcoder",
    "gemma-4",
];

fn open(path: &Path) -> Tokenizer {
    let file = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = Gguf::parse(&file).unwrap();
    Tokenizer::new(file.metadata()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A text encodes to these ids, and they decode to the text.
#[track_caller]
fn check(name: &str, tokenizer: &Tokenizer, text: &str, options: Encode, expected: &[u32]) {
    let ids = tokenizer.encode(text, options);
    assert_eq!(ids, expected, "{name} encodes {text:?}");
    assert_eq!(tokenizer.decode(&ids), text, "{name} decodes {ids:?}");
}

#[test]
fn vocabularies_give_the_expected_ids() {
    let Some(shared) = shared_dir() else { return };
    for name in VOCABULARIES {
        let path = shared.join(format!("vocab/ggml-vocab-{name}.gguf"));
        let tokenizer = open(&path);
        let texts = fs::read_to_string(path.with_extension("gguf.inp")).unwrap();
        let ids = fs::read_to_string(path.with_extension("gguf.out")).unwrap();
        const BETWEEN: &str = "\n__ggml_vocab_test__\n";
        let texts = texts.strip_suffix(BETWEEN).unwrap_or(&texts).split(BETWEEN);
        let texts: Vec<&str> = texts.collect();
        assert_eq!(texts.len(), ids.lines().count(), "{name}");
        for (text, ids) in texts.iter().zip(ids.lines()) {
            let ids: Vec<u32> = ids
                .split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect();
            check(name, &tokenizer, text, Encode::default(), &ids);
        }
    }
}

#[test]
fn real_text_returns() {
    let Some(shared) = shared_dir() else { return };
    let text = fs::read_to_string(shared.join("text/wiki.test.raw")).unwrap();
    for name in VOCABULARIES {
        let tokenizer = open(&shared.join(format!("vocab/ggml-vocab-{name}.gguf")));
        let ids = tokenizer.encode(&text, Encode::default());
        assert!(
            tokenizer.decode(&ids) == text,
            "{name}: the text is another"
        );

        let mut detokenizer = Detokenizer::new(Decode {
            begins_text: true,
            special: false,
        });
        let mut streamed = String::new();
        for &id in &ids {
            streamed.push_str(detokenizer.push(&tokenizer, id));
        }
        streamed.push_str(detokenizer.finish());
        assert!(streamed == text, "{name}: the streamed text is another");
    }
}

/// TinyStories-656K has no byte tokens: what it cannot express is one unknown token.
#[test]
fn unknown_characters_of_a_real_vocabulary() {
    let Some(shared) = shared_dir() else { return };
    let tokenizer = open(&shared.join("models/TinyStories-656K-Q8_0.gguf"));
    let plain = tokenizer.encode("Tom  was", Encode::default());
    assert!(!plain.contains(&0), "{plain:?}");
    let ids = tokenizer.encode("Tom 中文 was", Encode::default());
    assert_eq!(ids.iter().filter(|&&id| id == 0).count(), 1, "{ids:?}");
    assert_eq!(tokenizer.unknown(), Some(0));
    assert_eq!(tokenizer.decode(&ids), "Tom  was");
}

#[test]
fn prompts_of_the_reference_engine() {
    let Some(shared) = shared_dir() else { return };
    let models = shared.join("models");
    let reference = fs::read_to_string(models.join("reference_greedy.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
    let ids = |value: &serde_json::Value| -> Vec<u32> {
        let ids = value.as_array().unwrap().iter();
        ids.map(|id| id.as_u64().unwrap() as u32).collect()
    };
    for case in reference["cases"].as_array().unwrap() {
        let model = case["model"].as_str().unwrap();
        let tokenizer = open(&models.join(model));
        let options = Encode {
            add_special: true,
            parse_special: true,
        };
        let prompt = case["prompt"].as_str().unwrap();
        check(
            model,
            &tokenizer,
            prompt,
            options,
            &ids(&case["prompt_tokens"]),
        );
        let continuation = tokenizer.decode_with(&ids(&case["tokens"]), Decode::default());
        assert_eq!(continuation, case["text"].as_str().unwrap(), "{model}");
    }
}
