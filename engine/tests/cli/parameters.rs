//! Parameters that make no sense.

use super::{conform, generate, run, run_with};
use firstlight_tests::tiny::{TempFile, Tiny};

/// A number that makes no sense is an error; what is no number is wrong usage.
#[test]
fn numbers() {
    let model = Tiny::default().write();
    let share = "expected above 0 and at most 1";
    let rows: &[(&str, &str, &str)] = &[
        (
            "--temperature",
            "-1",
            "the temperature is -1, expected a finite number from 0 up",
        ),
        (
            "--temperature",
            "nan",
            "the temperature is NaN, expected a finite number from 0 up",
        ),
        (
            "--temperature",
            "inf",
            "the temperature is inf, expected a finite number from 0 up",
        ),
        ("--top-p", "0", &format!("top-p is 0, {share}")),
        ("--top-p", "2", &format!("top-p is 2, {share}")),
        ("--top-p", "NaN", &format!("top-p is NaN, {share}")),
        (
            "--typical-p",
            "-0.5",
            &format!("typical-p is -0.5, {share}"),
        ),
        ("--min-p", "1.5", "min-p is 1.5, expected 0 to 1"),
        ("--min-p", "nan", "min-p is NaN, expected 0 to 1"),
        ("--top-k", "-1", "top-k is -1, expected 0 or more"),
        (
            "--repeat-penalty",
            "0",
            "the repeat penalty is 0, expected a finite number above 0",
        ),
        (
            "--frequency-penalty",
            "inf",
            "the frequency penalty is inf, expected a finite number",
        ),
        (
            "--presence-penalty",
            "nan",
            "the presence penalty is NaN, expected a finite number",
        ),
        (
            "--draft-tokens",
            "16",
            "the number of drafted tokens is 16, expected 0 to 15",
        ),
        (
            "--threads",
            "0",
            "the number of threads is 0, expected 1 to 1024",
        ),
        (
            "--threads",
            "1000000",
            "the number of threads is 1000000, expected 1 to 1024",
        ),
        (
            "--max-tokens",
            "0",
            "the number of tokens to generate is 0, expected at least 1",
        ),
        (
            "--context",
            "0",
            "the context is 0, expected 1 to 1073741824 tokens",
        ),
        (
            "--context",
            "2147483648",
            "the context is 2147483648, expected 1 to 1073741824 tokens",
        ),
    ];
    for (option, value, expected) in rows {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_generate"));
        command.arg("--model").arg(model.path());
        let found = run(command.args([option, value]).arg("the")).error();
        assert_eq!(found, *expected, "{option} {value}");
        run(generate(model.path()).args([option, "many", "the"])).wrong_usage(option);
    }
}

#[test]
fn wrong_usage() {
    let model = Tiny::default().write();
    let with = |args: &[&str]| run(generate(model.path()).args(args));
    with(&["--no-such-option", "the"]).wrong_usage("--no-such-option");
    with(&["--kv", "f64", "the"]).wrong_usage("expected f32, f16 or q8_0");
    with(&["--isa", "mmx", "the"]).wrong_usage("mmx");
    with(&["--seed", "-1", "the"]).wrong_usage("--seed");
    with(&["--stats", "xml", "the"]).wrong_usage("json");
    with(&["the", "hen"]).wrong_usage("hen");
    with(&["--prompt-file", "file", "the"]).wrong_usage("--prompt-file");
    run(&mut conform("logits")).wrong_usage("--model");
    run(&mut conform("no-such-command")).wrong_usage("no-such-command");
    run(conform("detokenize")
        .arg("--model")
        .arg(model.path())
        .args(["--tokens", "1,x"]))
    .wrong_usage("x");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let invalid = std::ffi::OsStr::from_bytes(b"the \xff hen");
        run(generate(model.path()).arg(invalid)).wrong_usage("UTF-8");
    }
}

#[test]
fn help_goes_to_stdout() {
    for program in [
        env!("CARGO_BIN_EXE_generate"),
        env!("CARGO_BIN_EXE_conform"),
    ] {
        let help = run(std::process::Command::new(program).arg("--help")).text();
        assert!(help.contains("Example: "), "{help}");
    }
}

#[test]
fn prompts_longer_than_the_context_are_refused_with_both_numbers() {
    let model = Tiny::default().write();
    // ▁ and 20 letters, after <s>.
    let found = run(generate(model.path()).args(["--context", "10", "bbbbbbbbbbbbbbbbbbbb"]));
    assert_eq!(
        found.error(),
        "the prompt has 22 tokens, but the context holds 10"
    );
    // The context that the model was trained for.
    let found = run_with(&mut generate(model.path()), "b".repeat(300));
    assert_eq!(
        found.error(),
        "the prompt has 302 tokens, but the context holds 256"
    );
    // One that just fits.
    let found = run(generate(model.path()).args(["--context", "22", "bbbbbbbbbbbbbbbbbbbb"]));
    assert_eq!(found.status, Some(0), "{found:?}");
}

#[test]
fn a_prompt_of_one_very_long_word() {
    const LEN: usize = 20_000_000;
    let model = Tiny::default().write();
    let found = run_with(&mut generate(model.path()), "b".repeat(LEN)).error();
    assert_eq!(
        found,
        format!(
            "the prompt has {} tokens, but the context holds 256",
            LEN + 2
        )
    );
}

#[test]
fn prompts_that_are_no_text() {
    let model = Tiny::default().write();
    let found = run_with(&mut generate(model.path()), b"the \xff hen").error();
    assert_eq!(
        found,
        "stdin: expected UTF-8 text, found an invalid byte at 4"
    );
    let file = TempFile::new("prompt.txt", b"\xc3");
    let found = run(generate(model.path()).arg("--prompt-file").arg(file.path())).error();
    let expected = "expected UTF-8 text, found an invalid byte at 0";
    assert_eq!(found, format!("{}: {expected}", file.path().display()));
    let folder = std::env::temp_dir();
    let found = run(generate(model.path()).arg("--prompt-file").arg(&folder)).error();
    assert!(
        found.starts_with(&format!("{}: cannot be read: ", folder.display())),
        "{found}"
    );
    let found = run(generate(model.path()).args(["--prompt-file", "no-such-file"])).error();
    assert!(
        found.starts_with("no-such-file: cannot be read: "),
        "{found}"
    );
    if cfg!(unix) {
        let found = run(generate(model.path()).args(["--prompt-file", "/dev/zero"])).error();
        assert_eq!(
            found,
            "/dev/zero: expected at most 268435456 bytes of text, found more"
        );
    }
}

#[test]
fn special_tokens_in_a_prompt_are_text() {
    let model = Tiny::default().write();
    // Not one token but four, each by its bytes or letters.
    let found = run(generate(model.path()).args(["--context", "3", "</s>"])).error();
    assert_eq!(found, "the prompt has 6 tokens, but the context holds 3");
}
