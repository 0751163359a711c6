//! Waiting for bytes of a file that is still being written.

use super::{LoadError, LoadOptions};
use crate::mapping::Mapping;
use std::time::{Duration, Instant};

/// How often a growing file is looked at.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Checks that a file holds `end` bytes; waits for them if it grows, unless
/// `stop` says otherwise.
pub(crate) fn wait_for_bytes(
    mapping: &Mapping,
    end: usize,
    options: &LoadOptions,
    stop: &dyn Fn() -> bool,
) -> Result<(), LoadError> {
    let path = || mapping.path().to_owned();
    let len = || mapping.current_len().unwrap_or(0);
    let (mut found, mut since) = (len(), Instant::now());
    while found < end as u64 {
        let expected = mapping.len() as u64;
        if !options.growing {
            return Err(LoadError::Shrunk {
                path: path(),
                expected,
                found,
            });
        }
        let patience = options.patience;
        if since.elapsed() > patience {
            return Err(LoadError::Stalled {
                path: path(),
                expected,
                found,
                patience,
            });
        }
        if stop() {
            return Ok(());
        }
        if mapping.is_deleted() {
            return Err(LoadError::Deleted {
                path: path(),
                expected,
                found,
            });
        }
        std::thread::sleep(LOOK_AGAIN);
        let now = len();
        // Less, too, is a sign of life: the download began anew.
        if now != found {
            (found, since) = (now, Instant::now());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_that_begins_anew_is_waited_for() {
        let name = format!("firstlight-anew-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, [1; 60]).unwrap();
        let mapping = Mapping::open_growing(&path, 100).unwrap();
        let options = LoadOptions {
            growing: true,
            patience: Duration::from_millis(500),
            ..LoadOptions::default()
        };
        let result = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait_for_bytes(&mapping, 100, &options, &|| false));
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            // For longer than anybody is patient, and most of it below what was
            // there before.
            for len in (0..=100).step_by(10) {
                std::thread::sleep(Duration::from_millis(100));
                file.set_len(len).unwrap();
            }
            waiting.join().unwrap()
        });
        let _ = std::fs::remove_file(&path);
        assert!(result.is_ok(), "{result:?}");
    }
}
