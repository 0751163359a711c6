//! Every pre-tokenizer against the regular expressions that define it.

use super::{PreTokenizer, TABLE};
use fancy_regex::Regex;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const EAST_ASIAN: &str = "[一-龥ࠀ-一가-퟿]+";

/// By the first name of each row.
const DEFINITIONS: &[(&str, &[&str])] = &[
    (
        "default",
        &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    ),
    ("gpt-2", &[GPT2]),
    ("starcoder", &[r"\p{N}", GPT2]),
    (
        "falcon",
        &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    ),
    ("llama-bpe", &[LLAMA3]),
    ("dbrx", &[LLAMA3]),
    ("glm4", &[LLAMA3]),
    (
        "qwen2",
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    ),
    (
        "bailingmoe",
        &[
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
    ),
    (
        "minicpm5",
        &[
            r"\p{N}{1,3}",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    ),
    (
        "qwen35",
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    ),
    (
        "seed-coder",
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    ),
    (
        "tekken",
        &[
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    ),
    (
        "gpt-4o",
        &[
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    ),
    (
        "deepseek-llm",
        &[
            "[\r\n]",
            r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1f7d}ᾀ-ᾴᾶ-ᾼ\x{1fbe}ῂ-ῄῆ-ῌῐ-\x{1fd3}ῖ-\x{1fdb}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212a}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
            "\\s?[!-/:-~！-／：-～‘-‟\u{3000}-。]+",
            r"\s+$",
            EAST_ASIAN,
            r"\p{N}+",
        ],
    ),
    (
        "deepseek-coder",
        &["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST_ASIAN, r"\p{N}"],
    ),
    (
        "deepseek-v3",
        &[
            r"\p{N}{1,3}",
            "[一-龥\u{3040}-ゟ゠-ヿ]+",
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
        ],
    ),
    ("bloom", &[r" ?[^(\s|.,!?…。，、।۔،)]+"]),
    ("viking", &[r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}"]),
    ("gemma4", &[r"[^\n]+|[\n]+"]),
];

/// What the expressions say: each isolates its matches within the pieces of the one before.
fn split_by_definition<'t>(expressions: &[Regex], text: &'t str) -> Vec<&'t str> {
    let mut pieces = vec![text];
    for expression in expressions {
        let mut next = Vec::new();
        for piece in pieces {
            let mut done = 0;
            for found in expression.find_iter(piece) {
                let found = found.unwrap();
                next.extend([&piece[done..found.start()], found.as_str()]);
                done = found.end();
            }
            next.push(&piece[done..]);
        }
        pieces = next;
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn split<'t>(row: &PreTokenizer, text: &'t str) -> Vec<&'t str> {
    let mut words = Vec::new();
    let mut at = 0;
    row.split(text, &mut |word| {
        words.push(&text[at..at + word.len()]);
        assert_eq!(words.last(), Some(&word));
        at += word.len();
    });
    assert_eq!(at, text.len(), "words of {text:?} do not make it up");
    words
}

/// Strings put together from what the patterns treat specially; the same on every run.
fn texts() -> Vec<String> {
    #[rustfmt::skip]
    const PARTS: &[&str] = &[
        " ", " ", "  ", "\t", "\n", "\r", "\r\n", "\u{b}", "\u{85}", "\u{a0}", "\u{2003}", "\u{2028}", "\u{3000}",
        "a", "b", "é", "ß", "Z", "Ä", "ŉ", "word", "Word", "WORD", "ǅ", "ʰ", "ª", "中", "龥", "龦", "の", "ー", "カ", "한", "ก", "ا", "ए",
        "\u{301}", "\u{93f}", "\u{20dd}", "\u{fe0f}", "\u{200d}", "\u{feff}", "\0", "\u{7f}", "\u{ad}", "\u{e000}", "\u{10ffff}",
        "1", "2", "23", "345", "6789", "²", "Ⅷ", "٣", "½", "𝟘", "'", "'s", "'S", "'ſ", "'t", "'re", "'RE", "'vE", "'m", "'ll", "'lL", "'d", "'x",
        ".", ",", "!", "?", "/", "//", "-", "_", "(", ")", "|", "$", "+", "<", "=", ">", "^", "~", "`", "€", "…", "。", "، ", "！", "：", "“",
        "🦙", "😶‍🌫️", "𐐀", "𠀀", "𪜀", "\u{323b0}", "\u{e0100}",
    ];
    let mut state = 1u64;
    let mut below = move |n: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let mut texts: Vec<String> = PARTS.iter().map(|part| part.to_string()).collect();
    for _ in 0..4000 {
        texts.push(
            (0..1 + below(12))
                .map(|_| PARTS[below(PARTS.len())])
                .collect(),
        );
    }
    texts
}

#[test]
fn every_row_matches_its_regular_expressions() {
    let texts = texts();
    for row in TABLE {
        let name = row.names[0];
        let (_, definition) = DEFINITIONS
            .iter()
            .find(|(names, _)| *names == name)
            .unwrap_or_else(|| panic!("{name} has no regular expressions to be held against"));
        check(row, definition, &texts);
    }
}

#[test]
fn bailingmoe_is_qwen2_written_differently() {
    let row = PreTokenizer::named("bailingmoe").unwrap();
    let (_, definition) = DEFINITIONS
        .iter()
        .find(|(name, _)| *name == "bailingmoe")
        .unwrap();
    check(row, definition, &texts());
}

fn check(row: &PreTokenizer, definition: &[&str], texts: &[String]) {
    let expressions: Vec<Regex> = definition.iter().map(|e| Regex::new(e).unwrap()).collect();
    for text in texts {
        assert_eq!(
            split(row, text),
            split_by_definition(&expressions, text),
            "{} of {text:?}",
            row.names[0]
        );
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = TABLE.iter().flat_map(|row| row.names).copied().collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
