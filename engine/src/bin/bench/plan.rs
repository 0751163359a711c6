//! Which tests are run.

use std::fmt;

/// What a test does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads a prompt.
    Prompt,
    /// Generates, one token after the other.
    Generation,
}

/// One test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// What it does.
    pub kind: Kind,
    /// Tokens it takes, in each sequence.
    pub tokens: usize,
    /// Tokens that are in the cache already.
    pub depth: usize,
    /// Sequences at once.
    pub batch: usize,
}

impl Test {
    /// Tokens of all sequences together.
    pub fn all_tokens(&self) -> usize {
        self.tokens * self.batch
    }
}

/// `pp512`, `tg128x8@d4096`.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Prompt => "pp",
            Kind::Generation => "tg",
        };
        write!(f, "{kind}{}", self.tokens)?;
        if self.batch > 1 {
            write!(f, "x{}", self.batch)?;
        }
        if self.depth > 0 {
            write!(f, "@d{}", self.depth)?;
        }
        Ok(())
    }
}

/// What was asked for; each test is one combination.
pub struct Wishes<'a> {
    /// Lengths of prompts; 0 is none.
    pub prompt_tokens: &'a [usize],
    /// Lengths of generated texts; 0 is none.
    pub gen_tokens: &'a [usize],
    /// Depths.
    pub depth: &'a [usize],
    /// Numbers of sequences, for generation.
    pub batch: &'a [usize],
}

/// The tests, by depth, so that a cache that was filled is of use to the next.
pub fn tests(wishes: &Wishes<'_>) -> Vec<Test> {
    let mut tests = Vec::new();
    for &depth in wishes.depth {
        for &tokens in wishes.prompt_tokens.iter().filter(|&&tokens| tokens > 0) {
            let kind = Kind::Prompt;
            tests.push(Test {
                kind,
                tokens,
                depth,
                batch: 1,
            });
        }
        for &tokens in wishes.gen_tokens.iter().filter(|&&tokens| tokens > 0) {
            let kind = Kind::Generation;
            tests.extend(wishes.batch.iter().map(|&batch| Test {
                kind,
                tokens,
                depth,
                batch,
            }));
        }
    }
    tests.sort_by_key(|test| test.depth);
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_by_depth() {
        let wishes = Wishes {
            prompt_tokens: &[512],
            gen_tokens: &[128, 0],
            depth: &[4096, 0],
            batch: &[1, 8],
        };
        let names: Vec<String> = super::tests(&wishes)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            names,
            [
                "pp512",
                "tg128",
                "tg128x8",
                "pp512@d4096",
                "tg128@d4096",
                "tg128x8@d4096"
            ]
        );
    }
}
