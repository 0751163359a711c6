//! Vocabularies that do not fit the model, and such as must be lived with.

use super::{generate, open, refused};
use firstlight_tests::tiny::Tiny;
use gguf::TensorType;
use gguf::write::OwnedValue;

#[test]
fn vocabularies_that_do_not_fit() {
    let rows = |n: usize| {
        Tiny::default()
            .with_tensor("token_embd.weight", TensorType::F32, &[32, n])
            .without_tensor("output.weight")
    };
    for n in [1, 293, 295] {
        refused(
            &rows(n),
            &format!("the tokenizer has 294 tokens, but token_embd.weight has {n} rows"),
        );
    }
    let tokens = |key: &str| format!("tokenizer.ggml.{key}");
    let cases: Vec<(&str, OwnedValue, &str)> = vec![
        (
            "scores",
            vec![0_f32; 293].into(),
            "tokenizer.ggml.scores: expected 294 elements, one for each token, found 293",
        ),
        (
            "scores",
            vec!["0"; 294].into(),
            "tokenizer.ggml.scores: expected an array of f32 or i32, found an array of string",
        ),
        (
            "token_type",
            vec![1_i32; 295].into(),
            "tokenizer.ggml.token_type: expected 294 elements, one for each token, found 295",
        ),
        (
            "token_type",
            vec![1_f32; 294].into(),
            "tokenizer.ggml.token_type: token 0 has type f32 1, expected 1 to 6 as a 32-bit integer",
        ),
        // No token but the 256 is written like a byte.
        (
            "token_type",
            vec![6_i32; 294].into(),
            "tokenizer.ggml.tokens: token 0 is of type byte, expected \"<0x00>\" to \"<0xFF>\", found \"<unk>\"",
        ),
        (
            "bos_token_id",
            294_u32.into(),
            "tokenizer.ggml.bos_token_id: token id 294 is outside of the vocabulary of 294 tokens",
        ),
        (
            "eos_token_id",
            1_000_000_u32.into(),
            "tokenizer.ggml.eos_token_id: token id 1000000 is outside of the vocabulary of 294 tokens",
        ),
        (
            "model",
            "unigram".into(),
            "tokenizer.ggml.model: tokenizer \"unigram\" is not supported, expected \"llama\", \"gpt2\" or \"gemma4\"",
        ),
        (
            "model",
            "gpt2".into(),
            "metadata key \"tokenizer.ggml.pre\" is missing, expected a UTF-8 string",
        ),
    ];
    for (key, value, expected) in cases {
        refused(&Tiny::default().set(&tokens(key), value), expected);
    }
    refused(
        &Tiny::default()
            .set(&tokens("model"), "gpt2")
            .set(&tokens("pre"), "llama-99"),
        "tokenizer.ggml.pre: unknown pre-tokenizer \"llama-99\"",
    );
    refused(
        &Tiny::default()
            .set(&tokens("model"), "gpt2")
            .set(&tokens("pre"), "gpt-2")
            .set(&tokens("merges"), vec!["a nothing"]),
        "tokenizer.ggml.merges: merge 0 is \"a nothing\", but the vocabulary has no token \"anothing\"",
    );
}

/// The tokens of the tiny model, changed.
fn with_tokens(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Tiny {
    let bytes = Tiny::default().bytes();
    let file = gguf::Gguf::parse(&bytes).unwrap();
    let array = file
        .metadata()
        .require_array("tokenizer.ggml.tokens")
        .unwrap();
    let mut tokens: Vec<Vec<u8>> = array.byte_strings().unwrap().map(<[u8]>::to_vec).collect();
    change(&mut tokens);
    let tokens = tokens.into_iter().map(OwnedValue::Bytes).collect();
    Tiny::default().set(
        "tokenizer.ggml.tokens",
        OwnedValue::Array(gguf::ValueType::String, tokens),
    )
}

#[test]
fn vocabularies_to_be_lived_with() {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let models = [
        (
            "no end of text",
            Tiny::default().without(&key("eos_token_id")),
        ),
        (
            "no unknown token",
            Tiny::default().without(&key("unknown_token_id")),
        ),
        (
            "-1 for none",
            Tiny::default().set(&key("eos_token_id"), u32::MAX),
        ),
        (
            "empty tokens",
            with_tokens(|tokens| tokens[260..].fill(Vec::new())),
        ),
        (
            "a token many times",
            with_tokens(|tokens| tokens[260..].fill(b"a".to_vec())),
        ),
        (
            "a token that is not UTF-8",
            with_tokens(|tokens| tokens[261] = b"\xff\xfe".to_vec()),
        ),
        (
            "a token of 1 MB",
            with_tokens(|tokens| tokens[261] = vec![b'a'; 1 << 20]),
        ),
        (
            "no byte tokens",
            with_tokens(|tokens| tokens[3..259].fill(b"b".to_vec())).without(&key("token_type")),
        ),
    ];
    for (what, model) in models {
        let model = open(&model).unwrap_or_else(|error| panic!("{what}: {error}"));
        let text = generate(&model, "the hen ü \0 </s>", 20);
        assert!(text.is_ok(), "{what}: {text:?}");
    }
    // Nothing to begin a text with: only an empty prompt needs that.
    let no_bos = open(&Tiny::default().without(&key("bos_token_id"))).unwrap();
    assert!(generate(&no_bos, "the", 5).is_ok());
    assert_eq!(
        generate(&no_bos, "", 5).unwrap_err().to_string(),
        "the prompt is empty, and the model has no token that begins a text"
    );
}
