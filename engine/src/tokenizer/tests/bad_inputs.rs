//! Vocabularies that are refused or must be lived with, and texts that are long or hostile.

use super::*;
use crate::tokenizer::merge::MAX_WORD_BYTES;
use std::time::{Duration, Instant};

/// The vocabulary is refused with a message that starts like this.
#[track_caller]
fn refused(vocabulary: &Vocabulary, expected: &str) {
    let message = match vocabulary.build() {
        Ok(_) => panic!("accepted, expected: {expected}"),
        Err(error) => error.to_string(),
    };
    assert!(message.starts_with(expected), "{message}\n{expected}");
    assert!(!message.contains('\n'), "{message}");
}

fn sentencepiece() -> Vocabulary {
    Vocabulary::sentencepiece(&[
        ("<unk>", UNKNOWN, 0.0),
        ("a", NORMAL, -1.0),
        ("<0x41>", BYTE, 0.0),
    ])
}

fn byte_pair() -> Vocabulary {
    Vocabulary::byte_pair("gpt-2", &["a b"], &[])
}

#[test]
fn models_and_pre_tokenizers() {
    let rows: &[(&str, &str)] = &[
        (
            "bert",
            r#"tokenizer.ggml.model: tokenizer "bert" is not supported, expected "llama", "gpt2" or "gemma4""#,
        ),
        (
            "\x1b[2J",
            r#"tokenizer.ggml.model: tokenizer "\u{1b}[2J" is not supported, expected "llama", "gpt2" or "gemma4""#,
        ),
    ];
    for (model, message) in rows {
        refused(&byte_pair().with("tokenizer.ggml.model", *model), message);
    }
    refused(
        &byte_pair().without("tokenizer.ggml.model"),
        "metadata key \"tokenizer.ggml.model\" is missing, expected a",
    );
    refused(
        &byte_pair().with("tokenizer.ggml.pre", "llama-4711"),
        r#"tokenizer.ggml.pre: unknown pre-tokenizer "llama-4711""#,
    );
    refused(
        &byte_pair().without("tokenizer.ggml.pre"),
        "metadata key \"tokenizer.ggml.pre\" is missing, expected a",
    );
}

#[test]
fn arrays_of_another_length_or_type() {
    let scores = "tokenizer.ggml.scores";
    let types = "tokenizer.ggml.token_type";
    let tokens = "tokenizer.ggml.tokens";
    let merges = "tokenizer.ggml.merges";
    let rows: &[(Vocabulary, &str)] = &[
        (
            sentencepiece().with(scores, vec![0f32; 2]),
            "tokenizer.ggml.scores: expected 3 elements, one for each token, found 2",
        ),
        (
            sentencepiece().with(scores, vec![0f32; 4]),
            "tokenizer.ggml.scores: expected 3 elements, one for each token, found 4",
        ),
        (
            sentencepiece().with(scores, vec![0f32, f32::NAN, 0.0]),
            "tokenizer.ggml.scores: the score of token 1 is not a number",
        ),
        (
            sentencepiece().with(scores, vec!["", "", ""]),
            "tokenizer.ggml.scores: expected an array of f32 or i32, found an array of string",
        ),
        (
            sentencepiece().with(scores, 1f32),
            "metadata key \"tokenizer.ggml.scores\": expected an array, found",
        ),
        (
            sentencepiece().without(scores),
            "metadata key \"tokenizer.ggml.scores\" is missing, expected an array",
        ),
        (
            sentencepiece().with(types, vec![1i32; 2]),
            "tokenizer.ggml.token_type: expected 3 elements, one for each token, found 2",
        ),
        (
            sentencepiece().with(types, vec![1i32, 1, 7]),
            "tokenizer.ggml.token_type: token 2 has type 7, expected 1 to 6",
        ),
        (
            sentencepiece().with(types, vec![1i32, -1, 1]),
            "tokenizer.ggml.token_type: token 1 has type -1, expected 1 to 6",
        ),
        (
            sentencepiece().with(types, vec![1.5f32; 3]),
            "tokenizer.ggml.token_type: token 0 has type f32 1.5, expected 1 to 6 as a 32-bit integer",
        ),
        (
            sentencepiece().with(tokens, Vec::<&str>::new()),
            "tokenizer.ggml.tokens: expected 1 to 2^32-2 tokens of less than 4 GiB in all, found 0 tokens",
        ),
        (
            sentencepiece().with(tokens, vec![1u32]),
            "tokenizer.ggml.tokens: expected an array of strings, found an array of u32",
        ),
        (
            sentencepiece().without(tokens),
            "metadata key \"tokenizer.ggml.tokens\" is missing, expected an array",
        ),
        (
            byte_pair().without(merges),
            "metadata key \"tokenizer.ggml.merges\" is missing, expected an array",
        ),
        (
            byte_pair().with(merges, vec![0i32]),
            "tokenizer.ggml.merges: expected an array of strings, found an array of i32",
        ),
    ];
    for (vocabulary, message) in rows {
        refused(vocabulary, message);
    }
}

#[test]
fn merges_that_make_no_sense() {
    let rows: &[(&str, &str)] = &[
        (
            "",
            "merge 1 is \"\", expected two tokens with a space between them",
        ),
        (
            "ab",
            "merge 1 is \"ab\", expected two tokens with a space between them",
        ),
        (
            " ab",
            "merge 1 is \" ab\", expected two tokens with a space between them",
        ),
        (
            "x ba",
            "merge 1 is \"x ba\", but the vocabulary has no token \"xba\"",
        ),
        (
            "zz a",
            "merge 1 is \"zz a\", but the vocabulary has no token \"zza\"",
        ),
        (
            "b a",
            "merge 1 is \"b a\", but the vocabulary has no token \"ba\"",
        ),
        (
            "a ",
            "merge 1 is \"a \", expected two tokens with a space between them",
        ),
    ];
    for (merge, message) in rows {
        let vocabulary = byte_pair().with("tokenizer.ggml.merges", vec!["a b", merge]);
        refused(&vocabulary, &format!("tokenizer.ggml.merges: {message}"));
    }
}

#[test]
fn byte_tokens_that_are_none() {
    for found in [
        "<0x-1>", "<0x+1>", "<0x1>", "<0x100>", "<0xGG>", "0x41", "<0X41>", "", "A",
    ] {
        let vocabulary = sentencepiece().with("tokenizer.ggml.tokens", vec!["<unk>", "a", found]);
        refused(
            &vocabulary,
            &format!(
                "tokenizer.ggml.tokens: token 2 is of type byte, expected \"<0x00>\" to \"<0xFF>\", found \"{found}\""
            ),
        );
    }
}

#[test]
fn special_ids_outside_of_the_vocabulary() {
    for key in ["bos", "eos", "eot", "eom", "unknown", "padding", "fim_pad"] {
        let key: &'static str = format!("tokenizer.ggml.{key}_token_id").leak();
        refused(
            &sentencepiece().with(key, 3u32),
            &format!("{key}: token id 3 is outside of the vocabulary of 3 tokens"),
        );
        assert!(sentencepiece().with(key, u32::MAX).build().is_ok(), "{key}");
    }
    refused(
        &sentencepiece().with("tokenizer.ggml.bos_token_id", "1"),
        "metadata key \"tokenizer.ggml.bos_token_id\": expected an unsigned 32-bit integer",
    );
    // What is outside is not generated anyway.
    let key = "tokenizer.ggml.suppress_tokens";
    let tokenizer = sentencepiece().with(key, vec![2, 7, 1, 2, -1]).tokenizer();
    assert_eq!(tokenizer.suppressed(), [1, 2]);
    refused(
        &sentencepiece().with(key, 1u32),
        &format!("metadata key \"{key}\": expected an array of 32-bit integers"),
    );
}

#[test]
fn no_bos_no_eos_no_unknown() {
    let tokenizer =
        Vocabulary::sentencepiece(&[("a", NORMAL, 0.0), ("b", NORMAL, 0.0)]).tokenizer();
    assert_eq!(
        (tokenizer.bos(), tokenizer.eos(), tokenizer.unknown()),
        (None, None, None)
    );
    assert!(tokenizer.ends().is_empty());
    // the space before the text has no token either
    check(&tokenizer, ADD_SPECIAL, &[("ab", &["a", "b"]), ("中", &[])]);
}

#[test]
fn empty_and_repeated_tokens_are_lived_with() {
    let tokenizer = Vocabulary::sentencepiece(&[
        ("", NORMAL, 9.0),
        ("a", NORMAL, 0.0),
        ("", CONTROL, 9.0),
        ("a", NORMAL, 5.0),
        ("", USER_DEFINED, 9.0),
    ])
    .with("tokenizer.ggml.add_space_prefix", false)
    .tokenizer();
    assert_eq!(
        tokenizer.encode("aa", PARSE_SPECIAL),
        [1, 1],
        "the first of two counts"
    );
    assert_eq!(tokenizer.decode(&[0, 1, 2, 3, 4]), "aa");
    assert_eq!(tokenizer.token_of_text(""), None);
}

#[test]
fn a_token_of_a_megabyte() {
    let long = "a".repeat(1 << 20);
    let vocabulary = Vocabulary::byte_pair(
        "llama-bpe",
        &[],
        &[(&long, NORMAL), (&long.replace('a', "b"), CONTROL)],
    );
    let tokenizer = vocabulary.tokenizer();
    assert_eq!(tokenizer.encode(&long, PLAIN), [256]);
    assert_eq!(
        tokenizer.encode(&long.replace('a', "b"), PARSE_SPECIAL),
        [257]
    );
    assert_eq!(tokenizer.decode(&[256]), long);
}

/// Words without an end: no quadratic time, no deep recursion, and the text returns.
#[test]
fn long_words() {
    const LEN: usize = 256 << 10;
    let doubling: Vec<String> = (0..10)
        .map(|i| format!("{0} {0}", "a".repeat(1 << i)))
        .collect();
    let doubling: Vec<&str> = doubling.iter().map(String::as_str).collect();
    let mut tokenizers = vec![("llama", sentencepiece_of_letters().tokenizer())];
    for pre in [
        "default",
        "gpt-2",
        "llama-bpe",
        "qwen35",
        "gpt-4o",
        "deepseek-llm",
        "deepseek-v3",
        "viking",
    ] {
        tokenizers.push((pre, Vocabulary::byte_pair(pre, &doubling, &[]).tokenizer()));
    }
    for (name, tokenizer) in &tokenizers {
        for unit in ["a", " ", "é", "1", "\n", "A", "中a", "中A", " \n", "<", "'"] {
            let text = unit.repeat(LEN / unit.len());
            let start = Instant::now();
            let tokens = tokenizer.encode(&text, PARSE_SPECIAL);
            let time = start.elapsed();
            assert!(
                tokenizer.decode(&tokens) == text,
                "{name} {unit:?} is another text"
            );
            // a second or so in the worst case; quadratic time would be minutes
            assert!(
                time < Duration::from_secs(20),
                "{name} {unit:?} takes {time:?}"
            );
        }
    }
    // longer than the parts that words are merged in, and no multiple of their size
    let text = "é".repeat(MAX_WORD_BYTES / 2 + 1) + "a";
    for (name, tokenizer) in &tokenizers[..2] {
        assert!(
            tokenizer.decode(&tokenizer.encode(&text, PLAIN)) == text,
            "{name}"
        );
    }
}

fn sentencepiece_of_letters() -> Vocabulary {
    let mut tokens: Vec<(String, i32, f32)> = (0..=255)
        .map(|byte: u8| (format!("<0x{byte:02X}>"), BYTE, 0.0))
        .collect();
    tokens.push(("▁".into(), NORMAL, -1.0));
    tokens.extend((0..10).map(|i| ("a".repeat(1 << i), NORMAL, -(i as f32))));
    let tokens: Vec<(&str, i32, f32)> = tokens
        .iter()
        .map(|(text, kind, score)| (text.as_str(), *kind, *score))
        .collect();
    Vocabulary::sentencepiece(&tokens)
}
