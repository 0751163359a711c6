//! Tokens to text.

use super::*;
use crate::tokenizer::{Decode, Detokenizer};

fn sentencepiece() -> Vocabulary {
    let mut tokens = vec![
        ("<unk>".to_string(), UNKNOWN, 0.0),
        ("<s>".into(), CONTROL, 0.0),
        ("▁a".into(), NORMAL, -1.0),
        ("a▁▁b".into(), NORMAL, -1.0),
        ("é".into(), NORMAL, -1.0),
        ("<user>".into(), USER_DEFINED, 0.0),
        ("".into(), NORMAL, 0.0),
    ];
    tokens.extend((0..=255).map(|byte: u8| (format!("<0x{byte:02X}>"), BYTE, 0.0)));
    let tokens: Vec<(&str, i32, f32)> = tokens
        .iter()
        .map(|(text, kind, score)| (text.as_str(), *kind, *score))
        .collect();
    Vocabulary::sentencepiece(&tokens)
}

const BEGINS: Decode = Decode {
    begins_text: true,
    special: false,
};
const CONTINUES: Decode = Decode {
    begins_text: false,
    special: false,
};
const SPECIAL: Decode = Decode {
    begins_text: false,
    special: true,
};

/// Tokens by text, what comes out after each, and at the end.
#[track_caller]
fn check(vocabulary: &Vocabulary, options: Decode, tokens: &[&str], expected: &[&str], end: &str) {
    let tokenizer = vocabulary.tokenizer();
    let ids: Vec<u32> = tokens.iter().map(|text| vocabulary.id(text)).collect();
    let mut detokenizer = Detokenizer::new(options);
    let pieces: Vec<String> = ids
        .iter()
        .map(|&id| detokenizer.push(&tokenizer, id).to_string())
        .collect();
    assert_eq!(pieces, expected, "{tokens:?}");
    assert_eq!(detokenizer.finish(), end, "{tokens:?}");
    assert_eq!(detokenizer.finish(), "", "nothing is left after finish");
    let whole = tokenizer.decode_with(&ids, options);
    assert_eq!(whole, pieces.concat() + end, "{tokens:?} at once");
}

#[test]
fn first_space_belongs_to_the_encoding() {
    let vocabulary = sentencepiece();
    check(&vocabulary, BEGINS, &["▁a", "▁a"], &["a", " a"], "");
    check(
        &vocabulary,
        BEGINS,
        &["<s>", "▁a", "▁a"],
        &["", "a", " a"],
        "",
    );
    check(&vocabulary, BEGINS, &["é", "▁a"], &["é", " a"], "");
    check(&vocabulary, BEGINS, &["a▁▁b"], &["a  b"], "");
    check(&vocabulary, BEGINS, &["<0x20>", "<0x20>"], &["", " "], "");
    check(&vocabulary, CONTINUES, &["▁a", "▁a"], &[" a", " a"], "");
    let no_prefix = vocabulary.with("tokenizer.ggml.add_space_prefix", false);
    check(&no_prefix, BEGINS, &["▁a"], &[" a"], "");
}

#[test]
fn special_tokens_print_when_asked_for() {
    let vocabulary = sentencepiece();
    let tokens = ["<s>", "<unk>", "<user>", ""];
    check(&vocabulary, CONTINUES, &tokens, &["", "", "<user>", ""], "");
    check(
        &vocabulary,
        SPECIAL,
        &tokens,
        &["<s>", "<unk>", "<user>", ""],
        "",
    );
}

#[test]
fn characters_come_out_whole() {
    let vocabulary = sentencepiece();
    check(
        &vocabulary,
        CONTINUES,
        &["<0xC3>", "<0xA9>"],
        &["", "é"],
        "",
    );
    // 🦙
    check(
        &vocabulary,
        CONTINUES,
        &["<0xF0>", "<0x9F>", "<0xA6>", "<0x99>", "é"],
        &["", "", "", "🦙", "é"],
        "",
    );
    // a control token in between changes nothing
    check(
        &vocabulary,
        CONTINUES,
        &["<0xC3>", "<s>", "<0xA9>"],
        &["", "", "é"],
        "",
    );
}

#[test]
fn what_is_no_utf8_becomes_u_fffd() {
    let vocabulary = sentencepiece();
    let rows: &[(&[&str], &[&str], &str)] = &[
        (&["<0xFF>"], &["\u{fffd}"], ""),
        (&["<0x80>", "<0x80>"], &["\u{fffd}", "\u{fffd}"], ""),
        (&["<0xF0>", "<0x9F>"], &["", ""], "\u{fffd}"),
        (&["<0xF0>", "<0x9F>", "é"], &["", "", "\u{fffd}é"], ""),
        (&["<0xC3>", "<0xC3>", "<0xA9>"], &["", "\u{fffd}", "é"], ""),
        // an encoded surrogate and an overlong form
        (
            &["<0xED>", "<0xA0>", "<0x80>"],
            &["", "\u{fffd}\u{fffd}", "\u{fffd}"],
            "",
        ),
        (&["<0xC0>", "<0xAF>"], &["\u{fffd}", "\u{fffd}"], ""),
    ];
    for (tokens, expected, end) in rows {
        check(&vocabulary, CONTINUES, tokens, expected, end);
    }
}

#[test]
fn streaming_agrees_with_the_standard_library() {
    let vocabulary = sentencepiece();
    let tokenizer = vocabulary.tokenizer();
    let mut random = Random(5);
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..random.below(12))
            .map(|_| b"a\x80\x9f\xa6\xc3\xa9\xe1\xf0\xf4\xed\xff\x99"[random.below(12)])
            .collect();
        let ids: Vec<u32> = bytes.iter().map(|&byte| 7 + u32::from(byte)).collect();
        let expected = String::from_utf8_lossy(&bytes);
        assert_eq!(
            tokenizer.decode_with(&ids, CONTINUES),
            expected,
            "{bytes:02x?}"
        );
    }
}

/// A token of a byte-level vocabulary may have been added with text outside of the alphabet.
#[test]
fn byte_level_tokens() {
    let vocabulary = Vocabulary::byte_pair(
        "gpt-2",
        &["Ġ a"],
        &[
            ("日本 語", NORMAL),
            ("Ġ<mark>", USER_DEFINED),
            ("<0xC3>", BYTE),
        ],
    );
    check(
        &vocabulary,
        BEGINS,
        &["Ġa", "Ã", "©", "日本 語", "Ġ<mark>", "<0xC3>", "©"],
        &[" a", "", "é", "日本 語", "Ġ<mark>", "", "é"],
        "",
    );
}

#[test]
#[should_panic(expected = "token 263 of a vocabulary of 263 tokens")]
fn ids_outside_of_the_vocabulary_are_a_mistake() {
    sentencepiece().tokenizer().decode(&[263]);
}
