//! What the programs say about GPUs.
//!
//! Without an adapter the tests say so and pass; with `FIRSTLIGHT_REQUIRE_GPU=1`
//! in the environment, which CI sets, they fail.

use super::{Output, generate, run};
use firstlight_tests::tiny::Tiny;
use std::io::Write;

/// `generate` on the GPU with these arguments; `None` if there is no GPU.
fn on_gpu(args: &[&str]) -> Option<Output> {
    let model = Tiny::default().write();
    let fixed = ["--device", "gpu", "--max-tokens", "3", "a"];
    let mut command = generate(model.path());
    // Drivers complain on stderr if there is none.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    let output = run(command.args(fixed).args(args));
    let is_absent = output.stderr.contains("no GPU was found")
        || output.stderr.contains("built without the feature");
    if is_absent && std::env::var_os("FIRSTLIGHT_REQUIRE_GPU").is_none() {
        // Past the capture of the test's output, which hides what passes.
        let _ = writeln!(std::io::stderr(), "skipped: {}", output.stderr);
        return None;
    }
    Some(output)
}

#[test]
fn what_was_placed_is_said() {
    let Some(output) = on_gpu(&[]) else { return };
    assert_eq!(output.status, Some(0), "{output:?}");
    let line = output.stderr.lines().next().unwrap();
    assert!(line.contains("layers and the output on "), "{line}");
}

/// As many layers as fit may be none.
#[test]
fn a_gpu_without_room_is_said() {
    let Some(output) = on_gpu(&["--gpu-memory", "1"]) else {
        return;
    };
    assert_eq!(output.status, Some(0), "{output:?}");
    let line = output.stderr.lines().next().unwrap();
    assert!(
        line.starts_with("the CPU computes all layers: GPU "),
        "{line}"
    );
    assert!(
        line.ends_with("has no room for a single layer with its cache"),
        "{line}"
    );
}

#[test]
fn layers_that_do_not_fit_are_an_error() {
    let Some(output) = on_gpu(&["--gpu-memory", "0", "--gpu-layers", "1"]) else {
        return;
    };
    assert_eq!(output.status, Some(1), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(output.stderr.starts_with("error: GPU "), "{output:?}");
    assert!(output.stderr.contains("is out of memory: "), "{output:?}");
    assert!(
        output.stderr.contains("place fewer layers on it"),
        "{output:?}"
    );
}
