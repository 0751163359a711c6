//! How far loading is.

use std::time::{Duration, Instant};

/// How far loading is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Bytes of weights that have been brought in.
    pub bytes: u64,
    /// Bytes of weights of the model.
    pub total_bytes: u64,
    /// Stages (layers and output) that are complete.
    pub stages: usize,
    /// Stages of the model.
    pub total_stages: usize,
    /// When loading began.
    pub begun: Instant,
    /// Time since then, or that it took.
    pub elapsed: Duration,
    /// Part of it that went into reading.
    pub reading: Duration,
    /// Time until everything is there, at the speed so far.
    pub left: Option<Duration>,
}

impl Progress {
    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.stages == self.total_stages
    }
}
