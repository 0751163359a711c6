//! What the programs say about GPUs.
//!
//! Without an adapter the tests say so and pass; with `FIRSTLIGHT_REQUIRE_GPU=1`
//! in the environment, which CI sets, they fail.

use super::{Output, generate, run};
use firstlight_tests::tiny::Tiny;
use std::io::Write;
use std::path::{Path, PathBuf};

/// `generate` on the GPU with these arguments; `None` if there is no GPU.
fn on_gpu(args: &[&str]) -> Option<Output> {
    on_gpu_with_cache(
        &[&["--no-shader-cache"], args].concat(),
        &std::env::temp_dir(),
    )
}

/// The same with this folder for caches.
fn on_gpu_with_cache(args: &[&str], cache: &Path) -> Option<Output> {
    let model = Tiny::default().write();
    let fixed = ["--device", "gpu", "--max-tokens", "3", "a"];
    let mut command = generate(model.path());
    // Drivers complain on stderr if there is none.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command.env("XDG_CACHE_HOME", cache);
    let output = run(command.args(fixed).args(args));
    let is_absent = output.stderr.contains("no GPU was found")
        || output.stderr.contains("built without the feature");
    if is_absent && std::env::var_os("FIRSTLIGHT_REQUIRE_GPU").is_none() {
        // Past the capture of the test's output, which hides what passes.
        let _ = writeln!(std::io::stderr(), "skipped: {}", output.stderr.trim_end());
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

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("firstlight-cache-{}-{name}", std::process::id());
        Folder(std::env::temp_dir().join(name))
    }

    /// What `generate` has left in it.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.join("firstlight"));
        let entries = entries.map_or_else(|_| Vec::new(), Iterator::collect);
        entries
            .into_iter()
            .map(|entry| entry.unwrap().path())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compiled shaders are kept and found again; whatever happens to them changes
/// nothing but the time it takes.
#[test]
#[cfg(target_os = "linux")]
fn compiled_shaders_are_kept() {
    let folder = Folder::new("kept");
    let verbose = |args: &[&str]| {
        let args = [&["--verbose", "--temperature", "0"], args].concat();
        on_gpu_with_cache(&args, &folder.0)
    };
    let Some(first) = verbose(&[]) else { return };
    let said = |output: &Output, words: &str| {
        assert_eq!(output.status, Some(0), "{output:?}");
        assert_eq!(output.stdout, first.stdout, "{output:?}");
        assert!(output.stderr.contains(words), "{words}: {output:?}");
    };
    said(&first, "it is not there yet, ");
    let files = folder.files();
    assert_eq!(files.len(), 1, "{files:?}");
    let file = &files[0];
    said(
        &verbose(&[]).unwrap(),
        "bytes of compiled shaders were read",
    );

    let whole = std::fs::read(file).unwrap();
    let cut = &whole[..whole.len() - 1];
    let mut foreign = whole.clone();
    foreign[8] ^= 1;
    for (contents, words) in [
        (cut, "it is damaged"),
        (&[], "it is a file of another kind"),
        (&foreign, "it is of another driver or another version"),
    ] {
        std::fs::write(file, contents).unwrap();
        said(&verbose(&[]).unwrap(), words);
        assert_eq!(folder.files().len(), 1);
        assert_eq!(std::fs::read(file).unwrap()[8..16], whole[8..16]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn compiled_shaders_need_not_be_kept() {
    let folder = Folder::new("not-kept");
    let Some(output) = on_gpu_with_cache(&["--no-shader-cache"], &folder.0) else {
        return;
    };
    assert_eq!(output.status, Some(0), "{output:?}");
    // Drivers may keep their own there.
    assert_eq!(folder.files(), Vec::<PathBuf>::new());
    // Where nothing can be written, nothing is.
    let output = on_gpu_with_cache(&["--verbose"], Path::new("/dev/null")).unwrap();
    assert_eq!(output.status, Some(0), "{output:?}");
    assert!(
        output.stderr.contains("none could be written: "),
        "{output:?}"
    );
}
