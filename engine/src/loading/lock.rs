//! Keeping weights out of reach of the system's eviction.
//!
//! Whether that is allowed shows before anything is read: pages are locked as
//! they come in. When all are there, those that nobody has touched follow.

use super::LoadError;
use crate::mapping::{Mapping, lock_limit};
use std::io;
use std::sync::Arc;

/// Has all pages of the files locked as they come in.
pub(super) fn prepare(
    files: &[Arc<Mapping>],
    streamed: bool,
    memory_bytes: Option<u64>,
) -> Result<(), LoadError> {
    let wanted = wanted(files);
    let Some(first) = files.first() else {
        return Ok(());
    };
    if streamed {
        // Part of it would have to be given back for the next.
        return Err(LoadError::LockStreamed {
            path: first.path().to_owned(),
            wanted,
            available: memory_bytes.unwrap_or(0),
        });
    }
    for file in files {
        match file.lock_as_it_comes() {
            // Here only the whole can be locked, later.
            Err(error) if error.kind() == io::ErrorKind::Unsupported && cfg!(unix) => {
                if let Some(limit) = lock_limit().filter(|&limit| limit < wanted) {
                    return Err(refused(file, wanted, Some(limit), error));
                }
            }
            Err(error) => return Err(refused(file, wanted, lock_limit(), error)),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Locks all pages of the files, those that have not come in, too.
pub(super) fn complete(files: &[Arc<Mapping>]) -> Result<(), LoadError> {
    let wanted = wanted(files);
    for file in files {
        file.lock()
            .map_err(|error| refused(file, wanted, lock_limit(), error))?;
    }
    Ok(())
}

fn wanted(files: &[Arc<Mapping>]) -> u64 {
    files.iter().map(|file| file.len() as u64).sum()
}

fn refused(file: &Mapping, wanted: u64, limit: Option<u64>, reason: io::Error) -> LoadError {
    let path = file.path().to_owned();
    match limit.filter(|&limit| limit < wanted) {
        Some(limit) => LoadError::LockLimit {
            path,
            wanted,
            limit,
        },
        None => LoadError::Lock {
            path,
            wanted,
            reason: Arc::new(reason),
        },
    }
}
