//! `llama` vocabularies.

use super::*;

/// Two letters, ▁, merges of them with scores that conflict, and the bytes of é.
fn vocabulary() -> Vocabulary {
    Vocabulary::sentencepiece(&[
        ("<unk>", UNKNOWN, 0.0),
        ("<s>", CONTROL, 0.0),
        ("</s>", CONTROL, 0.0),
        ("▁", NORMAL, -9.0),
        ("a", NORMAL, -9.0),
        ("b", NORMAL, -9.0),
        ("ab", NORMAL, -2.0),
        ("ba", NORMAL, -1.0),
        ("aa", NORMAL, -3.0),
        ("aaa", NORMAL, -4.0),
        ("▁a", NORMAL, -5.0),
        ("▁▁", NORMAL, -1.5),
        ("▁▁▁▁", NORMAL, -1.2),
        ("b▁a", NORMAL, -0.5),
        ("<0xC3>", BYTE, 0.0),
        ("<0xA9>", BYTE, 0.0),
        ("<0xFF>", BYTE, 0.0),
        ("<", NORMAL, -9.0),
        ("s", NORMAL, -9.0),
        (">", NORMAL, -9.0),
        ("<s", NORMAL, -8.0),
        ("<user>", USER_DEFINED, 0.0),
    ])
    .with("tokenizer.ggml.bos_token_id", 1u32)
    .with("tokenizer.ggml.eos_token_id", 2u32)
}

#[test]
fn best_score_first_then_leftmost() {
    let tokenizer = vocabulary().tokenizer();
    check(
        &tokenizer,
        PLAIN,
        &[
            ("", &[]),
            ("b", &["▁", "b"]),
            ("ab", &["▁", "ab"]),
            ("aba", &["▁a", "ba"]),
            ("abab", &["▁a", "ba", "b"]),
            ("aaaa", &["▁", "aa", "aa"]),
            ("aaaaa", &["▁", "aa", "aaa"]),
            ("    b", &["▁▁▁▁", "▁", "b"]),
            // a token with ▁ inside joins words
            ("b a", &["▁", "b▁a"]),
            ("b b", &["▁", "b", "▁", "b"]),
            // U+2581 in the text is a space like any other
            ("a▁a", &["▁a", "▁a"]),
        ],
    );
}

#[test]
fn characters_outside_go_by_bytes_then_as_unknown() {
    let tokenizer = vocabulary().tokenizer();
    check(
        &tokenizer,
        PLAIN,
        &[
            ("é", &["▁", "<0xC3>", "<0xA9>"]),
            ("aéa", &["▁a", "<0xC3>", "<0xA9>", "a"]),
            // 中 has no byte tokens here; a stretch of unknown characters is one unknown token
            ("中", &["▁", "<unk>"]),
            ("a中中a中", &["▁a", "<unk>", "a", "<unk>"]),
        ],
    );
    let vocabulary = vocabulary();
    let expected = ["▁a", "<0xFF>", "<0xC3>", "b"].map(|text| vocabulary.id(text));
    assert_eq!(tokenizer.encode_bytes(b"a\xff\xc3b", PLAIN), expected);
}

#[test]
fn space_options() {
    let no_prefix = vocabulary().with("tokenizer.ggml.add_space_prefix", false);
    check(
        &no_prefix.tokenizer(),
        PLAIN,
        &[("ab", &["ab"]), (" ab", &["▁", "ab"]), ("", &[])],
    );
    let collapsing = vocabulary().with("tokenizer.ggml.remove_extra_whitespaces", true);
    check(
        &collapsing.tokenizer(),
        PLAIN,
        &[("  a   a ", &["▁a", "▁a"]), ("   ", &[]), ("a", &["▁a"])],
    );
}

#[test]
fn scores_may_be_whole_numbers() {
    let scores: Vec<i32> = (0..22).map(|i| -i).collect();
    let vocabulary = vocabulary().with("tokenizer.ggml.scores", scores);
    check(
        &vocabulary.tokenizer(),
        PLAIN,
        &[("aba", &["▁", "ab", "a"])],
    );
}

#[test]
fn without_types_bytes_are_known_by_their_text() {
    let tokenizer = vocabulary()
        .without("tokenizer.ggml.token_type")
        .tokenizer();
    assert_eq!(tokenizer.encode("é", PLAIN).len(), 3);
    assert_eq!(tokenizer.decode(&tokenizer.encode("aéa", PLAIN)), "aéa");
}

/// All tokens have one score and there are no byte tokens.
#[test]
fn equal_scores_and_no_bytes() {
    let tokenizer = Vocabulary::sentencepiece(&[
        ("<unk>", CONTROL, -1000.0),
        ("▁", NORMAL, -1000.0),
        ("a", NORMAL, -1000.0),
        ("b", NORMAL, -1000.0),
        ("ab", NORMAL, -1000.0),
        ("▁ab", NORMAL, -1000.0),
        ("ba", NORMAL, -1000.0),
    ])
    .with("tokenizer.ggml.unknown_token_id", 0u32)
    .tokenizer();
    check(
        &tokenizer,
        PLAIN,
        &[
            ("ab ab", &["▁ab", "▁ab"]),
            ("aba", &["▁ab", "a"]),
            ("ba", &["▁", "ba"]),
            ("aéb", &["▁", "a", "<unk>", "b"]),
        ],
    );
}

/// The heap against the definition: look at all pairs, merge the best, start again.
#[test]
fn merges_as_defined() {
    let mut random = Random(7);
    for _ in 0..40 {
        let mut tokens: Vec<(String, i32)> = "abc▁".chars().map(|c| (c.to_string(), 0)).collect();
        for _ in 0..30 {
            let (a, b) = (random.below(tokens.len()), random.below(tokens.len()));
            let text = format!("{}{}", tokens[a].0, tokens[b].0);
            if tokens.iter().all(|token| token.0 != text) && text.len() < 12 {
                tokens.push((text, random.below(10) as i32));
            }
        }
        let rows: Vec<(&str, i32, f32)> = tokens
            .iter()
            .map(|(text, score)| (text.as_str(), NORMAL, *score as f32))
            .collect();
        let tokenizer = Vocabulary::sentencepiece(&rows).tokenizer();
        for _ in 0..50 {
            let text: String = (0..random.below(40))
                .map(|_| ['a', 'b', 'c', ' '][random.below(4)])
                .collect();
            let escaped = format!(" {text}").replace(' ', "▁");
            let mut word: Vec<String> = escaped.chars().map(String::from).collect();
            if text.is_empty() {
                word.clear();
            }
            let score = |pair: &[String]| {
                let text = pair.concat();
                let found = tokens.iter().find(|token| token.0 == text);
                found.map(|token| token.1)
            };
            while let Some(at) = (0..word.len().saturating_sub(1))
                .filter(|&i| score(&word[i..i + 2]).is_some())
                .rev() // of equals, max_by_key returns the last
                .max_by_key(|&i| score(&word[i..i + 2]))
            {
                let right = word.remove(at + 1);
                word[at].push_str(&right);
            }
            let word: Vec<&str> = word.iter().map(String::as_str).collect();
            check(&tokenizer, PLAIN, &[(&text, &word)]);
        }
    }
}
