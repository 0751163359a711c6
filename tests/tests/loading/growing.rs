//! Files that are still being written: by a download that goes on, stands still,
//! starts anew, is renamed at its end, or is given up.

use super::*;
use std::io::Write;
use std::thread::JoinHandle;

const PATIENCE: Duration = Duration::from_millis(300);

fn growing() -> LoadOptions {
    LoadOptions {
        growing: true,
        ..LoadOptions::default()
    }
}

/// Not for longer than [`PATIENCE`].
fn impatient() -> LoadOptions {
    LoadOptions {
        patience: PATIENCE,
        ..growing()
    }
}

/// Writes a file a little at a time, `pieces` of them.
fn trickle(from: &Path, to: &Path, pieces: usize, stop_after: usize) -> JoinHandle<()> {
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
    for name in ["q8_0", "llama-rope-freqs", "llama-tied", "gemma4-e"] {
        let file = Temporary::new(&format!("growing-{name}.part"));
        let expected = logits(&golden(name), LoadOptions::default());
        let writer = trickle(&golden(name), &file.0, 60, 60);
        let found = logits(&file.0, growing());
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
        let start = Instant::now();
        let error = try_logits(&file.0, impatient()).unwrap_err().to_string();
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

#[cfg(unix)]
#[test]
fn a_download_that_is_deleted_is_an_error_at_once() {
    let file = Temporary::new("deleted.part");
    trickle(&golden("llama-untied"), &file.0, 80, 60)
        .join()
        .unwrap();
    let model = open(&file.0, growing());
    std::fs::remove_file(&file.0).unwrap();
    let start = Instant::now();
    let error = text(&model, "the hen").unwrap_err().to_string();
    assert!(
        error.contains("bytes are there, and the file was deleted"),
        "{error}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

/// Nothing of the header is waited for, either.
#[cfg(unix)]
#[test]
fn a_download_that_is_deleted_in_its_header_is_an_error_at_once() {
    let file = Temporary::new("deleted-header.part");
    std::fs::write(&file.0, &std::fs::read(golden("q8_0")).unwrap()[..100]).unwrap();
    let start = Instant::now();
    let error = std::thread::scope(|scope| {
        let opened = scope.spawn(|| try_logits(&file.0, growing()));
        // Opened by then, or it is another error.
        std::thread::sleep(Duration::from_millis(200));
        std::fs::remove_file(&file.0).unwrap();
        opened.join().unwrap().unwrap_err().to_string()
    });
    let expected = format!("{}: 100 of ", file.0.display());
    assert!(
        error.starts_with(&expected) && error.ends_with("and the file was deleted"),
        "{error}"
    );
    // Less than anybody's patience.
    assert!(
        start.elapsed() < growing().patience,
        "{:?}",
        start.elapsed()
    );
}

/// Downloads get their name when they are complete.
#[cfg(unix)]
#[test]
fn a_download_that_is_renamed_goes_on() {
    let name = "llama-untied";
    let file = Temporary::new("renamed.part");
    let renamed = Temporary::new("renamed.gguf");
    let expected = logits(&golden(name), LoadOptions::default());
    let writer = trickle(&golden(name), &file.0, 60, 60);
    let found = std::thread::scope(|scope| {
        let computed = scope.spawn(|| logits(&file.0, growing()));
        std::thread::sleep(Duration::from_millis(100));
        std::fs::rename(&file.0, &renamed.0).unwrap();
        computed.join().unwrap()
    });
    writer.join().unwrap();
    assert_same_bits("renamed", &expected, &found);
}

#[test]
fn prompts_queued_while_the_file_grows_get_their_answers() {
    let path = golden("llama-untied");
    let prompts = ["a", "the hen", "Once upon a time"];
    let whole = open(&path, LoadOptions::default());
    let expected = prompts.map(|prompt| text(&whole, prompt).unwrap());
    let file = Temporary::new("queued.part");
    let writer = trickle(&path, &file.0, 80, 80);
    let model = open(&file.0, growing());
    let found = std::thread::scope(|scope| {
        let queued = prompts.map(|prompt| scope.spawn(|| text(&model, prompt).unwrap()));
        queued.map(|thread| thread.join().unwrap())
    });
    writer.join().unwrap();
    assert_eq!(found, expected);
}

/// However patient the loader is.
#[test]
fn waiting_for_a_download_can_be_cancelled() {
    let file = Temporary::new("cancelled.part");
    trickle(&golden("llama-untied"), &file.0, 80, 60)
        .join()
        .unwrap();
    let model = open(
        &file.0,
        LoadOptions {
            patience: Duration::from_secs(3600),
            ..growing()
        },
    );
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let cancel = session.canceller();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            cancel.cancel();
        });
        let mut generation = session.generate("the hen", &greedy()).unwrap();
        assert!(generation.next().is_none());
        assert_eq!(generation.finish(), Some(Finish::Cancelled));
    });
    assert!(!model.load_progress().is_complete() && model.load_error().is_none());
}

/// What can become no model is refused, not waited for.
#[test]
fn a_download_of_something_else_is_an_error_at_once() {
    let file = Temporary::new("page.part");
    std::fs::write(&file.0, "<!DOCTYPE html><html><body>404</body></html>").unwrap();
    let start = Instant::now();
    let error = try_logits(&file.0, growing()).unwrap_err().to_string();
    assert!(error.contains("not a GGUF file: it looks like "), "{error}");
    assert!(
        start.elapsed() < growing().patience,
        "{:?}",
        start.elapsed()
    );
}
