//! Streams that are closed, broken or full, and signals.

use super::{endless, finish, generate, redirected, run, run_with};
use firstlight_tests::tiny::{TempFile, Tiny};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn whoever_has_read_enough_may_go() {
    let model = endless().write();
    let mut child = generate(model.path())
        .arg("the")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // The pipe is closed now.
    let output = finish(child);
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn streams_that_are_closed() {
    let model = Tiny::default().write();
    for redirection in ["the <&-", "the >&-", "the 2>&-", "the <&- >&- 2>&-"] {
        let output = run(&mut redirected(&model, redirection));
        assert_eq!(output.status, Some(0), "{redirection}: {output:?}");
    }
    // Nothing on stdin is an empty prompt: any text may follow.
    let output = run(&mut redirected(&model, "<&-"));
    assert_eq!(output.status, Some(0), "{output:?}");
}

#[cfg(unix)]
#[test]
fn nobody_reads_the_figures() {
    let model = Tiny::default().write();
    let mut child = redirected(&model, "--verbose the")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(finish(child).status, Some(0));
}

#[test]
fn a_full_disk_is_an_error() {
    let model = Tiny::default().write();
    if !cfg!(target_os = "linux") {
        println!("skipped: /dev/full is Linux's");
        return;
    }
    let message = run(&mut redirected(&model, "the >/dev/full")).error();
    assert!(
        message.starts_with("stdout: cannot be written: No space left"),
        "{message}"
    );
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let kill = format!("kill -INT {}", child.id());
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success());
}

/// Generating, or reading a model that takes minutes to arrive.
#[cfg(unix)]
#[test]
fn an_interrupt_ends_at_once_and_what_there_is_stays() {
    let model = endless().write();
    let mut child = generate(model.path())
        .arg("the")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 4];
    stdout.read_exact(&mut first).unwrap();
    // Its output is read on, so that it generates and does not wait for us.
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).map(|_| rest)
    });
    let start = Instant::now();
    interrupt(&child);
    let output = finish(child);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(output.status, Some(130), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(output.stderr.ends_with(" · cancelled]\n"), "{output:?}");
    assert_eq!(reader.join().unwrap().unwrap().last(), Some(&b'\n'));
}

/// A program that a shell started to ignore interrupts goes on doing so.
#[cfg(unix)]
#[test]
fn an_interrupt_that_is_ignored() {
    let model = endless().write();
    let run = "trap '' INT; exec \"$@\" the";
    let mut child = Command::new("sh")
        .args(["-c", run, "sh"])
        .arg(env!("CARGO_BIN_EXE_generate"))
        .args(["--threads", "1", "--max-tokens", "3000", "--model"])
        .arg(model.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 4]).unwrap();
    interrupt(&child);
    let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let output = finish(child);
    reader.join().unwrap().unwrap();
    assert_eq!(output.status, Some(0), "{output:?}");
    assert!(output.stderr.ends_with(" · max tokens]\n"), "{output:?}");
}

/// A growing file of which the weights never come.
#[cfg(unix)]
#[test]
fn an_interrupt_ends_waiting_for_weights() {
    let model = endless();
    let bytes = model.bytes();
    let header = gguf::Gguf::parse(&bytes).unwrap().data_offset() as usize;
    let file = TempFile::new("model.part", &bytes[..header]);
    let child = generate(file.path())
        .args(["--verbose", "the"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let start = Instant::now();
    interrupt(&child);
    let output = finish(child);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (Some(130), ""),
        "{output:?}"
    );
    assert!(
        output
            .stderr
            .ends_with("generated 0 tokens, 0.0/s · cancelled]\n"),
        "{output:?}"
    );
}

/// No program minds that nobody reads what it says besides its results.
#[cfg(unix)]
#[test]
fn nobody_reads_messages() {
    let model = Tiny::default().write();
    let text = TempFile::new("text.txt", "the hen in a then ".repeat(40).as_bytes());
    let path = |file: &TempFile| file.path().to_str().unwrap().to_owned();
    let (model, text, missing) = (path(&model), path(&text), "/no/such/file".to_owned());
    let perplexity = [
        "perplexity",
        "--context",
        "64",
        "--model",
        &model,
        "--file",
        &text,
    ];
    let (conform, bench) = (env!("CARGO_BIN_EXE_conform"), env!("CARGO_BIN_EXE_bench"));
    let rows: &[(&str, &[&str], i32)] = &[
        (conform, &perplexity, 0),
        (conform, &["inspect", "--model", &missing], 1),
        (bench, &["--model", &missing], 1),
        (bench, &["--startup", "--model", &missing], 1),
        (bench, &["--synthetic", "no:such"], 2),
        (
            env!("CARGO_BIN_EXE_generate"),
            &["--model", &missing, "the"],
            1,
        ),
        (env!("CARGO_BIN_EXE_generate"), &["--no-such-option"], 2),
    ];
    for (program, args, status) in rows {
        // Both ends of what comes are gone: a closed pipe, and none at all.
        for redirection in ["2>&1 >/dev/null | true", "2>&-"] {
            let run = format!("{{ \"$@\"; echo $? >&3; }} {redirection}");
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exec 3>&1; {run}"), "sh", program]);
            let output = run_with(command.args(*args), "");
            let code = output
                .stdout
                .lines()
                .last()
                .and_then(|line| line.parse().ok());
            assert_eq!(
                code,
                Some(*status),
                "{program} {args:?} {redirection}: {output:?}"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn results_that_nobody_reads_or_that_find_no_room() {
    let model = Tiny::default().write();
    let conform = env!("CARGO_BIN_EXE_conform");
    let bench = env!("CARGO_BIN_EXE_bench");
    let quick = [
        "--prompt-tokens",
        "4",
        "--gen-tokens",
        "0",
        "--repetitions",
        "1",
    ];
    let rows: &[(&str, &[&str])] = &[(conform, &["inspect"]), (bench, &quick)];
    for (program, args) in rows {
        let run_to = |target: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("\"$@\" {target}"), "sh", program]);
            run(command.args(*args).arg("--model").arg(model.path()))
        };
        let output = run_to(">&-");
        assert_eq!(
            (output.status, output.stderr.as_str()),
            (Some(0), ""),
            "{program}"
        );
        if cfg!(target_os = "linux") {
            let message = run_to(">/dev/full").error();
            assert!(
                message.starts_with("stdout: cannot be written: No space left"),
                "{message}"
            );
        }
    }
}
