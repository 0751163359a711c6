//! Pre-tokenizers: how a text is cut into the words that byte pairs are merged within.
//!
//! A pre-tokenizer is a list of steps. The first cuts the text, the next cuts every piece of it again, and so on. Which one
//! a vocabulary was made with, `tokenizer.ggml.pre` says by name; [`TABLE`] has them all, and a new one is a row there.
//!
//! Source: the `pre_tokenizer` sections of the models' own `tokenizer.json`, and the names that llama.cpp's conversion gave
//! them.

mod category;
mod category_table;
mod words;

use category::{L, M, N, P};
use words::{CasedWords, Words};

/// One way to cut a text.
pub(super) enum Step {
    /// The function says how many bytes of the start of a text match, 0 for no match. Every match is a piece, and so is
    /// what lies between two matches.
    Matches(fn(&str) -> usize),
    /// White space at the end of a text is a piece: `\s+$`.
    TrailingSpace,
}

/// How the text of tokens stands in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// Every byte as one printable character, see [`byte_level`](super::byte_level).
    ByteLevel,
    /// As it is, but for spaces, which stand as U+2581; what is not in the vocabulary goes by byte tokens.
    Escaped,
}

/// Which words become one token without any merging when they are in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WholeWords {
    None,
    All,
    /// Runs of line ends.
    LineEnds,
}

/// A row of the table.
pub(super) struct PreTokenizer {
    names: &'static [&'static str],
    steps: &'static [Step],
    pub alphabet: Alphabet,
    pub whole_words: WholeWords,
    /// Whether a text starts with BOS where the file does not say.
    pub adds_bos: bool,
}

impl PreTokenizer {
    /// The row of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.names.contains(&name))
    }

    /// Calls `word` with the words of a text in order. Together they are the text.
    pub fn split(&self, text: &str, word: &mut dyn FnMut(&str)) {
        split(self.steps, text, word);
    }
}

fn split(steps: &[Step], text: &str, word: &mut dyn FnMut(&str)) {
    if text.is_empty() {
        return;
    }
    let Some((step, steps)) = steps.split_first() else {
        return word(text);
    };
    match step {
        Step::Matches(matches) => {
            let (mut at, mut done) = (0, 0);
            while at < text.len() {
                let len = matches(&text[at..]);
                if len > 0 {
                    split(steps, &text[done..at], word);
                    split(steps, &text[at..at + len], word);
                    at += len;
                    done = at;
                } else {
                    at += text[at..].chars().next().map_or(1, char::len_utf8);
                }
            }
            split(steps, &text[done..], word);
        }
        Step::TrailingSpace => {
            let (start, space) = text.split_at(text.trim_end().len());
            split(steps, start, word);
            split(steps, space, word);
        }
    }
}

const BY_WORD: PreTokenizer = PreTokenizer {
    names: &[],
    steps: &[],
    alphabet: Alphabet::ByteLevel,
    whole_words: WholeWords::None,
    adds_bos: false,
};

const GPT2: Step = Step::Matches(words::gpt2);

/// `\p{N}`
const DIGIT: Step = Step::Matches(|text| category::one(text, N));

/// `\p{N}+`
const DIGITS: Step = Step::Matches(|text| category::run(text, N));

/// `[\r\n]`
const LINE_END: Step = Step::Matches(|text| usize::from(text.starts_with(['\r', '\n'])));

/// `[0-9][0-9][0-9]`
const THREE_DIGITS: Step = Step::Matches(words::three_digits);

/// `[一-龥ࠀ-一가-퟿]+`
const EAST_ASIAN: Step = Step::Matches(|text| {
    category::run_while(
        text,
        |c| matches!(c, '\u{800}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7ff}'),
    )
});

const LLAMA3: Words = Words {
    letters: L,
    max_digits: 3,
    after_punctuation: &['\r', '\n'],
};
const QWEN2: Words = Words {
    max_digits: 1,
    ..LLAMA3
};

static TABLE: &[PreTokenizer] = &[
    PreTokenizer {
        names: &["default"],
        steps: &[
            Step::Matches(|text| words::marks(text, false)),
            GPT2,
            DIGITS,
            THREE_DIGITS,
        ],
        ..BY_WORD
    },
    PreTokenizer {
        names: &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "exaone4",
        ],
        steps: &[GPT2],
        ..BY_WORD
    },
    PreTokenizer {
        names: &[
            "starcoder",
            "refact",
            "command-r",
            "smollm",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        steps: &[DIGIT, GPT2],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["falcon"],
        steps: &[
            Step::Matches(|text| words::marks(text, true)),
            GPT2,
            THREE_DIGITS,
        ],
        ..BY_WORD
    },
    PreTokenizer {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
        ],
        steps: &[Step::Matches(|text| words::words(text, &LLAMA3))],
        whole_words: WholeWords::All,
        adds_bos: true,
        ..BY_WORD
    },
    PreTokenizer {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe"],
        steps: &[Step::Matches(|text| words::words(text, &LLAMA3))],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["glm4", "glm5"],
        steps: &[Step::Matches(|text| words::words(text, &LLAMA3))],
        whole_words: WholeWords::All,
        ..BY_WORD
    },
    PreTokenizer {
        names: &[
            "qwen2",
            "deepseek-r1-qwen",
            "megrez",
            "kormo",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "grok-2",
            // its pattern for line ends is written differently and matches the same
            "bailingmoe",
            "bailingmoe2",
            "llada-moe",
        ],
        steps: &[Step::Matches(|text| words::words(text, &QWEN2))],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["minicpm5"],
        steps: &[
            Step::Matches(|text| category::run_up_to(text, N, 3)),
            Step::Matches(|text| words::words(text, &LLAMA3)),
        ],
        whole_words: WholeWords::All,
        ..BY_WORD
    },
    PreTokenizer {
        names: &["qwen35"],
        steps: &[Step::Matches(|text| {
            words::words(
                text,
                &Words {
                    letters: L | M,
                    ..QWEN2
                },
            )
        })],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["seed-coder"],
        steps: &[Step::Matches(|text| {
            words::words(
                text,
                &Words {
                    after_punctuation: &[],
                    ..QWEN2
                },
            )
        })],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["tekken"],
        steps: &[Step::Matches(|text| {
            words::cased_words(
                text,
                &CasedWords {
                    contractions: false,
                    max_digits: 1,
                },
            )
        })],
        whole_words: WholeWords::All,
        adds_bos: true,
        ..BY_WORD
    },
    PreTokenizer {
        names: &["gpt-4o", "llama4", "kanana2", "minimax-m2"],
        steps: &[Step::Matches(|text| {
            words::cased_words(
                text,
                &CasedWords {
                    contractions: true,
                    max_digits: 3,
                },
            )
        })],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["deepseek-llm"],
        steps: &[
            LINE_END,
            Step::Matches(|text| words::after_space(text, words::is_cased_letter)),
            Step::Matches(|text| {
                words::after_space(
                    text,
                    |c| matches!(c, '!'..='/' | ':'..='~' | '！'..='／' | '：'..='～' | '‘'..='‟' | '\u{3000}'..='。'),
                )
            }),
            Step::TrailingSpace,
            EAST_ASIAN,
            DIGITS,
        ],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        steps: &[
            LINE_END,
            Step::Matches(|text| words::after_space(text, |c| category::category(c) & L != 0)),
            Step::Matches(|text| words::after_space(text, |c| category::category(c) == P)),
            EAST_ASIAN,
            DIGIT,
        ],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm"],
        steps: &[
            Step::Matches(|text| category::run_up_to(text, N, 3)),
            Step::Matches(|text| {
                category::run_while(text, |c| matches!(c, '一'..='龥' | '\u{3040}'..='\u{30ff}'))
            }),
            Step::Matches(words::deepseek_v3),
        ],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["bloom", "poro-chat", "gpt3-finnish"],
        steps: &[Step::Matches(words::bloom)],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["viking"],
        steps: &[Step::Matches(words::bloom), DIGIT],
        ..BY_WORD
    },
    PreTokenizer {
        names: &["gemma4"],
        steps: &[Step::Matches(words::lines)],
        alphabet: Alphabet::Escaped,
        whole_words: WholeWords::LineEnds,
        adds_bos: true,
    },
];

#[cfg(test)]
mod tests;
