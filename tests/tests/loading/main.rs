//! Progressive loading: the same bits however weights arrive, and a clear error
//! when they do not.

mod failing;
mod growing;
mod locking;

use firstlight::loading::{FromFile, Reader, Throttled};
use firstlight::{
    Finish, KvFormat, LoadMode, LoadOptions, Model, ModelOptions, Request, Sampling, Sequence,
    SessionOptions, Wanted,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    for name in [
        "q4_k",
        "llama-tied",
        "llama-experts",
        "llama-rope-freqs",
        "gemma4-e",
    ] {
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
    let model = open(&path, load);
    assert_eq!(model.resident_stages(), (0, 3));
    let model = open(&path, LoadOptions::default());
    assert_eq!(model.resident_stages(), (3, 3));
}

#[test]
fn progress_is_told() {
    let path = golden("llama-untied");
    let load = LoadOptions {
        mode: LoadMode::Preload,
        ..LoadOptions::default()
    };
    let model = open(&path, load);
    let progress = model.load_progress();
    assert!(progress.is_complete(), "{progress:?}");
    assert_eq!((progress.stages, progress.bytes), (3, progress.total_bytes));
    assert_eq!(progress.left, None);

    // So slow that nothing is there yet; and dropping it does not wait.
    let load = LoadOptions {
        reader: throttled(1000.0),
        ..LoadOptions::default()
    };
    let model = open(&path, load);
    let progress = model.load_progress();
    assert!(
        !progress.is_complete() && progress.stages == 0,
        "{progress:?}"
    );
}

fn open(path: &Path, load: LoadOptions) -> Model {
    let options = ModelOptions {
        threads: Some(2),
        load,
        ..ModelOptions::default()
    };
    Model::open(path, &options).unwrap()
}

fn greedy() -> Request {
    Request {
        sampling: Sampling::greedy(),
        max_tokens: Some(12),
        ..Request::default()
    }
}

fn text(model: &Model, prompt: &str) -> Result<String, firstlight::Error> {
    let mut session = model.session(&SessionOptions::default())?;
    let generation = session.generate(prompt, &greedy())?;
    generation.map(|piece| Ok(piece?.text)).collect()
}

#[test]
fn prompts_queued_while_loading_get_their_answers() {
    let path = golden("llama-untied");
    let bytes = std::fs::metadata(&path).unwrap().len();
    let prompts = ["a", "the hen", "Once upon a time", "x y z", "two"];
    let whole = open(&path, LoadOptions::default());
    let expected = prompts.map(|prompt| text(&whole, prompt).unwrap());
    let load = LoadOptions {
        reader: throttled(bytes as f64 * 2.0),
        ..LoadOptions::default()
    };
    let model = open(&path, load);
    assert!(!model.load_progress().is_complete());
    let found = std::thread::scope(|scope| {
        let queued = prompts.map(|prompt| scope.spawn(|| text(&model, prompt).unwrap()));
        queued.map(|thread| thread.join().unwrap())
    });
    assert_eq!(found, expected);
}

#[test]
fn cancelling_while_loading_is_immediate_and_loses_nothing() {
    let path = golden("llama-untied");
    let bytes = std::fs::metadata(&path).unwrap().len();
    let expected = text(&open(&path, LoadOptions::default()), "the hen").unwrap();
    let load = LoadOptions {
        // Two seconds.
        reader: throttled(bytes as f64 / 2.0),
        ..LoadOptions::default()
    };
    let model = open(&path, load);
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let cancel = session.canceller();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            cancel.cancel();
        });
        let mut generation = session.generate("the hen", &greedy()).unwrap();
        assert!(generation.next().is_none());
        assert_eq!(generation.finish(), Some(Finish::Cancelled));
    });
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert!(!model.load_progress().is_complete());
    // Steps say so, too; others do not notice.
    let mut cache = model.cache(KvFormat::F16, 16).unwrap();
    let sequence = Sequence {
        cache: &mut cache,
        tokens: &TOKENS,
        wanted: Wanted::Last,
    };
    let cancelled = model.cancelled_by(cancel.clone());
    let error = cancelled.step(&mut [sequence]).unwrap_err();
    assert!(error.is_cancelled() && cache.is_empty(), "{error}");
    assert_eq!(text(&model, "the hen").unwrap(), expected);
    // The session goes on where it was.
    cancel.reset();
    let generation = session.resume(&greedy()).unwrap();
    let found: String = generation.map(|piece| piece.unwrap().text).collect();
    assert_eq!(found, expected);
}

#[test]
fn progress_grows_and_says_how_long_it_will_take() {
    let path = golden("llama-untied");
    let bytes = std::fs::metadata(&path).unwrap().len();
    let load = LoadOptions {
        // A second and a half.
        reader: throttled(bytes as f64 / 1.5),
        ..LoadOptions::default()
    };
    let model = open(&path, load);
    let (mut seen, mut estimated) = (vec![model.load_progress()], 0);
    while !seen[seen.len() - 1].is_complete() {
        std::thread::sleep(Duration::from_millis(5));
        let progress = model.load_progress();
        let before = &seen[seen.len() - 1];
        assert!(progress.bytes >= before.bytes && progress.stages >= before.stages);
        assert!(progress.bytes <= progress.total_bytes && progress.begun == before.begun);
        if let Some(left) = progress.left {
            estimated += 1;
            assert!(left < Duration::from_secs(30), "{progress:?}");
        }
        assert!(progress.elapsed < Duration::from_secs(30), "{progress:?}");
        seen.push(progress);
    }
    let stages: Vec<_> = seen.iter().map(|progress| progress.stages).collect();
    for stage in 0..=3 {
        assert!(stages.contains(&stage), "{stages:?}");
    }
    assert!(estimated > 10, "{estimated}");
    let last = seen[seen.len() - 1];
    assert_eq!((last.bytes, last.left), (last.total_bytes, None));
    assert!(last.elapsed > Duration::from_millis(1200), "{last:?}");
}
