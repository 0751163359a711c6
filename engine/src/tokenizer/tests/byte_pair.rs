//! `gpt2` and `gemma4` vocabularies.

use super::*;

const MERGES: &[&str] = &[
    "l l", "h e", "he ll", "Ġ he", "o o", "hell o", "l o", "Ġhe ll",
];

#[test]
fn first_merge_first_then_leftmost() {
    let tokenizer = Vocabulary::byte_pair("gpt-2", MERGES, &[]).tokenizer();
    check(
        &tokenizer,
        PLAIN,
        &[
            ("", &[]),
            ("hello", &["hello"]),
            (" hello", &["Ġ", "hello"]),
            (" hell", &["Ġ", "hell"]),
            (" he", &["Ġhe"]),
            ("lll", &["ll", "l"]),
            ("loo", &["l", "oo"]),
            ("hello hello", &["hello", "Ġ", "hello"]),
            ("é", &["Ã", "©"]),
            ("\n", &["Ċ"]),
        ],
    );
    // the second of two equal merges changes nothing
    let repeated = [MERGES, &["l l"]].concat();
    let vocabulary = Vocabulary::byte_pair("gpt-2", MERGES, &[]);
    let tokenizer = vocabulary
        .with("tokenizer.ggml.merges", repeated)
        .tokenizer();
    check(&tokenizer, PLAIN, &[("hello", &["hello"])]);
}

#[test]
fn whole_words_skip_the_merges() {
    let more = [("holo", NORMAL), ("hola", CONTROL)];
    let by_merges = Vocabulary::byte_pair("gpt-2", MERGES, &more).tokenizer();
    check(&by_merges, PLAIN, &[("holo", &["h", "o", "lo"])]);
    let whole = Vocabulary::byte_pair("llama-bpe", MERGES, &more).tokenizer();
    check(
        &whole,
        PLAIN,
        &[
            ("holo", &["holo"]),
            ("holos", &["h", "o", "lo", "s"]),
            // no text becomes a control token
            ("hola", &["h", "o", "l", "a"]),
        ],
    );
}

#[test]
fn bytes_that_are_no_text_return() {
    let tokenizer = Vocabulary::byte_pair("gpt-2", MERGES, &[]).tokenizer();
    let mut random = Random(3);
    for _ in 0..500 {
        let bytes: Vec<u8> = (0..random.below(30))
            .map(|_| match random.below(3) {
                0 => random.below(256) as u8,
                _ => b"hello \n\xc3\xa9\xf0"[random.below(10)],
            })
            .collect();
        let tokens = tokenizer.encode_bytes(&bytes, PLAIN);
        let returned: Vec<u8> = tokens
            .iter()
            .flat_map(|&id| tokenizer.token_bytes(id))
            .collect();
        assert_eq!(returned, bytes, "{tokens:?}");
    }
}

#[test]
fn bytes_without_a_token_are_left_out() {
    let mut vocabulary = Vocabulary::byte_pair("gpt-2", &[], &[]);
    vocabulary.tokens.truncate(128);
    let tokens: Vec<String> = vocabulary
        .tokens
        .iter()
        .map(|token| token.0.clone())
        .collect();
    let tokenizer = vocabulary
        .without("tokenizer.ggml.token_type")
        .with("tokenizer.ggml.tokens", tokens)
        .tokenizer();
    check(&tokenizer, PLAIN, &[("aéb", &["a", "b"])]);
}

/// Merges on characters, spaces as ▁, line by line, bytes for the rest.
#[test]
fn escaped_alphabet() {
    let tokens = [
        "a", "b", "▁", "\n", "ab", "▁▁", "▁ab", "\n\n\n", "b▁", "<0xC3>", "<0xA9>",
    ];
    let kinds: Vec<i32> = tokens
        .iter()
        .map(|token| {
            if token.starts_with("<0x") {
                BYTE
            } else {
                NORMAL
            }
        })
        .collect();
    let vocabulary = Vocabulary::new(tokens.iter().map(|token| (token.to_string(), 0)))
        .with("tokenizer.ggml.token_type", kinds)
        .with("tokenizer.ggml.model", "gemma4")
        .with("tokenizer.ggml.merges", vec!["▁ ▁", "a b", "▁ ab", "b ▁"]);
    let tokenizer = vocabulary.tokenizer();
    check(
        &tokenizer,
        PLAIN,
        &[
            (" ab   a", &["▁ab", "▁▁", "▁", "a"]),
            ("b b", &["b▁", "b"]),
            ("aé", &["a", "<0xC3>", "<0xA9>"]),
            ("a\n\n\nb", &["a", "\n\n\n", "b"]),
            ("a\n\nb", &["a", "\n", "\n", "b"]),
        ],
    );
    for text in [" ab   a", "b b", "aé\n"] {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text, PLAIN)), text);
    }
}

/// The heap against the definition: look at all pairs, merge the best, start again.
#[test]
fn merges_as_defined() {
    let mut random = Random(11);
    for _ in 0..40 {
        let mut pieces = vec!["a".to_string(), "b".into(), "c".into()];
        let mut merges: Vec<String> = Vec::new();
        for _ in 0..25 {
            let (a, b) = (random.below(pieces.len()), random.below(pieces.len()));
            let merge = format!("{} {}", pieces[a], pieces[b]);
            if !merges.contains(&merge) {
                pieces.push(merge.replace(' ', ""));
                merges.push(merge);
            }
        }
        let merges: Vec<&str> = merges.iter().map(String::as_str).collect();
        let tokenizer = Vocabulary::byte_pair("gpt-2", &merges, &[]).tokenizer();
        for _ in 0..50 {
            let text: String = (0..random.below(40))
                .map(|_| ['a', 'b', 'c'][random.below(3)])
                .collect();
            let mut word: Vec<String> = text.chars().map(String::from).collect();
            let rank = |pair: &[String]| merges.iter().position(|merge| *merge == pair.join(" "));
            while let Some(at) = (0..word.len().saturating_sub(1))
                .filter(|&i| rank(&word[i..i + 2]).is_some())
                .min_by_key(|&i| rank(&word[i..i + 2]))
            {
                let right = word.remove(at + 1);
                word[at].push_str(&right);
            }
            let word: Vec<&str> = word.iter().map(String::as_str).collect();
            check(&tokenizer, PLAIN, &[(&text, &word)]);
        }
    }
}
