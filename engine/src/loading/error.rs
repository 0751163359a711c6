//! What can go wrong while weights are brought in.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why weights did not arrive.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages document the variants
pub enum LoadError {
    #[error("{}: bytes {}..{} cannot be read: {reason}", crate::Printable(.path), .range.start, .range.end)]
    Read {
        path: PathBuf,
        range: Range<usize>,
        reason: Arc<std::io::Error>,
    },
    #[error("{}: the file had {expected} bytes when it was opened, now it has {found}", crate::Printable(.path))]
    Shrunk {
        path: PathBuf,
        expected: u64,
        found: u64,
    },
    #[error("{}: {found} of {expected} bytes are there, and the file was deleted", crate::Printable(.path))]
    Deleted {
        path: PathBuf,
        expected: u64,
        found: u64,
    },
    #[error("{}: {found} of {expected} bytes are there, and nothing came for {} s", crate::Printable(.path), .patience.as_secs())]
    Stalled {
        path: PathBuf,
        expected: u64,
        found: u64,
        patience: Duration,
    },
    #[error("{}: {wanted} bytes are to be locked in memory, and this process may lock {limit}: raise the limit (ulimit -l) or do not lock the model", crate::Printable(.path))]
    LockLimit {
        path: PathBuf,
        wanted: u64,
        limit: u64,
    },
    #[error("{}: {wanted} bytes are to be locked in memory, and {available} are available: do not lock the model", crate::Printable(.path))]
    LockStreamed {
        path: PathBuf,
        wanted: u64,
        available: u64,
    },
    #[error("{}: {wanted} bytes cannot be locked in memory: {reason}", crate::Printable(.path))]
    Lock {
        path: PathBuf,
        wanted: u64,
        reason: Arc<std::io::Error>,
    },
    #[error("cancelled")]
    Cancelled,
}
