//! Stopping what is being computed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Stops a session's work, from any thread.
///
/// Looked at between the layers of a step and while a step waits for weights,
/// so that the work ends at once, also while the model is still being read.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Stops the work that is under way, and what would follow.
    pub fn cancel(&self) {
        self.0.store(true, SeqCst);
    }

    /// Lets work be done again.
    pub fn reset(&self) {
        self.0.store(false, SeqCst);
    }

    /// Whether work is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(SeqCst)
    }
}
