//! Special tokens: in text, around it, and at the end of a generation.

use super::*;

const TOKENS: &[(&str, i32)] = &[
    ("<s>", CONTROL),
    ("</s>", CONTROL),
    ("<|user|>", CONTROL),
    ("<|user|><|long|>", CONTROL),
    ("<mark>", USER_DEFINED),
    ("<mark>>", USER_DEFINED),
];

fn vocabulary() -> Vocabulary {
    let vocabulary = Vocabulary::byte_pair("gpt-2", &["< s", "<s >"], TOKENS);
    let (bos, eos) = (vocabulary.id("<s>"), vocabulary.id("</s>"));
    vocabulary
        .with("tokenizer.ggml.bos_token_id", bos)
        .with("tokenizer.ggml.eos_token_id", eos)
}

#[test]
fn control_tokens_only_when_asked_for() {
    let tokenizer = vocabulary().tokenizer();
    check(
        &tokenizer,
        PLAIN,
        &[
            ("</s>", &["<", "/", "s", ">"]),
            ("a<mark>b", &["a", "<mark>", "b"]),
            ("<mark>>>", &["<mark>>", ">"]),
        ],
    );
    check(
        &tokenizer,
        PARSE_SPECIAL,
        &[
            ("</s>", &["</s>"]),
            ("a<|user|>b</s>c", &["a", "<|user|>", "b", "</s>", "c"]),
            ("<|user|><|long|>", &["<|user|><|long|>"]),
            ("<|user|><|lon", &["<|user|>", "<", "|", "l", "o", "n"]),
            ("<|use</s>", &["<", "|", "u", "s", "e", "</s>"]),
            ("<mark>", &["<mark>"]),
        ],
    );
}

/// In a `llama` vocabulary the pieces of a control token could be merged into it.
#[test]
fn merging_makes_no_control_tokens() {
    let vocabulary = Vocabulary::sentencepiece(&[
        ("<unk>", UNKNOWN, 0.0),
        ("<s>", CONTROL, 0.0),
        ("▁", NORMAL, -9.0),
        ("<", NORMAL, -9.0),
        ("s", NORMAL, -9.0),
        (">", NORMAL, -9.0),
        ("<s", NORMAL, -8.0),
        ("<0x73>", BYTE, 0.0),
        ("<0x", NORMAL, -5.0),
        ("73>", NORMAL, -5.0),
        ("0", NORMAL, -9.0),
        ("x", NORMAL, -9.0),
        ("0x", NORMAL, -6.0),
        ("7", NORMAL, -9.0),
        ("3", NORMAL, -9.0),
        ("3>", NORMAL, -6.0),
    ]);
    check(
        &vocabulary.tokenizer(),
        PLAIN,
        &[("<s>", &["▁", "<s", ">"]), ("<0x73>", &["▁", "<0x", "73>"])],
    );
}

/// A `llama` vocabulary puts a space before text that follows a special token.
#[test]
fn space_after_special_tokens() {
    let tokenizer = Vocabulary::sentencepiece(&[
        ("<s>", CONTROL, 0.0),
        ("▁", NORMAL, -9.0),
        ("a", NORMAL, -9.0),
        ("▁a", NORMAL, -5.0),
    ])
    .with("tokenizer.ggml.bos_token_id", 0u32)
    .tokenizer();
    check(
        &tokenizer,
        PARSE_SPECIAL,
        &[("a<s>a a", &["▁a", "<s>", "▁a", "▁a"])],
    );
}

#[test]
fn white_space_after_the_tokens_of_phi_3() {
    let vocabulary = vocabulary().with("general.name", "Phi3 mini");
    check(
        &vocabulary.tokenizer(),
        PARSE_SPECIAL,
        &[
            ("<|user|> \n\u{b}a", &["<|user|>", "a"]),
            ("<|user|>\u{a0}", &["<|user|>", "Â", "ł"]),
            ("<s> a", &["<s>", "Ġ", "a"]),
        ],
    );
}

#[test]
fn bos_and_eos_around_the_text() {
    let [bos, eos] = [
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.add_eos_token",
    ];
    let gpt2 = vocabulary();
    let llama3 = vocabulary().with("tokenizer.ggml.pre", "llama-bpe");
    let rows: &[(Vocabulary, &[&str])] = &[
        (gpt2.clone(), &["a"]),
        (gpt2.clone().with(bos, true), &["<s>", "a"]),
        (gpt2.clone().with(eos, true), &["a", "</s>"]),
        (llama3.clone(), &["<s>", "a"]),
        (llama3.clone().with(bos, false), &["a"]),
        // wanted, but the file has none
        (
            llama3.clone().without("tokenizer.ggml.bos_token_id"),
            &["a"],
        ),
        (
            gpt2.with(eos, true).without("tokenizer.ggml.eos_token_id"),
            &["a"],
        ),
    ];
    for (vocabulary, expected) in rows {
        let tokenizer = vocabulary.tokenizer();
        check(&tokenizer, ADD_SPECIAL, &[("a", expected)]);
        check(&tokenizer, PLAIN, &[("a", &["a"])]);
        assert_eq!(tokenizer.adds_bos(), expected.contains(&"<s>"));
        assert_eq!(tokenizer.adds_eos(), expected.contains(&"</s>"));
    }
}

/// Tokens, keys that give their ids, and those of them that end a generation.
#[test]
fn ends() {
    type Row<'r> = (
        &'r [(&'r str, i32)],
        &'r [(&'static str, &'r str)],
        &'r [&'r str],
    );
    let rows: &[Row<'_>] = &[
        (&[("<s>", CONTROL)], &[], &[]),
        (
            &[("<s>", CONTROL), ("stop", CONTROL)],
            &[("tokenizer.ggml.eos_token_id", "stop")],
            &["stop"],
        ),
        (
            &[("a1", CONTROL), ("a2", CONTROL), ("a3", CONTROL)],
            &[
                ("tokenizer.ggml.eos_token_id", "a3"),
                ("tokenizer.ggml.eot_token_id", "a1"),
                ("tokenizer.ggml.eom_token_id", "a2"),
            ],
            &["a1", "a2", "a3"],
        ),
        (
            &[("<|eot_id|>", CONTROL), ("<|end_of_text|>", CONTROL)],
            &[],
            &["<|eot_id|>", "<|end_of_text|>"],
        ),
        (
            &[("<|im_end|>", USER_DEFINED), ("<|endoftext|>", NORMAL)],
            &[],
            &["<|im_end|>", "<|endoftext|>"],
        ),
        (
            &[("<end_of_turn>", CONTROL), ("</s>", NORMAL)],
            &[],
            &["<end_of_turn>"],
        ),
        (&[("</s>", CONTROL)], &[], &["</s>"]),
        (&[("</s>", USER_DEFINED)], &[], &["</s>"]),
        (
            &[("<|end|>", CONTROL), ("<|call|>", CONTROL)],
            &[],
            &["<|end|>", "<|call|>"],
        ),
        (
            &[
                ("<|end|>", CONTROL),
                ("<|return|>", CONTROL),
                ("<|call|>", CONTROL),
            ],
            &[],
            &["<|return|>", "<|call|>"],
        ),
        // -1 for "none"
        (&[("x1", CONTROL)], &[], &[]),
    ];
    for (tokens, keys, expected) in rows {
        let mut vocabulary = Vocabulary::byte_pair("gpt-2", &[], tokens);
        for (key, text) in *keys {
            let id = vocabulary.id(text);
            vocabulary = vocabulary.with(key, id);
        }
        let vocabulary = vocabulary.with("tokenizer.ggml.padding_token_id", u32::MAX);
        let tokenizer = vocabulary.tokenizer();
        let ends: Vec<_> = tokenizer
            .ends()
            .iter()
            .map(|&id| tokenizer.token_text(id))
            .collect();
        assert_eq!(ends, *expected, "{tokens:?}");
        for id in 0..tokenizer.vocab_size() as u32 {
            let is_end = expected.contains(&&*tokenizer.token_text(id));
            assert_eq!(tokenizer.is_end(id), is_end, "{}", tokenizer.token_text(id));
        }
        // they must be found in a rendered template, and never print
        for text in *expected {
            check(&tokenizer, PARSE_SPECIAL, &[(text, &[text])]);
            assert!(tokenizer.is_special(vocabulary.id(text)), "{text}");
        }
        assert_eq!(tokenizer.padding(), None);
    }
}
