//! From exec to the first token of `generate`, as a person would wait for it.

use crate::results::{Form, Spread, rows_as};
use serde_json::json;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Some 40 tokens in most vocabularies.
const PROMPT: &str = "The lighthouse keeper had not seen a ship in eleven days, and the \
    radio had been silent for nine of them, so when the knock came at the door he first \
    thought of the wind and then";

/// What to start, and how often.
pub struct Startup<'a> {
    pub model: &'a Path,
    /// Whether to drop the file from the system's cache before each start.
    pub cold: bool,
    pub repetitions: usize,
    /// Passed on.
    pub threads: Option<usize>,
}

/// Seconds to the first token, and seconds that reading the file alone takes.
pub struct Waited {
    cold: bool,
    first_token: Spread,
    reading: Spread,
    prompt_tokens: u64,
}

impl Startup<'_> {
    /// Starts the program again and again.
    pub fn run(&self) -> Result<Waited, Box<dyn Error>> {
        let program = program()?;
        let (mut first_token, mut reading) = (Vec::new(), Vec::new());
        let mut prompt_tokens = 0;
        // The first start also brings the program itself into the cache.
        self.start(&program)?;
        for _ in 0..self.repetitions {
            if self.cold {
                forget(self.model)?;
            }
            reading.push(read_through(self.model)?);
            if self.cold {
                forget(self.model)?;
            }
            let (seconds, tokens) = self.start(&program)?;
            first_token.push(seconds);
            prompt_tokens = tokens;
        }
        Ok(Waited {
            cold: self.cold,
            first_token: Spread::of(first_token),
            reading: Spread::of(reading),
            prompt_tokens,
        })
    }

    /// Seconds from exec to the first byte of text, and tokens of the prompt.
    fn start(&self, program: &Path) -> Result<(f64, u64), Box<dyn Error>> {
        let mut command = Command::new(program);
        command.arg("--model").arg(self.model);
        command.args([
            "--max-tokens",
            "1",
            "--temperature",
            "0",
            "--context",
            "512",
        ]);
        command.args(["--stats", "json"]);
        if let Some(threads) = self.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        command.arg(PROMPT);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|error| format!("{}: cannot be started: {error}", program.display()))?;
        // A token without text of its own shows as the end of the output.
        let mut first = [0];
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let _ = stdout.read(&mut first)?;
        let seconds = start.elapsed().as_secs_f64();
        // To its end: a program nobody reads from may leave before it reports.
        std::io::copy(&mut stdout, &mut std::io::sink())?;
        drop(stdout);
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let program = program.display();
            return Err(format!("{program} failed: {}", said.trim()).into());
        }
        let stats = said
            .lines()
            .find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let tokens = stats.and_then(|stats| stats["prompt_tokens"].as_u64());
        Ok((seconds, tokens.unwrap_or(0)))
    }
}

/// `generate`, which lies beside this program.
fn program() -> Result<PathBuf, Box<dyn Error>> {
    let name = format!("generate{}", std::env::consts::EXE_SUFFIX);
    let program = std::env::current_exe()?.with_file_name(name);
    match program.is_file() {
        true => Ok(program),
        false => Err(format!(
            "{}: expected beside this program, found nothing: build it with `cargo build --release`",
            program.display()
        )
        .into()),
    }
}

/// Drops a file from the system's cache.
#[cfg(target_os = "linux")]
fn forget(path: &Path) -> Result<(), Box<dyn Error>> {
    let file = File::open(path)?;
    // Only pages that are on the disk can be dropped.
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
        .map_err(|error| format!("{}: cannot be uncached: {error}", path.display()).into())
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &Path) -> Result<(), Box<dyn Error>> {
    Err("--cold: this system has no way to drop a file from its cache".into())
}

/// Seconds that it takes to read a file from its beginning to its end.
fn read_through(path: &Path) -> std::io::Result<f64> {
    let mut buffer = vec![0; 1 << 20];
    let start = Instant::now();
    let mut file = File::open(path)?;
    while file.read(&mut buffer)? > 0 {}
    Ok(start.elapsed().as_secs_f64())
}

/// Prints what was waited.
pub fn print(form: Form, name: &str, waited: &Waited, out: &mut impl Write) -> std::io::Result<()> {
    if form == Form::Json {
        let list = json!([{
            "model": name,
            "test": "startup",
            "cold": waited.cold,
            "prompt_tokens": waited.prompt_tokens,
            "first_token_seconds": waited.first_token.json(),
            "read_file_seconds": waited.reading.json(),
        }]);
        return writeln!(out, "{list:#}");
    }
    let seconds = |spread: &Spread| {
        [spread.median, spread.min, spread.max].map(|seconds| format!("{seconds:.3}"))
    };
    let cache = if waited.cold { "cold" } else { "warm" };
    let row = |what: &str, spread: &Spread| {
        let labels = [name.to_owned(), cache.to_owned(), what.to_owned()];
        labels.into_iter().chain(seconds(spread)).collect()
    };
    let first_token = format!("first token of a prompt of {}", waited.prompt_tokens);
    let rows = [
        row(&first_token, &waited.first_token),
        row("reading the file alone", &waited.reading),
    ];
    let columns = ["model", "file cache", "time to", "median s", "min", "max"];
    rows_as(form, &columns, &[0, 1, 2], &rows, out)
}
