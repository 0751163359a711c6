//! The story grammar: it writes the stories the bundled model learns from, and it
//! judges the stories the model tells.
//!
//! One set of rules serves both ways. [`generate`] walks them rolling dice,
//! [`check`] walks them against a text:
//!
//! ```text
//! words    tables of rows: who, where, what goes wrong with it, what mends it
//! shapes   rules: what follows what in a story of each shape
//!    |
//! grammar  both, read into a graph of pieces
//!    |
//!    +-- write   seed -> story
//!    +-- read    story -> Ok, or where it stops making sense
//! ```
//!
//! A story is a derivation together with one row per variable: a hero, a friend, a
//! toy, a fear. Because a row carries everything that belongs to its subject, and a
//! variable keeps its row to the last sentence, a text whose names, pronouns,
//! things, causes or remedies get mixed up has no derivation.

mod dice;
mod grammar;
mod read;
mod shapes;
#[cfg(test)]
mod tests;
mod words;
mod write;

pub use read::{Complaint, check};
pub use write::generate;
