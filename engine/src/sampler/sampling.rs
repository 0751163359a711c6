//! What a person may ask of the choice, and which of it makes sense.

use crate::Error;

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 always takes the most probable token; higher is more adventurous.
    pub temperature: f32,
    /// Keep this many tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the most probable tokens that together reach this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this many times as probable as the first; 0 keeps
    /// all.
    pub min_p: f32,
    /// Keep tokens of typical surprise that together reach this; 1 keeps all.
    pub typical_p: f32,
    /// Above 1 discourages tokens that occurred lately; 1 does nothing.
    pub repeat_penalty: f32,
    /// Subtracted for every occurrence; 0 does nothing.
    pub frequency_penalty: f32,
    /// Subtracted once for a token that occurred; 0 does nothing.
    pub presence_penalty: f32,
    /// How many of the latest tokens the penalties look at.
    pub penalty_window: usize,
    /// Where the draws start; by default different each time.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: 64,
            seed: None,
        }
    }
}

impl Sampling {
    /// Always the most probable token.
    pub fn greedy() -> Sampling {
        Sampling {
            temperature: 0.0,
            ..Sampling::default()
        }
    }

    /// Whether it changes logits of tokens that occurred.
    pub(super) fn penalizes(&self) -> bool {
        self.repeat_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let check = |name, value: f32, good: bool, expected| match good {
            true => Ok(()),
            false => Err(Error::Parameter {
                name,
                expected,
                found: value.to_string(),
            }),
        };
        let share = |value: f32| (0.0..=1.0).contains(&value) && value > 0.0;
        let finite = |value: f32| value.is_finite();
        check(
            "the temperature",
            self.temperature,
            finite(self.temperature) && self.temperature >= 0.0,
            "a finite number from 0 up",
        )?;
        check(
            "top-p",
            self.top_p,
            share(self.top_p),
            "above 0 and at most 1",
        )?;
        check(
            "typical-p",
            self.typical_p,
            share(self.typical_p),
            "above 0 and at most 1",
        )?;
        check(
            "min-p",
            self.min_p,
            (0.0..=1.0).contains(&self.min_p),
            "0 to 1",
        )?;
        check(
            "the repeat penalty",
            self.repeat_penalty,
            finite(self.repeat_penalty) && self.repeat_penalty > 0.0,
            "a finite number above 0",
        )?;
        check(
            "the frequency penalty",
            self.frequency_penalty,
            finite(self.frequency_penalty),
            "a finite number",
        )?;
        check(
            "the presence penalty",
            self.presence_penalty,
            finite(self.presence_penalty),
            "a finite number",
        )
    }
}
