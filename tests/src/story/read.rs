//! Judging a story: reading it as the grammar writes, with backtracking.
//!
//! The reader carries the bindings along, so a story passes only if *one*
//! assignment of characters, things and places explains every sentence, in an
//! order in which causes come before what they cause.

use super::grammar::{Bindings, GRAMMAR, Grammar, Piece};

/// What is wrong with a story.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Complaint {
    /// There is no text.
    #[error("expected a story, found no text")]
    Empty,
    /// The text breaks off: what is there could go on to be a story.
    #[error("the story breaks off in sentence {sentence}: expected {expected}")]
    Unfinished {
        /// Number of the sentence, from 1.
        sentence: usize,
        /// What could come next.
        expected: String,
    },
    /// The story goes wrong: no story that begins like this one goes on so.
    #[error("sentence {sentence}: expected {expected}, found {found:?}")]
    Unexpected {
        /// Number of the sentence, from 1.
        sentence: usize,
        /// What could have come there, with the role it plays in this story.
        expected: String,
        /// The text that is there, shortened.
        found: String,
    },
    /// The story is whole, but text follows.
    #[error("expected the end after sentence {sentence}, found {found:?}")]
    Trailing {
        /// Number of the last sentence of the story, from 1.
        sentence: usize,
        /// The text that follows, shortened.
        found: String,
    },
}

/// Whether a text is a story: a whole one, in order, and about the same things
/// throughout. White space around it is ignored.
///
/// # Errors
/// The complaint names the furthest place up to which the text could be understood.
///
/// ```
/// use firstlight_tests::story::{check, generate};
/// assert!(check(&generate(1)).is_ok());
/// assert!(check("Once upon a time, there was a little girl named Pip.").is_err());
/// ```
pub fn check(text: &str) -> Result<(), Complaint> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Complaint::Empty);
    }
    let mut reader = Reader {
        grammar: &GRAMMAR,
        text,
        furthest: 0,
        expected: Vec::new(),
        ended: None,
    };
    let start = [Piece::Rule(reader.grammar.start)];
    let todo = Todo {
        pieces: &start,
        role: None,
        then: None,
    };
    if reader.read(Some(&todo), 0, Bindings::none()) {
        return Ok(());
    }
    Err(reader.complaint())
}

/// What is still to be read: the rest of a template, then the rest of the one
/// around it.
struct Todo<'a> {
    pieces: &'a [Piece],
    /// The variable whose row this template comes from.
    role: Option<usize>,
    then: Option<&'a Todo<'a>>,
}

struct Reader<'a> {
    grammar: &'a Grammar,
    text: &'a str,
    /// The furthest offset at which a template differed, and the texts wanted there.
    furthest: usize,
    expected: Vec<String>,
    /// Where a whole story ended before the text did.
    ended: Option<usize>,
}

impl Reader<'_> {
    fn read(&mut self, todo: Option<&Todo<'_>>, at: usize, bound: Bindings) -> bool {
        let Some(todo) = todo else {
            if at < self.text.len() {
                self.ended = self.ended.max(Some(at));
            }
            return at == self.text.len();
        };
        let Some((piece, pieces)) = todo.pieces.split_first() else {
            return self.read(todo.then, at, bound);
        };
        let rest = Todo { pieces, ..*todo };
        match piece {
            Piece::Text(wanted) => {
                self.matches(wanted, at, todo.role)
                    && self.read(Some(&rest), at + wanted.len(), bound)
            }
            Piece::Rule(rule) => {
                let grammar: &Grammar = &GRAMMAR;
                grammar.rules[*rule].iter().any(|alternative| {
                    let inside = Todo {
                        pieces: &alternative.pieces,
                        role: None,
                        then: Some(&rest),
                    };
                    self.read(Some(&inside), at, bound)
                })
            }
            Piece::Is {
                variable,
                field,
                value,
            } => self.each_row(*variable, bound, |reader, row, bound| {
                reader.grammar.rows(*variable)[row].0[*field].raw == value
                    && reader.read(Some(&rest), at, bound)
            }),
            Piece::Field {
                variable,
                field,
                capital,
            } => self.each_row(*variable, bound, |reader, row, bound| {
                let field = &GRAMMAR.rows(*variable)[row].0[*field];
                let inside = Todo {
                    pieces: if *capital {
                        &field.capitalized
                    } else {
                        &field.pieces
                    },
                    role: Some(*variable),
                    then: Some(&rest),
                };
                reader.read(Some(&inside), at, bound)
            }),
        }
    }

    /// Tries the row a variable is bound to, or every row it may be bound to.
    fn each_row(
        &mut self,
        variable: usize,
        bound: Bindings,
        mut read: impl FnMut(&mut Self, usize, Bindings) -> bool,
    ) -> bool {
        if let Some(row) = bound.row(variable) {
            return read(self, row, bound);
        }
        (0..self.grammar.rows(variable).len()).any(|row| {
            self.grammar.may_bind(&bound, variable, row)
                && read(self, row, bound.with(variable, row))
        })
    }

    /// Whether `wanted` is at `at`; remembers the difference if it lies furthest.
    fn matches(&mut self, wanted: &str, at: usize, role: Option<usize>) -> bool {
        let found = &self.text.as_bytes()[at..];
        if found.starts_with(wanted.as_bytes()) {
            return true;
        }
        let same = found
            .iter()
            .zip(wanted.bytes())
            .take_while(|(a, b)| **a == *b)
            .count();
        let differs = at + same;
        if differs > self.furthest {
            self.furthest = differs;
            self.expected.clear();
        }
        if differs == self.furthest {
            // From the start of the word, as far as it belongs to this template.
            let word = wanted[..same].rfind(' ').map_or(0, |space| space + 1);
            let mut expected = format!("{:?}", shorten(&wanted[word..]));
            if let Some(role) = role {
                expected += &format!(" ({})", self.grammar.variables[role].name);
            }
            if !self.expected.contains(&expected) {
                self.expected.push(expected);
            }
        }
        false
    }

    fn complaint(mut self) -> Complaint {
        if let Some(end) = self.ended.filter(|end| *end >= self.furthest) {
            return Complaint::Trailing {
                sentence: sentences(&self.text[..end]),
                found: shorten(&self.text[end..]),
            };
        }
        const SHOWN: usize = 4;
        let more = self.expected.len().saturating_sub(SHOWN);
        self.expected.truncate(SHOWN);
        let mut expected = self.expected.join(" or ");
        if more > 0 {
            expected += &format!(" or {more} more");
        }
        let mut at = self.furthest;
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let sentence = sentences(&self.text[..at]) + 1;
        if at == self.text.len() {
            return Complaint::Unfinished { sentence, expected };
        }
        let word = self.text[..at]
            .rfind([' ', '\n'])
            .map_or(0, |space| space + 1);
        Complaint::Unexpected {
            sentence,
            expected,
            found: shorten(&self.text[word..]),
        }
    }
}

/// The number of sentences that end in a text.
fn sentences(text: &str) -> usize {
    text.char_indices()
        .filter(|&(at, c)| {
            let follows = text[at + 1..].trim_start_matches('"');
            matches!(c, '.' | '!' | '?') && follows.starts_with([' ', '\n'])
        })
        .count()
        + usize::from(text.trim_end_matches('"').ends_with(['.', '!', '?']))
}

fn shorten(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
