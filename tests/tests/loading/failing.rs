//! Files that cannot be read or become shorter.

use super::*;
use firstlight::mapping::Mapping;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

#[test]
fn a_file_that_shrinks_while_loading_is_an_error() {
    let file = Temporary::new("shrinks.gguf");
    std::fs::copy(golden("llama-untied"), &file.0).unwrap();
    let len = std::fs::metadata(&file.0).unwrap().len();
    let load = LoadOptions {
        reader: throttled(len as f64 * 2.0),
        ..LoadOptions::default()
    };
    let model = Model::open(
        &file.0,
        &ModelOptions {
            load,
            ..ModelOptions::default()
        },
    )
    .unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&file.0)
        .unwrap()
        .set_len(len / 4)
        .unwrap();
    let mut cache = model.cache(KvFormat::F16, 16).unwrap();
    // Embedding rows lie at the end of this file, beyond what is left: a step
    // would be answered by SIGBUS, so only the loader is asked here.
    let start = Instant::now();
    while model.load_error().is_none() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let error = model.load_error().expect("the loader notices").to_string();
    assert!(
        error.contains(&format!(
            "the file had {len} bytes when it was opened, now it has {}",
            len / 4
        )),
        "{error}"
    );
    cache.truncate(0);
}

/// Fails at the given call.
#[derive(Debug)]
struct Failing {
    calls: AtomicUsize,
    at: usize,
}

impl Reader for Failing {
    fn bring(
        &self,
        mapping: &Mapping,
        range: Range<usize>,
        ahead: Range<usize>,
    ) -> std::io::Result<()> {
        if self.calls.fetch_add(1, SeqCst) == self.at {
            return Err(std::io::Error::other("the disk is on fire"));
        }
        FromFile::default().bring(mapping, range, ahead)
    }
}

#[test]
fn a_read_error_at_any_moment_is_an_error_and_no_hang() {
    for growing in [false, true] {
        for at in 0..8 {
            let load = LoadOptions {
                reader: Arc::new(Failing {
                    calls: AtomicUsize::new(0),
                    at,
                }),
                growing,
                ..LoadOptions::default()
            };
            match try_logits(&golden("llama-untied"), load) {
                Ok(_) => assert!(at >= 3, "no error at call {at}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        error.contains("cannot be read: the disk is on fire")
                            && !error.contains('\n'),
                        "{error}"
                    );
                }
            }
        }
    }
}
