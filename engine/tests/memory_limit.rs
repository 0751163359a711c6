//! A model that is half as large again as the memory its process may use: it
//! runs, is not killed, and says what it says without a limit.
//!
//! The limit is a control group's, since nothing else counts the pages of a
//! mapped file. Where no group can be made (that takes root, or a part of the
//! hierarchy that was handed over), this is skipped with a note. What it prints
//! beside (`-- --nocapture`) is measured; `benches/memory-limit.sh` does it with
//! real models.

#![cfg(target_os = "linux")]

use firstlight_tests::tiny::{Shape, Tiny};
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Tokens that are generated, each by a pass through all weights.
const TOKENS: u64 = 12;

/// A control group of this test's own, gone at the end.
struct Group {
    folder: PathBuf,
    /// The file that says how many were killed.
    events: &'static str,
}

impl Group {
    /// A group whose processes may use so much memory together, file cache
    /// included.
    fn new(limit_bytes: u64) -> Result<Group, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let mut reason = "no hierarchy of control groups limits memory".to_owned();
        for line in own.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            let is_version_1 = controllers.split(',').any(|name| name == "memory");
            let (root, limit, swap, events) = match controllers {
                "" => (
                    "/sys/fs/cgroup",
                    "memory.max",
                    ("memory.swap.max", 0),
                    "memory.events",
                ),
                _ if is_version_1 => (
                    "/sys/fs/cgroup/memory",
                    "memory.limit_in_bytes",
                    ("memory.memsw.limit_in_bytes", limit_bytes),
                    "memory.oom_control",
                ),
                _ => continue,
            };
            // In a container the path may lead nowhere.
            for parent in [format!("{root}{path}"), root.to_owned()] {
                let name = format!("firstlight-test-{}", std::process::id());
                let folder = Path::new(&parent).join(name);
                if let Err(error) = fs::create_dir(&folder) {
                    reason = format!("{}: {error}", folder.display());
                    continue;
                }
                let group = Group { folder, events };
                match group.write(limit, limit_bytes) {
                    Ok(()) => {
                        // Where there is none, nothing needs to be limited.
                        let _ = group.write(swap.0, swap.1);
                        return Ok(group);
                    }
                    Err(error) => reason = format!("{parent}: {limit}: {error}"),
                }
            }
        }
        Err(reason)
    }

    fn write(&self, file: &str, value: u64) -> std::io::Result<()> {
        fs::write(self.folder.join(file), value.to_string())
    }

    /// How many of its processes were killed for memory.
    fn killed(&self) -> u64 {
        let events = fs::read_to_string(self.folder.join(self.events)).unwrap();
        let line = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        line.unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// What a program has done.
struct Run {
    stdout: String,
    stderr: String,
    /// What came from the disk.
    read_bytes: u64,
    seconds: f64,
}

impl Run {
    /// Megabytes per second.
    fn speed(&self) -> f64 {
        self.read_bytes as f64 / 1e6 / self.seconds
    }
}

/// Runs a program, in a group if there is one, with nothing of the model in the
/// file cache.
fn run(group: Option<&Group>, model: &Path, program: &[&str]) -> Run {
    forget(model);
    // A shell is told what its children have read, too.
    let script = "if [ -n \"$0\" ]; then echo $$ >\"$0/cgroup.procs\" || exit; fi
        \"$@\"; status=$?; grep ^read_bytes: /proc/$$/io >&2; exit $status";
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    match group {
        Some(group) => command.arg(&group.folder),
        None => command.arg(""),
    };
    let start = Instant::now();
    let output = command.args(program).stdin(Stdio::null()).output().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success(),
        "{program:?}: {}\n{stderr}",
        output.status
    );
    let read = stderr
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes: "));
    let read_bytes = read.expect("Linux counts what is read").parse().unwrap();
    Run {
        stdout,
        stderr,
        read_bytes,
        seconds,
    }
}

/// Drops a file from the file cache.
fn forget(path: &Path) {
    let file = fs::File::open(path).unwrap();
    // Only pages that are on the disk can be dropped.
    file.sync_all().unwrap();
    rustix::fs::fadvise(file.as_fd(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// Removed at the end.
struct Model(PathBuf);

impl Drop for Model {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// 80 MB of weights in 24 layers, on the disk rather than in a temporary folder,
/// which may be memory.
fn model() -> Model {
    let shape = Shape {
        n_embd: 512,
        n_ff: 1536,
        n_layer: 24,
        ..Shape::of_format(gguf::TensorType::Q8_0)
    };
    let name = format!("memory-limit-{}.gguf", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, Tiny::new(&shape).bytes()).unwrap();
    Model(path)
}

#[test]
fn a_model_of_one_and_a_half_times_the_memory_runs() {
    let model = model();
    let path = &model.0;
    let len = fs::metadata(path).unwrap().len();
    let limit = len * 2 / 3;
    let group = match Group::new(limit) {
        Ok(group) => group,
        Err(reason) => {
            println!("skipped: no control group with a memory limit: {reason}");
            return;
        }
    };
    let tokens = TOKENS.to_string();
    let generate = [
        env!("CARGO_BIN_EXE_generate"),
        "--model",
        path.to_str().unwrap(),
        "--max-tokens",
        &tokens,
        "--temperature",
        "0",
        "--context",
        "64",
        "--stats",
        "json",
        "the",
    ];
    let whole = run(None, path, &generate);
    if whole.read_bytes < len {
        println!("skipped: this file system keeps files in memory");
        return;
    }
    // What does not fit has to be read again by every pass, or there was no limit;
    // and none reads more than all of it, unless another program keeps a thread
    // waiting until what was read ahead for it is gone: then it is tried again.
    let least = len + (TOKENS - 1) * (len - limit);
    let most = (TOKENS + 1) * len;
    let mut limited = run(Some(&group), path, &generate);
    for _ in 0..4 {
        if limited.read_bytes < most {
            break;
        }
        limited = run(Some(&group), path, &generate);
    }
    let read = ["sh", "-c", "cat \"$0\" >/dev/null", path.to_str().unwrap()];
    let sequential = run(Some(&group), path, &read);

    assert_eq!(limited.stdout, whole.stdout, "{}", limited.stderr);
    assert_eq!(group.killed(), 0, "{}", limited.stderr);
    for run in [&whole, &limited] {
        let tokens = format!("\"generated_tokens\":{TOKENS},");
        assert!(run.stderr.contains(&tokens), "{}", run.stderr);
    }
    println!(
        "{:.0} MB within {:.0}: {TOKENS} tokens read {:.0} MB in {:.2} s, at {:.0} MB/s; reading in order {:.0} MB/s",
        len as f64 / 1e6,
        limit as f64 / 1e6,
        limited.read_bytes as f64 / 1e6,
        limited.seconds,
        limited.speed(),
        sequential.speed(),
    );
    assert!(
        (least..most).contains(&limited.read_bytes),
        "{} bytes were read, expected {least} to {most}",
        limited.read_bytes
    );
}
