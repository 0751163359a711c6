//! Streams that are closed, broken or full, and signals.

use super::{endless, finish, generate, redirected, run};
use firstlight_tests::tiny::Tiny;
use std::io::Read;
use std::process::{Command, Stdio};
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
#[test]
fn an_interrupt_ends_at_once() {
    use std::os::unix::process::ExitStatusExt;
    let model = endless().write();
    let mut child = generate(model.path())
        .arg("the")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 4];
    stdout.read_exact(&mut first).unwrap();
    // Its output is read on, so that it generates and does not wait for us.
    let reader = std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
    let start = Instant::now();
    let interrupt = format!("kill -INT {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &interrupt])
            .status()
            .unwrap()
            .success()
    );
    let status = child.wait().unwrap();
    const SIGINT: i32 = 2;
    assert_eq!(status.signal(), Some(SIGINT), "{status}");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    reader.join().unwrap().unwrap();
}
