//! Files that change while text is being generated.

use super::{Output, endless, finish, generate};
use firstlight_tests::tiny::TempFile;
use std::io::Read;
use std::process::{Child, ChildStdout, Stdio};

/// Starts to generate, and returns when the first bytes of text are there.
fn generating(model: &TempFile) -> (Child, ChildStdout) {
    let mut child = generate(model.path())
        .arg("the")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 4]).unwrap();
    (child, stdout)
}

/// What becomes of it when only a part of the file is left.
fn shrunk_to(part: f64) -> (TempFile, Output) {
    let model = endless().write();
    let (child, mut stdout) = generating(&model);
    // Read on, so that it generates and does not wait for us.
    let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let file = std::fs::OpenOptions::new().write(true).open(model.path());
    let file = file.unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len((len as f64 * part) as u64).unwrap();
    let output = finish(child);
    reader.join().unwrap().unwrap();
    (model, output)
}

#[test]
fn a_file_that_shrinks_ends_the_text_with_a_line() {
    for part in [0.0, 0.5, 0.9] {
        let (model, output) = shrunk_to(part);
        let expected = format!(
            "error: {}: the file became shorter or unreadable while it was in use\n",
            model.path().display()
        );
        assert_eq!(
            (output.status, output.stderr),
            (Some(1), expected),
            "{part}"
        );
    }
}

#[test]
fn a_file_that_is_deleted_or_replaced_goes_on_being_used() {
    for replace in [false, true] {
        let model = endless().write();
        let (child, mut stdout) = generating(&model);
        match replace {
            true => {
                let other = TempFile::new("other.gguf", b"GGUF");
                std::fs::rename(other.path(), model.path()).unwrap();
            }
            false => std::fs::remove_file(model.path()).unwrap(),
        }
        // A good deal more text, and then nobody reads on.
        stdout.read_exact(&mut [0; 2000]).unwrap();
        drop(stdout);
        let output = finish(child);
        assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""));
    }
}
