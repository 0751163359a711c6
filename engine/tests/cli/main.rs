//! The binaries from outside: exit status, what goes to stdout and what to
//! stderr, and whatever can be wrong with what they are given.

mod conform;
mod conversation;
mod files;
mod gpu;
#[cfg(unix)]
mod locking;
mod parameters;
mod streams;
mod terminal;
mod text;
#[cfg(unix)]
mod vanishing;

use firstlight_tests::tiny::{TempFile, Tiny};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No test waits longer than that for a program.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a program has left behind.
#[derive(Debug)]
struct Output {
    /// `None` if a signal ended it.
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// `generate` with a model, on one thread.
fn generate(model: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_generate"));
    command.args(["--threads", "1", "--model"]).arg(model);
    command
}

/// `conform` with a subcommand.
fn conform(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conform"));
    command.arg(subcommand);
    command
}

/// Runs a program to its end with that on stdin.
fn run_with(command: &mut Command, input: impl AsRef<[u8]>) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref();
    std::thread::scope(|scope| {
        // A program may end without reading all of its input.
        scope.spawn(move || stdin.write_all(input).ok());
        finish(child)
    })
}

/// Runs a program to its end with nothing on stdin.
fn run(command: &mut Command) -> Output {
    run_with(command, "")
}

/// Waits for the end of a program.
fn finish(mut child: Child) -> Output {
    fn reader(source: Option<impl Read + Send + 'static>) -> impl FnOnce() -> String {
        let thread = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut source) = source {
                source.read_to_end(&mut bytes).unwrap();
            }
            String::from_utf8(bytes).unwrap()
        });
        move || thread.join().unwrap()
    }
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("still running after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Output {
        status: status.code(),
        stdout: stdout(),
        stderr: stderr(),
    }
}

impl Output {
    /// It succeeded; its output.
    #[track_caller]
    fn text(self) -> String {
        assert_eq!(self.status, Some(0), "{self:?}");
        assert!(!self.stderr.contains("error"), "{self:?}");
        self.stdout
    }

    /// It failed with status 1, one line on stderr and nothing on stdout;
    /// returns the line without `error: `.
    #[track_caller]
    fn error(self) -> String {
        assert_eq!(self.status, Some(1), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let line = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert!(!line.contains(char::is_control), "{self:?}");
        match line.strip_prefix("error: ") {
            Some(message) => message.to_owned(),
            None => panic!("no error line: {self:?}"),
        }
    }

    /// It was used wrongly: status 2, a word that says so, nothing on stdout.
    #[track_caller]
    fn wrong_usage(self, word: &str) {
        assert_eq!(self.status, Some(2), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.contains(word), "expected {word:?}: {self:?}");
    }
}

/// A shell that runs `generate` with a redirection, on a short prompt.
fn redirected(model: &TempFile, redirection: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("exec \"$@\" {redirection}"))
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_generate"))
        .args(["--threads", "1", "--max-tokens", "8", "--model"])
        .arg(model.path());
    command
}

/// A model that never ends its text.
fn endless() -> Tiny {
    let normal = |n| std::iter::repeat_n(1_i32, n);
    let types = [2].into_iter().chain(normal(2)).chain([6; 256]);
    let types: Vec<i32> = types.chain(normal(35)).collect();
    Tiny::default()
        .without("tokenizer.ggml.eos_token_id")
        .set("tokenizer.ggml.token_type", types)
        .set("llama.context_length", 1_u32 << 20)
}

/// The text that `generate` continues a prompt with, always the same.
fn greedy(model: &Path, prompt: &str, more: &[&str]) -> Output {
    let args = ["--temperature", "0", "--max-tokens", "30"];
    run(generate(model)
        .args(args)
        .args(more)
        .arg(OsStr::new(prompt)))
}
