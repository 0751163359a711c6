//! What is said at the end.

use firstlight::{Finish, Model, Stats};
use std::time::{Duration, Instant};

/// Figures of one run.
pub struct Report<'a> {
    /// From the start of the program until the model was open.
    pub opened: Duration,
    /// Until the first token was there.
    pub first_token: Option<Duration>,
    /// Why the text ended.
    pub finish: Finish,
    /// Time and tokens.
    pub stats: Stats,
    /// The model.
    pub model: &'a Model,
    /// When the program began.
    pub start: Instant,
}

impl Report<'_> {
    /// Time in which weights were computed with before the first token.
    fn computing(&self) -> Duration {
        self.stats.prompt_time.saturating_sub(self.model.waited())
    }

    /// Part of the shorter of reading and computing that ran beside the other.
    fn overlapped(&self) -> Option<f64> {
        let (reading, computing) = (self.model.load_progress().reading, self.computing());
        let total = self.first_token?.saturating_sub(self.opened) + self.setup();
        let both = (reading + computing).saturating_sub(total);
        let shorter = reading.min(computing);
        (!shorter.is_zero()).then(|| (both.as_secs_f64() / shorter.as_secs_f64()).min(1.0))
    }

    /// From the start of the program until the last weight was there.
    fn last_byte(&self) -> Option<Duration> {
        let progress = self.model.load_progress();
        let end = progress.begun + progress.elapsed;
        progress
            .is_complete()
            .then(|| end.saturating_duration_since(self.start))
    }

    /// Part of opening the model during which weights were already read.
    fn setup(&self) -> Duration {
        self.opened.min(self.model.load_progress().elapsed)
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let first = self.first_token.map_or(String::new(), |time| {
            format!(
                "first token after {:.3} s (reading {:.3} s, computing {:.3} s{}) · ",
                time.as_secs_f64(),
                self.model.load_progress().reading.as_secs_f64(),
                self.computing().as_secs_f64(),
                self.overlapped().map_or(String::new(), |part| format!(
                    ", overlapped {:.0} %",
                    part * 100.0
                )),
            )
        });
        let drafts = match (self.stats.drafted_tokens, self.stats.accepted_tokens) {
            (0, _) => String::new(),
            (drafted, accepted) => format!(" ({accepted} of {drafted} drafts accepted)"),
        };
        format!(
            "[{first}prompt {} tokens, {:.1}/s · generated {} tokens, {:.1}/s{drafts} · {}]",
            self.stats.prompt_tokens,
            self.stats.prompt_speed(),
            self.stats.generated_tokens,
            self.stats.generation_speed(),
            self.finish.name(),
        )
    }

    /// The same and more for programs.
    pub fn json(&self) -> serde_json::Value {
        let progress = self.model.load_progress();
        serde_json::json!({
            "model": self.model.path().display().to_string(),
            "isa": self.model.isa().name(),
            "threads": self.model.threads(),
            "open_ms": millis(self.opened),
            "first_token_ms": self.first_token.map(millis),
            "last_byte_ms": self.last_byte().map(millis),
            "reading_ms": millis(progress.reading),
            "computing_ms": millis(self.computing()),
            "waited_ms": millis(self.model.waited()),
            "overlapped": self.overlapped(),
            "prompt_tokens": self.stats.prompt_tokens,
            "prompt_ms": millis(self.stats.prompt_time),
            "prompt_tokens_per_second": self.stats.prompt_speed(),
            "generated_tokens": self.stats.generated_tokens,
            "generation_ms": millis(self.stats.generation_time),
            "generated_tokens_per_second": self.stats.generation_speed(),
            "drafted_tokens": self.stats.drafted_tokens,
            "accepted_tokens": self.stats.accepted_tokens,
            "finish": self.finish.name(),
        })
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
