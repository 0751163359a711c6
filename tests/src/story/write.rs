//! Writing a story: from the start rule down, rolling dice for every choice.

use super::dice::Dice;
use super::grammar::{Bindings, GRAMMAR, Grammar, Piece, WORLD};

/// The story of a seed: 80 to 180 words in three paragraphs.
///
/// ```
/// let story = firstlight_tests::story::generate(7);
/// assert_eq!(firstlight_tests::story::check(&story), Ok(()));
/// ```
pub fn generate(seed: u64) -> String {
    let mut writer = Writer {
        grammar: &GRAMMAR,
        dice: Dice::new(seed),
        bound: Bindings::none(),
        text: String::new(),
    };
    writer.rule(writer.grammar.start);
    writer.text
}

struct Writer<'g> {
    grammar: &'g Grammar,
    dice: Dice,
    bound: Bindings,
    text: String,
}

impl<'g> Writer<'g> {
    fn rule(&mut self, rule: usize) {
        let open: Vec<_> = self.grammar.rules[rule]
            .iter()
            .filter(|alternative| alternative.pieces.iter().all(|piece| self.allows(piece)))
            .collect();
        let total = open.iter().map(|alternative| alternative.weight).sum();
        let mut roll = self.dice.roll(total);
        let chosen = open.into_iter().find(|alternative| {
            let hit = roll < alternative.weight;
            roll = roll.saturating_sub(alternative.weight);
            hit
        });
        self.pieces(
            &chosen
                .expect("the roll is below the sum of the weights")
                .pieces,
        );
    }

    fn pieces(&mut self, pieces: &'g [Piece]) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.text.push_str(text),
                Piece::Rule(rule) => self.rule(*rule),
                Piece::Is { variable, .. } => {
                    self.bind(*variable, Some(piece));
                }
                Piece::Field {
                    variable,
                    field,
                    capital,
                } => {
                    let row = self.bind(*variable, None);
                    let field = &self.grammar.rows(*variable)[row].0[*field];
                    self.pieces(if *capital {
                        &field.capitalized
                    } else {
                        &field.pieces
                    });
                }
            }
        }
    }

    /// Whether a condition holds or can still be made to hold.
    fn allows(&self, piece: &Piece) -> bool {
        let Piece::Is { variable, .. } = piece else {
            return true;
        };
        match self.bound.row(*variable) {
            Some(row) => self.meets(piece, row),
            None => (0..self.grammar.rows(*variable).len()).any(|row| self.meets(piece, row)),
        }
    }

    fn meets(&self, condition: &Piece, row: usize) -> bool {
        match condition {
            Piece::Is {
                variable,
                field,
                value,
            } => self.grammar.rows(*variable)[row].0[*field].raw == value,
            _ => true,
        }
    }

    /// The row of a variable; a free one is bound to a row that meets the condition.
    fn bind(&mut self, variable: usize, condition: Option<&Piece>) -> usize {
        if let Some(row) = self.bound.row(variable) {
            return row;
        }
        let rows = self.grammar.rows(variable);
        let mut open: Vec<usize> = (0..rows.len())
            .filter(|&row| self.grammar.may_bind(&self.bound, variable, row))
            .filter(|&row| condition.is_none_or(|condition| self.meets(condition, row)))
            .collect();
        if self.grammar.is_cast(variable) {
            // Names times species outnumber the children, who get half of the stories.
            let world = ["child", "animal"][self.dice.roll(2)];
            let in_world = |row: &usize| rows[*row].0[WORLD].raw == world;
            if open.iter().any(in_world) {
                open.retain(in_world);
            }
        }
        let row = open[self.dice.roll(open.len())];
        self.bound = self.bound.with(variable, row);
        row
    }
}
