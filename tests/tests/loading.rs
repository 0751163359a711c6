//! Progressive loading: the same bits however weights arrive, and a clear error
//! when they do not.

use firstlight::loading::{FromFile, Reader, Throttled};
use firstlight::mapping::Mapping;
use firstlight::{KvFormat, LoadMode, LoadOptions, Model, ModelOptions, Sequence, Wanted};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const TOKENS: [u32; 8] = [1, 3, 22, 10, 7, 3, 22, 44];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(format!("{name}.gguf"))
}

/// A file of this test's own, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        Temporary(std::env::temp_dir().join(format!("firstlight-{}-{name}", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn try_logits(path: &Path, load: LoadOptions) -> Result<Vec<f32>, firstlight::Error> {
    let model = Model::open(
        path,
        &ModelOptions {
            threads: Some(2),
            load,
            ..ModelOptions::default()
        },
    )?;
    let mut cache = model.cache(KvFormat::F16, 16)?;
    let mut all = model.step(&mut [Sequence {
        cache: &mut cache,
        tokens: &TOKENS,
        wanted: Wanted::All,
    }])?;
    for token in [5, 6, 7] {
        let part = Sequence {
            cache: &mut cache,
            tokens: &[token],
            wanted: Wanted::Last,
        };
        all.extend(model.step(&mut [part])?);
    }
    Ok(all)
}

fn logits(path: &Path, load: LoadOptions) -> Vec<f32> {
    try_logits(path, load).unwrap()
}

fn assert_same_bits(what: &str, expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len(), "{what}");
    assert!(
        expected
            .iter()
            .zip(found)
            .all(|(a, b)| a.to_bits() == b.to_bits()),
        "{what}"
    );
}

fn throttled(bytes_per_second: f64) -> Arc<dyn Reader> {
    Arc::new(Throttled::new(FromFile::default(), bytes_per_second))
}

#[test]
fn the_way_weights_arrive_changes_no_bit() {
    for name in ["q4_k", "llama-tied", "llama-experts", "llama-rope-freqs"] {
        let path = golden(name);
        let expected = logits(
            &path,
            LoadOptions {
                mode: LoadMode::OnDemand,
                ..LoadOptions::default()
            },
        );
        let bytes = std::fs::metadata(&path).unwrap().len();
        let ways = [
            ("progressive", LoadOptions::default()),
            (
                "preload",
                LoadOptions {
                    mode: LoadMode::Preload,
                    ..LoadOptions::default()
                },
            ),
            (
                "throttled",
                LoadOptions {
                    reader: throttled(bytes as f64 * 5.0),
                    ..LoadOptions::default()
                },
            ),
            (
                "complete, but said to be growing",
                LoadOptions {
                    growing: true,
                    ..LoadOptions::default()
                },
            ),
            (
                "larger than memory",
                LoadOptions {
                    memory_bytes: Some(bytes / 2),
                    ..LoadOptions::default()
                },
            ),
            (
                "much larger than memory",
                LoadOptions {
                    memory_bytes: Some(1),
                    ..LoadOptions::default()
                },
            ),
        ];
        for (way, options) in ways {
            assert_same_bits(
                &format!("{name}, {way}"),
                &expected,
                &logits(&path, options),
            );
        }
    }
}

#[test]
fn a_model_larger_than_memory_is_streamed() {
    let path = golden("llama-untied");
    let load = LoadOptions {
        memory_bytes: Some(1),
        ..LoadOptions::default()
    };
    let model = Model::open(
        &path,
        &ModelOptions {
            load,
            ..ModelOptions::default()
        },
    )
    .unwrap();
    assert_eq!(model.resident_stages(), (0, 3));
    let model = Model::open(&path, &ModelOptions::default()).unwrap();
    assert_eq!(model.resident_stages(), (3, 3));
}

#[test]
fn progress_is_told() {
    let path = golden("llama-untied");
    let load = LoadOptions {
        mode: LoadMode::Preload,
        ..LoadOptions::default()
    };
    let model = Model::open(
        &path,
        &ModelOptions {
            load,
            ..ModelOptions::default()
        },
    )
    .unwrap();
    let progress = model.load_progress();
    assert!(progress.is_complete(), "{progress:?}");
    assert_eq!((progress.stages, progress.bytes), (3, progress.total_bytes));
    assert_eq!(progress.left, None);

    // So slow that nothing is there yet; and dropping it does not wait.
    let load = LoadOptions {
        reader: throttled(1000.0),
        ..LoadOptions::default()
    };
    let model = Model::open(
        &path,
        &ModelOptions {
            load,
            ..ModelOptions::default()
        },
    )
    .unwrap();
    let progress = model.load_progress();
    assert!(
        !progress.is_complete() && progress.stages == 0,
        "{progress:?}"
    );
}

/// Writes a file a little at a time, `pieces` of them.
fn trickle(
    from: &Path,
    to: &Path,
    pieces: usize,
    stop_after: usize,
) -> std::thread::JoinHandle<()> {
    let bytes = std::fs::read(from).unwrap();
    let mut file = std::fs::File::create(to).unwrap();
    std::thread::spawn(move || {
        for piece in bytes.chunks(bytes.len().div_ceil(pieces)).take(stop_after) {
            file.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(4));
        }
    })
}

#[test]
fn computes_with_a_file_that_is_still_growing() {
    for name in ["q8_0", "llama-rope-freqs", "llama-tied"] {
        let file = Temporary::new(&format!("growing-{name}.part"));
        let expected = logits(&golden(name), LoadOptions::default());
        let writer = trickle(&golden(name), &file.0, 60, 60);
        let found = logits(
            &file.0,
            LoadOptions {
                growing: true,
                ..LoadOptions::default()
            },
        );
        writer.join().unwrap();
        assert_same_bits(name, &expected, &found);
    }
}

#[test]
fn a_download_that_stalls_is_an_error_and_no_hang() {
    // Stops in the header, and in the weights.
    for stop_after in [1, 40] {
        let file = Temporary::new(&format!("stalled-{stop_after}.part"));
        let writer = trickle(&golden("llama-untied"), &file.0, 80, stop_after);
        let load = LoadOptions {
            growing: true,
            patience: Duration::from_millis(150),
            ..LoadOptions::default()
        };
        let start = Instant::now();
        let error = try_logits(&file.0, load).unwrap_err().to_string();
        writer.join().unwrap();
        assert!(
            error.contains("bytes are there, and nothing came for"),
            "{error}"
        );
        assert!(
            !error.contains('\n') && start.elapsed() < Duration::from_secs(10),
            "{error}"
        );
    }
}

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
    for at in 0..8 {
        let load = LoadOptions {
            reader: Arc::new(Failing {
                calls: AtomicUsize::new(0),
                at,
            }),
            ..LoadOptions::default()
        };
        match try_logits(&golden("llama-untied"), load) {
            Ok(_) => assert!(at >= 3, "no error at call {at}"),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    error.contains("cannot be read: the disk is on fire") && !error.contains('\n'),
                    "{error}"
                );
            }
        }
    }
}
