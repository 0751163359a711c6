//! `--mlock` where little or nothing may be locked: said before anything is
//! computed, never done by halves.

use super::{Output, finish};
use firstlight_tests::tiny::{Shape, TempFile, Tiny};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A user without rights, by custom.
const NOBODY: u32 = 65534;

/// `generate --mlock` where no more than that may be locked; `None` if that
/// cannot be tried here.
fn limited(model: &TempFile, limit_kib: u32, more: &[&str]) -> Option<Output> {
    let permissions = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(model.path(), permissions).unwrap();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -l {limit_kib} || exit 125; exec \"$@\""))
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_generate"))
        .args(["--threads", "1", "--max-tokens", "4", "--mlock", "--model"])
        .arg(model.path())
        .args(more)
        .arg("the")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Limits do not hold for root.
    if std::fs::metadata(model.path()).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    let output = finish(command.spawn().unwrap());
    // No such limit, or the program lies where only root gets.
    if matches!(output.status, Some(125..=127)) {
        println!("skipped: {}", output.stderr.trim_end());
        return None;
    }
    Some(output)
}

fn model() -> TempFile {
    let shape = Shape {
        n_embd: 128,
        n_ff: 256,
        ..Shape::default()
    };
    Tiny::new(&shape).write()
}

#[test]
fn a_model_that_may_not_be_locked_is_refused() {
    let model = model();
    let bytes = std::fs::metadata(model.path()).unwrap().len();
    assert!(bytes > 64 << 10, "{bytes}");
    for more in [&[][..], &["--preload"], &["--no-readahead"]] {
        let Some(output) = limited(&model, 64, more) else {
            return;
        };
        let expected = format!(
            "{}: {bytes} bytes are to be locked in memory, and this process may lock 65536: \
             raise the limit (ulimit -l) or do not lock the model",
            model.path().display()
        );
        assert_eq!(output.error(), expected, "{more:?}");
    }
}

#[test]
fn a_model_that_may_be_locked_runs() {
    let model = model();
    let bytes = std::fs::metadata(model.path()).unwrap().len();
    // May be more than this user may allow himself.
    let limit_kib = u32::try_from(bytes / 1024).unwrap() + 64;
    let Some(output) = limited(&model, limit_kib, &[]) else {
        return;
    };
    assert!(!output.stderr.contains("note: "), "{output:?}");
    output.text();
}
