//! How weights are to be brought in.

use super::{FromFile, Reader};
use crate::trace::Trace;
use std::sync::Arc;
use std::time::Duration;

/// How weights are brought in.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// When weights are read.
    pub mode: LoadMode,
    /// Keep all weights in memory, out of reach of the system's eviction.
    pub lock: bool,
    /// What brings bytes into memory; replaced to measure or to test.
    pub reader: Arc<dyn Reader>,
    /// Memory that weights may take; by default what is available. A larger
    /// model is streamed: part of it stays, the rest is read for every step.
    pub memory_bytes: Option<u64>,
    /// The file may still be growing: wait for bytes that are not there yet.
    pub growing: bool,
    /// How long a growing file may stand still before that is an error.
    pub patience: Duration,
    /// Where the timeline of loading and computing is recorded.
    pub trace: Option<Arc<Trace>>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            mode: LoadMode::Progressive,
            lock: false,
            reader: Arc::new(FromFile::default()),
            memory_bytes: None,
            growing: false,
            patience: Duration::from_secs(30),
            trace: None,
        }
    }
}

/// When weights are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadMode {
    /// In the order of their use, while computing.
    #[default]
    Progressive,
    /// All of them before anything is computed; of a model that is larger than
    /// memory, those that stay.
    Preload,
    /// When a computing thread touches them, page by page.
    OnDemand,
}
