//! Files that are none, are cut off, or are something else.

use super::{conform, generate, run};
use firstlight_tests::tiny::{TempFile, Tiny};
use std::path::Path;
use std::process::Command;

/// `generate` and `conform inspect` refuse a file with the same words; returns
/// them without the file's name.
#[track_caller]
fn refused(path: &Path) -> String {
    let message = run(generate(path).arg("the")).error();
    let inspected = run(conform("inspect").arg("--model").arg(path)).error();
    assert_eq!(message, inspected);
    let name = format!("{}: ", path.display());
    match message.strip_prefix(&name) {
        Some(reason) => reason.to_owned(),
        None => panic!("{message:?} does not name {name:?}"),
    }
}

#[test]
fn what_is_no_file() {
    let folder = std::env::temp_dir();
    assert_eq!(
        refused(&folder),
        "expected a regular file, found a directory"
    );
    let missing = refused(&folder.join("firstlight-no-such-file.gguf"));
    assert!(
        missing.starts_with("cannot be opened: No such file"),
        "{missing}"
    );
    if cfg!(unix) {
        let device = "expected a regular file, found a device, pipe or socket";
        assert_eq!(refused(Path::new("/dev/zero")), device);
        assert_eq!(refused(Path::new("/dev/null")), device);
        let fifo = TempFile::new("fifo.gguf", b"");
        std::fs::remove_file(fifo.path()).unwrap();
        let made = Command::new("mkfifo").arg(fifo.path()).status();
        match made {
            Ok(status) if status.success() => assert_eq!(refused(fifo.path()), device),
            _ => println!("skipped: a FIFO, which mkfifo could not make"),
        }
        let loop_ = TempFile::new("loop.gguf", b"");
        std::fs::remove_file(loop_.path()).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(loop_.path(), loop_.path()).unwrap();
        let message = refused(loop_.path());
        assert!(message.starts_with("cannot be opened: "), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn no_permission() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    /// A user without rights, by custom.
    const NOBODY: u32 = 65534;
    let file = Tiny::default().write();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = generate(file.path());
    command.arg("the").stdin(std::process::Stdio::null());
    // Who is root may read everything.
    let is_root = std::fs::metadata(file.path()).unwrap().uid() == 0;
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
        if command.spawn().and_then(|mut child| child.wait()).is_err() {
            println!("skipped: the program lies where only root gets");
            return;
        }
    }
    let message = run(&mut command).error();
    let expected = format!(
        "{}: cannot be opened: Permission denied",
        file.path().display()
    );
    assert!(message.starts_with(&expected), "{message}");
}

#[test]
fn foreign_files() {
    let rows: &[(&[u8], &str)] = &[
        (b"", "the file is empty"),
        (
            b"GGUF",
            "the file has 4 bytes, too few for the 24-byte GGUF header",
        ),
        (
            b"<!DOCTYPE html><html><body>404</body></html>",
            "not a GGUF file: it looks like ",
        ),
        (
            b"PK\x03\x04aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "not a GGUF file: it looks like ",
        ),
        (
            b"tjggaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "not a GGUF file: it looks like ",
        ),
        (
            b"\x1b[2J\x1b[1;1Haaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "not a GGUF file: expected it to start with",
        ),
        (
            b"GGUF\x63\0\0\0aaaaaaaaaaaaaaaaaaaaaaaaa",
            "GGUF version 99 is not supported, expected 2 or 3",
        ),
        (
            b"GGUF\0\0\0\x03aaaaaaaaaaaaaaaaaaaaaaaaa",
            "big-endian GGUF",
        ),
        (
            b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0",
            "the header announces 18446744073709551615 tensors",
        ),
    ];
    for (bytes, expected) in rows {
        let message = refused(TempFile::new("foreign.gguf", bytes).path());
        assert!(message.starts_with(expected), "{message}\n{expected}");
    }
}

#[test]
fn files_cut_off() {
    let good = Tiny::default().bytes();
    for part in [1, 10, 30, 50, 90, 99] {
        let message = refused(TempFile::new("cut.gguf", &good[..good.len() * part / 100]).path());
        assert!(
            message.contains("but the file ends at ")
                || message.contains("bytes remain in the file")
                || message.ends_with("is it complete?"),
            "{part} %: {message}"
        );
    }
}

#[test]
fn models_that_cannot_be_run() {
    let rows: Vec<(Tiny, &str)> = vec![
        (
            Tiny::default().without_tensors(),
            "tensor \"token_embd.weight\" is missing",
        ),
        (
            Tiny::default().set("general.architecture", "\x1b[31mred"),
            "architecture \"\\u{1b}[31mred\" is not supported, expected one of ",
        ),
        (
            Tiny::default().set("llama.block_count", 1_000_000_000_u32),
            "metadata key \"llama.block_count\" is 1000000000, expected 1 to 1024",
        ),
    ];
    for (model, expected) in rows {
        let file = model.write();
        let message = run(generate(file.path()).arg("the")).error();
        let start = format!("{}: {expected}", file.path().display());
        assert!(message.starts_with(&start), "{message}\n{start}");
    }
}

#[test]
fn weights_that_are_no_numbers_give_no_text() {
    let damaged = Tiny::default().edit("blk.1.ffn_norm.weight", |tensor| {
        tensor.data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let file = damaged.write();
    let message = run(generate(file.path()).arg("the")).error();
    assert!(
        message.contains("the model computed NaN logits"),
        "{message}"
    );
}

#[test]
fn names_with_control_sequences_are_never_printed_raw() {
    let model = Tiny::default()
        .set(
            "general.\x1b[2Jname",
            "\x1b]0;title\x07\nnext \u{9b}31m \u{202e}",
        )
        .with_tensor("\x1b[31mred\u{85}\n", gguf::TensorType::F32, &[4]);
    let file = model.write();
    let table = run(conform("inspect").arg("--model").arg(file.path())).text();
    assert!(table.contains("\\u{1b}[31mred"), "{table}");
    let json = run(conform("inspect")
        .arg("--json")
        .arg("--model")
        .arg(file.path()))
    .text();
    for output in [&table, &json] {
        let raw = output.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(raw, None, "{output}");
    }
    // The same in what an error names, be it the file itself.
    let twice = Tiny::default()
        .with_tensor("\x1b[31mred", gguf::TensorType::F32, &[4])
        .edit("\x1b[31mred", |tensor| {
            tensor.name = "output.weight".to_owned()
        })
        .edit("blk.0.attn_q.weight", |tensor| {
            tensor.name = "\x1b[2J".to_owned()
        })
        .edit("blk.0.attn_k.weight", |tensor| {
            tensor.name = "\x1b[2J".to_owned()
        });
    let file = TempFile::new(
        "\x1b[32m\n.gguf",
        &twice.without_tensor("token_embd.weight").bytes(),
    );
    let message = run(generate(file.path()).arg("the")).error();
    assert!(
        message.contains("\\u{1b}[32m\\n.gguf: tensor \""),
        "{message}"
    );
    assert!(message.ends_with(" appears twice"), "{message}");
}
