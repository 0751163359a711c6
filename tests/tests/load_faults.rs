//! Files that break, shrink, vanish or are replaced at any moment of the load,
//! each in a process of its own: a clear error and status 1, or the right
//! answer; never a hang, a signal or a panic.

use firstlight_tests::tiny::{Shape, TempFile, Tiny};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One call of the reader for each layer, and one for the output.
const CALLS: usize = 5;

/// No load of a tiny model takes longer, whatever happens.
const PATIENCE: Duration = Duration::from_secs(60);

fn model() -> TempFile {
    let shape = Shape {
        n_layer: CALLS - 1,
        n_embd: 128,
        n_ff: 256,
        ..Shape::default()
    };
    Tiny::new(&shape).write()
}

/// Status, stdout and stderr of a load that `fault` strikes at call `at`.
fn load(file: &TempFile, fault: &str, at: usize) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_faulty"))
        .arg(file.path())
        .args([fault, &at.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{fault} at call {at}: still running after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // What a few steps print fits the pipes.
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    (child.wait().unwrap().code(), stdout, stderr)
}

/// The load ends with status 1 and one line that begins with the file's name and
/// goes on with one of `reasons`.
fn check_fails(fault: &str, reasons: &[&str]) {
    for at in 0..CALLS {
        let file = model();
        let (status, stdout, stderr) = load(&file, fault, at);
        let name = format!("error: {}: ", file.path().display());
        let reason = stderr.strip_prefix(&name).unwrap_or_default();
        assert!(
            status == Some(1)
                && stdout.is_empty()
                && stderr.lines().count() == 1
                && reasons.iter().any(|start| reason.starts_with(start)),
            "{fault} at call {at}: status {status:?}\n{stdout}{stderr}"
        );
    }
}

/// What an undisturbed load prints.
fn undisturbed() -> String {
    let (status, stdout, stderr) = load(&model(), "read-error", CALLS);
    assert_eq!(status, Some(0), "{stderr}");
    stdout
}

#[test]
fn a_read_error_at_any_moment() {
    check_fails("read-error", &["bytes "]);
}

/// The loader finds it, or the thread that touches what is gone.
const SHRUNK: [&str; 2] = [
    "the file had ",
    "the file became shorter or unreadable while it was in use",
];

#[cfg(unix)]
#[test]
fn a_file_truncated_at_any_moment() {
    check_fails("truncate", &SHRUNK);
}

#[cfg(unix)]
#[test]
fn a_file_that_shrinks_at_any_moment() {
    check_fails("shrink", &SHRUNK);
}

/// A download that begins anew takes away what is in use: that is all that can be
/// said of it.
#[cfg(unix)]
#[test]
fn a_download_that_begins_anew_and_stands_still() {
    check_fails("restart", &["0 of ", SHRUNK[1]]);
}

/// The bytes are there as long as somebody uses them.
#[cfg(unix)]
#[test]
fn a_file_deleted_or_replaced_at_any_moment() {
    let expected = undisturbed();
    for fault in ["delete", "replace"] {
        for at in 0..CALLS {
            let (status, stdout, stderr) = load(&model(), fault, at);
            assert_eq!(
                (status, stdout.as_str()),
                (Some(0), expected.as_str()),
                "{fault} at call {at}: {stderr}"
            );
        }
    }
}
