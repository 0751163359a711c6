//! The patterns that cut text into words, one function each.
//!
//! Tokenizers define these as regular expressions with alternatives tried in order. Here each is written out as a function
//! that takes a text and returns how many bytes of its start match, 0 for no match. That costs no compilation at load, runs
//! in time linear in the text whatever the text (a backtracking matcher has limits that a long run of spaces reaches), and
//! is several times faster. The tests hold every function against the regular expression in its doc comment.

use super::category::{
    L, LL, LM, LO, LT, LU, M, N, NEWLINE, P, S, Set, WHITE, category, not, one, run, run_up_to,
    run_while,
};

/// Whether English contractions are matched in lower case only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Lower,
    Any,
}

/// `'s|'t|'re|'ve|'m|'ll|'d`
///
/// In any case, U+017F (long s) counts as an s: that is what Unicode case folding says, and `(?i:…)` follows.
pub(super) fn contraction(text: &str, case: Case) -> usize {
    let Some(rest) = text.strip_prefix('\'') else {
        return 0;
    };
    let fold = |c: char| match case {
        Case::Lower => c,
        Case::Any => c.to_ascii_lowercase(),
    };
    let mut chars = rest.chars().map(fold);
    match (chars.next(), chars.next()) {
        (Some('s' | 't' | 'm' | 'd'), _) => 2,
        (Some('r' | 'v'), Some('e')) | (Some('l'), Some('l')) => 3,
        (Some('ſ'), _) if case == Case::Any => 1 + 'ſ'.len_utf8(),
        _ => 0,
    }
}

/// `\s+(?!\S)|\s+`: white space, but for its last character if a word follows.
fn space(text: &str) -> usize {
    let run = run(text, WHITE);
    let last = text[..run].chars().next_back().map_or(0, char::len_utf8);
    if run == text.len() || run == last {
        run
    } else {
        run - last
    }
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+`: white space up to its last line end, else as [`space`].
fn space_by_lines(text: &str) -> usize {
    let run = run(text, WHITE);
    match text[..run].rfind(['\r', '\n']) {
        Some(at) => at + 1,
        None => space(text),
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
pub(super) fn gpt2(text: &str) -> usize {
    let contraction = contraction(text, Case::Lower);
    if contraction > 0 {
        return contraction;
    }
    let prefix = usize::from(text.starts_with(' '));
    let word = &text[prefix..];
    let set = match word.chars().next().map_or(WHITE, category) {
        c if c & L != 0 => L,
        N => N,
        c if c & WHITE != 0 => return space(text),
        _ => not(WHITE | L | N),
    };
    prefix + run(word, set)
}

/// What varies among the descendants of the pattern that came with GPT-4.
pub(super) struct Words {
    /// What words are made of.
    pub letters: Set,
    /// How many digits at most stand together.
    pub max_digits: usize,
    /// The characters that may follow punctuation within its word.
    pub after_punctuation: &'static [char],
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
/// with the variations of [`Words`].
pub(super) fn words(text: &str, kind: &Words) -> usize {
    let contraction = contraction(text, Case::Any);
    if contraction > 0 {
        return contraction;
    }
    let prefix = one(text, not(NEWLINE | L | N));
    let letters = run(&text[prefix..], kind.letters);
    if letters > 0 {
        return prefix + letters;
    }
    if prefix > 0 {
        let letters = run(text, kind.letters); // the prefix itself, where marks are letters too
        if letters > 0 {
            return letters;
        }
    }
    let digits = run_up_to(text, N, kind.max_digits);
    if digits > 0 {
        return digits;
    }
    match punctuation(
        text,
        not(WHITE | N | L | kind.letters),
        kind.after_punctuation,
    ) {
        0 => space_by_lines(text),
        punctuation => punctuation,
    }
}

/// ` ?[…]+[\r\n]*`: characters of a set, perhaps after a space, and what may follow them.
fn punctuation(text: &str, set: Set, after: &[char]) -> usize {
    let prefix = usize::from(text.starts_with(' '));
    let marks = run(&text[prefix..], set);
    if marks == 0 {
        return 0;
    }
    let end = prefix + marks;
    end + run_while(&text[end..], |c| after.contains(&c))
}

/// What varies among the patterns that break words where lower case meets upper case.
pub(super) struct CasedWords {
    /// Whether a contraction belongs to the word before it.
    pub contractions: bool,
    /// How many digits at most stand together.
    pub max_digits: usize,
}

/// With `U` for `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]` and `W` for `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`:
/// `[^\r\n\p{L}\p{N}]?U*W+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?U+W*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|`
/// ` ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
/// with the variations of [`CasedWords`].
pub(super) fn cased_words(text: &str, kind: &CasedWords) -> usize {
    let prefix = one(text, not(NEWLINE | L | N));
    let mut word = 0;
    for shape in [ends_in_lower, starts_in_upper] {
        for start in [prefix, 0] {
            if word == 0 {
                let len = shape(&text[start..]);
                word = if len > 0 { start + len } else { 0 };
            }
        }
    }
    if word > 0 {
        return match kind.contractions {
            true => word + contraction(&text[word..], Case::Any),
            false => word,
        };
    }
    let digits = run_up_to(text, N, kind.max_digits);
    if digits > 0 {
        return digits;
    }
    match punctuation(text, not(WHITE | L | N), &['\r', '\n', '/']) {
        0 => space_by_lines(text),
        punctuation => punctuation,
    }
}

const UPPER: Set = LU | LT | LM | LO | M;
const LOWER: Set = LL | LM | LO | M;

/// `U*W+`, where the two overlap: the run of `U` gives back what the run of `W` needs to exist.
fn ends_in_lower(text: &str) -> usize {
    let upper = run(text, UPPER);
    let lower = run(&text[upper..], LOWER);
    if lower > 0 {
        return upper + lower;
    }
    text[..upper]
        .char_indices()
        .rfind(|&(_, c)| category(c) & LOWER != 0)
        .map_or(0, |(at, c)| at + c.len_utf8())
}

/// `U+W*`
fn starts_in_upper(text: &str) -> usize {
    match run(text, UPPER) {
        0 => 0,
        upper => upper + run(&text[upper..], LOWER),
    }
}

/// ``[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|``
/// `\s*[\r\n]+|\s+(?!\S)|\s+`
pub(super) fn deepseek_v3(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_punctuation()) {
        let letters = run_while(&text[1..], |c| c.is_ascii_alphabetic());
        if letters > 0 {
            return 1 + letters;
        }
    }
    for prefix in [one(text, not(NEWLINE | L | P | S)), 0] {
        let letters = run(&text[prefix..], L | M);
        if letters > 0 {
            return prefix + letters;
        }
    }
    match punctuation(text, P | S, &['\r', '\n']) {
        0 => space_by_lines(text),
        punctuation => punctuation,
    }
}

/// `\s?[…]+`: characters of a set, perhaps after one of white space.
pub(super) fn after_space(text: &str, passes: impl Fn(char) -> bool + Copy) -> usize {
    for prefix in [one(text, WHITE), 0] {
        let word = run_while(&text[prefix..], passes);
        if word > 0 {
            return prefix + word;
        }
    }
    0
}

/// ` ?[^(\s|.,!?…。，、।۔،)]+`
pub(super) fn bloom(text: &str) -> usize {
    const BREAKS: &str = "(|.,!?…。，、।۔،)";
    let prefix = usize::from(text.starts_with(' '));
    match run_while(&text[prefix..], |c| {
        category(c) & WHITE == 0 && !BREAKS.contains(c)
    }) {
        0 => 0,
        word => prefix + word,
    }
}

/// `[\p{P}$+<=>^~|]+`, with the backtick where the tokenizer has it.
pub(super) fn marks(text: &str, backtick: bool) -> usize {
    run_while(text, |c| match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|' => true,
        '`' => backtick,
        _ => category(c) == P,
    })
}

/// `[0-9][0-9][0-9]`
pub(super) fn three_digits(text: &str) -> usize {
    match text.as_bytes() {
        [a, b, c, ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => 3,
        _ => 0,
    }
}

/// `[^\n]+|[\n]+`
pub(super) fn lines(text: &str) -> usize {
    match text.find('\n') {
        Some(0) => run_while(text, |c| c == '\n'),
        Some(at) => at,
        None => text.len(),
    }
}

/// The Latin, Greek, Cyrillic, Georgian, Cherokee and other cased letters that DeepSeek's first tokenizers list one by one.
pub(super) fn is_cased_letter(c: char) -> bool {
    let after = CASED_LETTERS.partition_point(|&(first, _)| first <= c);
    c.is_ascii_alphabetic() || after > 0 && c <= CASED_LETTERS[after - 1].1
}

/// Beyond ASCII, in order.
#[rustfmt::skip]
const CASED_LETTERS: &[(char, char)] = &[
    ('\u{b5}', '\u{b5}'), ('\u{c0}', '\u{d6}'), ('\u{d8}', '\u{f6}'), ('\u{f8}', '\u{1ba}'),
    ('\u{1bc}', '\u{1bf}'), ('\u{1c4}', '\u{293}'), ('\u{295}', '\u{2af}'), ('\u{370}', '\u{373}'),
    ('\u{376}', '\u{376}'), ('\u{377}', '\u{377}'), ('\u{37b}', '\u{37d}'), ('\u{37f}', '\u{37f}'),
    ('\u{386}', '\u{386}'), ('\u{388}', '\u{38a}'), ('\u{38c}', '\u{38c}'), ('\u{38e}', '\u{3a1}'),
    ('\u{3a3}', '\u{3f5}'), ('\u{3f7}', '\u{481}'), ('\u{48a}', '\u{52f}'), ('\u{531}', '\u{556}'),
    ('\u{10a0}', '\u{10c5}'), ('\u{13a0}', '\u{13f5}'), ('\u{13f8}', '\u{13fd}'), ('\u{1c90}', '\u{1cba}'),
    ('\u{1cbd}', '\u{1cbf}'), ('\u{1d00}', '\u{1d2b}'), ('\u{1d6b}', '\u{1d77}'), ('\u{1d79}', '\u{1d9a}'),
    ('\u{1e00}', '\u{1f15}'), ('\u{1f18}', '\u{1f1d}'), ('\u{1f20}', '\u{1f45}'), ('\u{1f48}', '\u{1f4d}'),
    ('\u{1f50}', '\u{1f57}'), ('\u{1f59}', '\u{1f59}'), ('\u{1f5b}', '\u{1f5b}'), ('\u{1f5d}', '\u{1f5d}'),
    ('\u{1f5f}', '\u{1f7d}'), ('\u{1f80}', '\u{1fb4}'), ('\u{1fb6}', '\u{1fbc}'), ('\u{1fbe}', '\u{1fbe}'),
    ('\u{1fc2}', '\u{1fc4}'), ('\u{1fc6}', '\u{1fcc}'), ('\u{1fd0}', '\u{1fd3}'), ('\u{1fd6}', '\u{1fdb}'),
    ('\u{1fe0}', '\u{1fec}'), ('\u{1ff2}', '\u{1ff4}'), ('\u{1ff6}', '\u{1ffc}'), ('\u{2102}', '\u{2102}'),
    ('\u{2107}', '\u{2107}'), ('\u{210a}', '\u{2113}'), ('\u{2115}', '\u{2115}'), ('\u{2119}', '\u{211d}'),
    ('\u{2124}', '\u{2124}'), ('\u{2126}', '\u{2126}'), ('\u{2128}', '\u{2128}'), ('\u{212a}', '\u{212d}'),
    ('\u{212f}', '\u{2134}'), ('\u{2139}', '\u{2139}'), ('\u{213c}', '\u{213f}'), ('\u{2145}', '\u{2149}'),
    ('\u{214e}', '\u{214e}'), ('\u{2183}', '\u{2183}'), ('\u{2184}', '\u{2184}'), ('\u{2c00}', '\u{2c7b}'),
    ('\u{2c7e}', '\u{2ce4}'), ('\u{2ceb}', '\u{2cee}'), ('\u{2cf2}', '\u{2cf2}'), ('\u{2cf3}', '\u{2cf3}'),
    ('\u{a640}', '\u{a66d}'), ('\u{a680}', '\u{a69b}'), ('\u{a722}', '\u{a76f}'), ('\u{a771}', '\u{a787}'),
    ('\u{a78b}', '\u{a78e}'), ('\u{ab70}', '\u{abbf}'), ('\u{fb00}', '\u{fb06}'), ('\u{fb13}', '\u{fb17}'),
    ('\u{ff21}', '\u{ff3a}'), ('\u{ff41}', '\u{ff5a}'), ('\u{10400}', '\u{1044f}'), ('\u{104b0}', '\u{104d3}'),
    ('\u{104d8}', '\u{104fb}'), ('\u{10c80}', '\u{10cb2}'), ('\u{10cc0}', '\u{10cf2}'), ('\u{118a0}', '\u{118df}'),
    ('\u{1e900}', '\u{1e943}'),
];
