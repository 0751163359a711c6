//! The grammar as a graph: the templates of [`super::shapes`] and [`super::words`],
//! read once and checked, so that a misspelled rule, variable or field is a panic
//! in the first test and not a strange story.

use std::sync::LazyLock;

use super::shapes::{RULES, START};
use super::words::{
    ANIMALS_HE, ANIMALS_SHE, BOYS, CAST, CAST_FIELDS, GIRLS, SPECIES, TABLES, VARIABLES,
};

/// A step of a template.
pub(super) enum Piece {
    Text(String),
    /// The field of the row bound to a variable; binds it if it is free.
    Field {
        variable: usize,
        field: usize,
        capital: bool,
    },
    /// No text: the field of the variable's row must have this value.
    Is {
        variable: usize,
        field: usize,
        value: String,
    },
    Rule(usize),
}

pub(super) struct Alternative {
    pub(super) weight: usize,
    pub(super) pieces: Vec<Piece>,
}

/// One field of a row: as written, and as a template in both spellings.
pub(super) struct Field {
    pub(super) raw: &'static str,
    pub(super) pieces: Vec<Piece>,
    pub(super) capitalized: Vec<Piece>,
}

pub(super) struct Row(pub(super) Vec<Field>);

pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) table: usize,
}

pub(super) struct Grammar {
    pub(super) rules: Vec<Vec<Alternative>>,
    pub(super) start: usize,
    pub(super) variables: Vec<Variable>,
    pub(super) tables: Vec<Vec<Row>>,
    cast: usize,
}

/// Which row each variable of a story stands for, as far as it is settled.
#[derive(Clone, Copy)]
pub(super) struct Bindings([Option<u16>; VARIABLES.len()]);

impl Bindings {
    pub(super) fn none() -> Self {
        Self([None; VARIABLES.len()])
    }

    pub(super) fn row(&self, variable: usize) -> Option<usize> {
        self.0[variable].map(usize::from)
    }

    pub(super) fn with(mut self, variable: usize, row: usize) -> Self {
        self.0[variable] = Some(row as u16);
        self
    }
}

/// The grammar of the stories.
pub(super) static GRAMMAR: LazyLock<Grammar> = LazyLock::new(Grammar::read);

const NAME: usize = 0;
const KIND: usize = 1;
/// The column of the cast that says whether a row is a child or an animal.
pub(super) const WORLD: usize = 2;

impl Grammar {
    fn read() -> Self {
        let cast = TABLES.len();
        let table_of = |name: &str| {
            if name == CAST {
                return cast;
            }
            TABLES
                .iter()
                .position(|table| table.name == name)
                .unwrap_or_else(|| panic!("no table is called {name:?}"))
        };
        let variables: Vec<Variable> = VARIABLES
            .iter()
            .map(|&(name, table)| Variable {
                name,
                table: table_of(table),
            })
            .collect();

        let mut tables: Vec<Vec<Row>> = TABLES
            .iter()
            .map(|table| {
                table
                    .rows
                    .iter()
                    .map(|row| read_row(table.fields, row))
                    .collect()
            })
            .collect();
        tables.push(
            cast_rows()
                .iter()
                .map(|row| read_row(CAST_FIELDS, row))
                .collect(),
        );

        let rules = RULES
            .iter()
            .map(|(_, alternatives)| {
                alternatives
                    .iter()
                    .map(|text| read_alternative(text))
                    .collect()
            })
            .collect();
        Self {
            rules,
            start: rule_named(START),
            variables,
            tables,
            cast,
        }
    }

    pub(super) fn rows(&self, variable: usize) -> &[Row] {
        &self.tables[self.variables[variable].table]
    }

    pub(super) fn is_cast(&self, variable: usize) -> bool {
        self.variables[variable].table == self.cast
    }

    /// Whether `variable` may stand for `row` beside what is bound already: rows of
    /// one table differ, and two of the cast have different names, live in the same
    /// world and, if they are animals, are of different kinds.
    pub(super) fn may_bind(&self, bound: &Bindings, variable: usize, row: usize) -> bool {
        (0..self.variables.len()).all(|other| {
            if other == variable || self.variables[other].table != self.variables[variable].table {
                return true;
            }
            let Some(taken) = bound.row(other) else {
                return true;
            };
            if !self.is_cast(variable) {
                return taken != row;
            }
            let [a, b] = [row, taken].map(|row| &self.rows(variable)[row].0);
            a[NAME].raw != b[NAME].raw
                && a[WORLD].raw == b[WORLD].raw
                && (a[WORLD].raw == "child" || a[KIND].raw != b[KIND].raw)
        })
    }
}

/// Every child, and every animal name with every species.
fn cast_rows() -> Vec<[&'static str; 8]> {
    const SHE: [&str; 4] = ["she", "her", "her", "herself"];
    const HE: [&str; 4] = ["he", "him", "his", "himself"];
    let member = |name, kind, world, [he, him, his, himself]: [&'static str; 4], home| {
        [name, kind, world, he, him, his, himself, home]
    };
    let mut rows = Vec::new();
    rows.extend(
        GIRLS
            .iter()
            .map(|name| member(name, "girl", "child", SHE, "")),
    );
    rows.extend(BOYS.iter().map(|name| member(name, "boy", "child", HE, "")));
    for (names, pronouns) in [(ANIMALS_SHE, SHE), (ANIMALS_HE, HE)] {
        for name in names {
            rows.extend(
                SPECIES
                    .iter()
                    .map(|(kind, home)| member(name, kind, "animal", pronouns, home)),
            );
        }
    }
    rows
}

fn read_row(fields: &[&str], row: &[&'static str]) -> Row {
    assert_eq!(
        fields.len(),
        row.len(),
        "row {row:?} has not the fields {fields:?}"
    );
    Row(row
        .iter()
        .map(|&raw| Field {
            raw,
            pieces: read_template(raw),
            capitalized: read_template(&capitalize(raw)),
        })
        .collect())
}

/// An alternative with its weight; the conditions come first.
fn read_alternative(text: &str) -> Alternative {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (weight, template) = match digits {
        0 => (1, text),
        _ => (
            text[..digits].parse().expect("a weight is a small number"),
            text[digits..].trim_start_matches(' '),
        ),
    };
    let pieces = read_template(template);
    let conditions = pieces
        .iter()
        .take_while(|piece| matches!(piece, Piece::Is { .. }))
        .count();
    assert!(
        pieces[conditions..]
            .iter()
            .all(|piece| !matches!(piece, Piece::Is { .. })),
        "conditions come first in {text:?}"
    );
    Alternative { weight, pieces }
}

fn read_template(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['<', '{']) {
        let close = if rest.as_bytes()[open] == b'<' {
            '>'
        } else {
            '}'
        };
        let length = rest[open..]
            .find(close)
            .unwrap_or_else(|| panic!("no {close:?} closes {:?}", &rest[open..]));
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].to_owned()));
        }
        let inside = &rest[open + 1..open + length];
        pieces.push(match close {
            '>' => Piece::Rule(rule_named(inside)),
            _ => read_slot(inside),
        });
        rest = &rest[open + length + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

/// `name`, `name.field`, `name.Field`, `name=value` or `name.field=value`.
fn read_slot(slot: &str) -> Piece {
    let (path, value) = match slot.split_once('=') {
        Some((path, value)) => (path, Some(value)),
        None => (slot, None),
    };
    let (name, field) = match path.split_once('.') {
        Some((name, field)) => (name, Some(field)),
        None => (path, None),
    };
    let variable = VARIABLES
        .iter()
        .position(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("no variable is called {name:?}, in {slot:?}"));
    let table = VARIABLES[variable].1;
    let fields = TABLES
        .iter()
        .find(|known| known.name == table)
        .map_or(CAST_FIELDS, |known| known.fields);
    let capital = field.is_some_and(|field| field.starts_with(char::is_uppercase));
    let field = field.map_or(0, |field| {
        fields
            .iter()
            .position(|known| *known == field.to_lowercase())
            .unwrap_or_else(|| panic!("table {table:?} has no field {field:?}"))
    });
    match value {
        Some(value) => Piece::Is {
            variable,
            field,
            value: value.to_owned(),
        },
        None => Piece::Field {
            variable,
            field,
            capital,
        },
    }
}

fn rule_named(name: &str) -> usize {
    RULES
        .iter()
        .position(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("no rule is called {name:?}"))
}

fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
