//! On a terminal: `script` (util-linux) provides one, and where it is absent
//! these tests are skipped with a note.

use super::{Output, endless, run};
use firstlight_tests::tiny::{TempFile, Tiny};
use std::path::Path;
use std::process::Command;

/// Runs a shell's line on a terminal and returns what it shows, stdout and
/// stderr together; `None` where there is no `script`.
fn on_terminal(line: &str) -> Option<Output> {
    let is_there = Command::new("script").arg("--version").output();
    if !is_there.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux"))
    {
        println!("skipped: no script of util-linux");
        return None;
    }
    // The file is for those who want to keep what was shown.
    let mut command = Command::new("script");
    command.args([
        "--quiet",
        "--return",
        "--flush",
        "--command",
        line,
        "/dev/null",
    ]);
    Some(run(&mut command))
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

fn generate(model: &TempFile, args: &str) -> String {
    let program = quoted(Path::new(env!("CARGO_BIN_EXE_generate")));
    format!(
        "{program} --threads 1 --model {} {args}",
        quoted(model.path())
    )
}

/// What a line that succeeds shows; `None` where it cannot be tried.
#[track_caller]
fn shown(line: &str) -> Option<String> {
    let output = on_terminal(line)?;
    assert_eq!(output.status, Some(0), "{output:?}");
    Some(output.stdout)
}

#[test]
fn the_text_stands_there_whole() {
    let model = Tiny::default().write();
    let line = generate(&model, "--temperature 0 --max-tokens 5 'the hen'");
    let Some(screen) = shown(&line) else { return };
    let mut lines = screen.lines();
    assert!(lines.next().unwrap().starts_with("the hen"), "{screen:?}");
    assert!(
        lines.next().unwrap().starts_with("[first token after "),
        "{screen:?}"
    );
    assert_eq!(lines.next(), None, "{screen:?}");
}

#[test]
fn neither_model_nor_prompt_control_the_terminal() {
    // Every letter is an escape sequence.
    let tokens = Tiny::default().texts().into_iter().enumerate();
    let tokens: Vec<String> = tokens
        .map(|(id, text)| match id > 259 {
            true => format!("\x1b[31m{id}\x07"),
            false => text,
        })
        .collect();
    let hostile = endless().set("tokenizer.ggml.tokens", tokens).write();
    let prompt = TempFile::new("prompt.txt", b"a\x1b]0;title\x07\r\tb");
    let args = format!(
        "--max-tokens 40 --seed 1 --prompt-file {}",
        quoted(prompt.path())
    );
    let line = generate(&hostile, &args);
    let Some(screen) = shown(&line) else { return };
    assert!(
        screen.starts_with("a\\u{1b}]0;title\\u{7}\\r\tb"),
        "{screen:?}"
    );
    assert!(screen.contains("\\u{1b}[31m"), "{screen:?}");
    // The terminal itself ends lines with both.
    let raw = screen.replace("\r\n", "\n");
    let control = raw.find(|c: char| c.is_control() && c != '\n' && c != '\t');
    assert_eq!(control, None, "{screen:?}");
    // A pipe gets what the model says, to the byte.
    let output = run(Command::new("sh").args(["-c", &line]));
    assert!(output.stdout.contains("\x1b[31m"), "{output:?}");
}

/// Text comes after the line that says what is being waited for, however small
/// the terminal, and nothing is left of that line.
#[test]
fn one_line_says_what_is_being_waited_for() {
    let bytes = endless().bytes();
    for columns in [200, 80, 30, 15] {
        // Two thirds are there, the rest comes while the line is shown.
        let file = TempFile::new("model.part", &bytes[..bytes.len() * 2 / 3]);
        let whole = TempFile::new("whole.gguf", &bytes);
        let (path, whole) = (quoted(file.path()), quoted(whole.path()));
        let late = format!(
            "(sleep 1; cat {whole} >{path}.2; tail -c +{} {path}.2 >>{path}; rm {path}.2) &",
            bytes.len() * 2 / 3 + 1
        );
        let run = generate(&file, "--max-tokens 3 --temperature 0 the");
        let Some(screen) = shown(&format!("stty cols {columns} rows 4; {late} {run}")) else {
            return;
        };
        if columns > 60 {
            assert!(screen.contains("loading, "), "{columns}: {screen:?}");
        }
        // The last redraw clears the line; what follows is the text.
        let text = screen.rsplit('\r').find(|part| part.contains("the"));
        let text = text.unwrap_or_default();
        assert!(
            text.contains("the") && !text.contains("loading"),
            "{columns}: {screen:?}"
        );
        assert!(
            screen.contains("[first token after "),
            "{columns}: {screen:?}"
        );
        // One line, so nothing has scrolled: no cursor went up.
        assert!(!screen.contains("\x1b[1A"), "{columns}: {screen:?}");
        // The cursor was never hidden, no colours were used.
        for sequence in ["\x1b[?25l", "\x1b[3", "\x1b[1m"] {
            assert!(!screen.contains(sequence), "{columns}: {screen:?}");
        }
    }
}

#[test]
fn an_interrupt_leaves_the_terminal_as_it_was() {
    let model = endless().write();
    let run = generate(&model, "the");
    // The terminal's own interrupt, as if typed.
    let line = format!(
        "stty -a >/tmp/$$.a; {run} & p=$!; sleep 1; kill -INT $p; wait $p; echo \"status $?\"; stty -a >/tmp/$$.b; cmp /tmp/$$.a /tmp/$$.b && echo same; rm /tmp/$$.a /tmp/$$.b"
    );
    // A shell without job control starts what is in the background to ignore
    // interrupts: `set -m` switches it on.
    let Some(screen) = shown(&format!("set -m; {line}")) else {
        return;
    };
    assert!(screen.contains(" · cancelled]"), "{screen:?}");
    assert!(
        screen.contains("status 130") && screen.contains("same"),
        "{screen:?}"
    );
}
