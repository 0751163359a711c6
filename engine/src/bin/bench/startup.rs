//! From exec to the first token of `generate`, as a person would wait for it,
//! against what cannot be less: the larger of reading the weights and computing
//! with them.
//!
//! Disks of other speeds are this machine's file cache, read through a reader
//! that sleeps ([`Throttled`]).

use crate::results::{Form, Spread, rows_as};
use clap::ValueEnum;
use firstlight::loading::{FromFile, Throttled};
use firstlight::tokenizer::Encode;
use firstlight::trace::Trace;
use firstlight::{
    DeviceChoice, LoadMode, LoadOptions, Model, ModelOptions, Printable, Request, Sampling,
    SessionOptions,
};
use serde_json::{Value, json};
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

/// Tokens of the prompt.
const PROMPT_TOKENS: usize = 41;

/// Is cut after so many tokens; some 60 in most vocabularies.
const PROMPT: &str = "The lighthouse keeper had not seen a ship in eleven days, and the \
    radio had been silent for nine of them, so when the knock came at the door he first \
    thought of the wind and then of his brother, who had promised to come before the winter";

/// Tokens of the context.
const CONTEXT: usize = 512;

/// Where the weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// The system's file cache.
    Cached,
    /// This machine's disk.
    Cold,
    /// A disk of so many MB/s.
    Throttled(u32),
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disk::Cached => f.write_str("cached"),
            Disk::Cold => f.write_str("cold"),
            Disk::Throttled(speed) => write!(f, "{speed} MB/s"),
        }
    }
}

/// How `generate` is told to bring weights in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Loading {
    /// Layer by layer, beside computing
    Progressive,
    /// All before computing
    Preload,
    /// When they are touched
    NoReadahead,
    /// As progressive, and locked into memory
    Mlock,
}

impl Loading {
    fn switch(self) -> Option<&'static str> {
        match self {
            Loading::Progressive => None,
            Loading::Preload => Some("--preload"),
            Loading::NoReadahead => Some("--no-readahead"),
            Loading::Mlock => Some("--mlock"),
        }
    }
}

/// A kind of start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub disk: Disk,
    pub loading: Loading,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = self.loading.switch().map(|switch| format!(" {switch}"));
        write!(f, "{}{}", self.disk, switch.unwrap_or_default())
    }
}

/// The kinds of starts: from each disk, and from real ones in other ways, too.
pub fn ways(cold: bool, speeds: &[u32], loadings: &[Loading]) -> Vec<Way> {
    let real = [Disk::Cached].into_iter().chain(cold.then_some(Disk::Cold));
    let mut ways = Vec::new();
    for disk in real {
        let others = loadings.iter().copied();
        let others = others.filter(|&loading| loading != Loading::Progressive);
        let loadings = [Loading::Progressive].into_iter().chain(others);
        ways.extend(loadings.map(|loading| Way { disk, loading }));
    }
    ways.extend(speeds.iter().map(|&speed| Way {
        disk: Disk::Throttled(speed),
        loading: Loading::Progressive,
    }));
    ways
}

/// What to start, and how often.
pub struct Startup<'a> {
    pub model: &'a Path,
    /// See [`prompt`].
    pub prompt: &'a str,
    pub repetitions: usize,
    /// Passed on.
    pub threads: Option<usize>,
}

/// One start, in seconds from exec on.
struct Start {
    first_token: f64,
    last_byte: f64,
    /// Reading all weights and doing nothing else.
    reading: f64,
    prompt_tokens: u64,
}

/// All starts from one disk, in seconds.
pub struct Starts {
    way: Way,
    first_token: Spread,
    last_byte: Spread,
    reading: Spread,
    /// Of a start with everything in the cache.
    computing: f64,
    prompt_tokens: u64,
}

impl Starts {
    /// What a start could not take less than.
    fn larger(&self) -> f64 {
        self.reading.median.max(self.computing)
    }
}

/// The beginning of the prompt that has [`PROMPT_TOKENS`] tokens in the
/// vocabulary of a model, the first token of all texts included, or as near as
/// it can be cut.
pub fn prompt_for(model: &Path) -> Result<&'static str, firstlight::Error> {
    // Only the vocabulary is needed.
    let load = LoadOptions {
        mode: LoadMode::OnDemand,
        ..LoadOptions::default()
    };
    let options = ModelOptions {
        load,
        device: DeviceChoice::Cpu,
        ..ModelOptions::default()
    };
    let model = Model::open(model, &options)?;
    let tokenizer = model.tokenizer();
    let fits = |text: &str| {
        let tokens = tokenizer.encode(text, Encode::default()).len();
        tokens + usize::from(tokenizer.adds_bos()) <= PROMPT_TOKENS
    };
    let ends = PROMPT.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
    let longest = ends.map(|end| &PROMPT[..end]).find(|text| fits(text));
    Ok(longest.unwrap_or(PROMPT))
}

impl Startup<'_> {
    /// Starts the program again and again, the ways in turn. The first way is
    /// the usual one, from the file cache.
    pub fn run(&self, ways: &[Way]) -> Result<Vec<Starts>, Box<dyn Error>> {
        // The first start also brings the program itself into the cache.
        self.start(ways[0], None)?;
        let mut starts: Vec<Vec<Start>> = ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.repetitions {
            for (&way, starts) in ways.iter().zip(&mut starts) {
                starts.push(self.start(way, None)?);
            }
        }
        let spread =
            |starts: &[Start], figure: fn(&Start) -> f64| Spread::of(starts.iter().map(figure));
        let computing = spread(&starts[0], |start| start.first_token).median;
        let starts = ways.iter().zip(&starts);
        Ok(starts
            .map(|(&way, starts)| Starts {
                way,
                first_token: spread(starts, |start| start.first_token),
                last_byte: spread(starts, |start| start.last_byte),
                reading: spread(starts, |start| start.reading),
                computing,
                prompt_tokens: starts[0].prompt_tokens,
            })
            .collect())
    }

    /// The timeline of one more start.
    pub fn timeline(&self, way: Way) -> Result<Value, Box<dyn Error>> {
        let name = format!("firstlight-trace-{}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        let read = self.start(way, Some(&path)).and_then(|_| {
            let text = std::fs::read(&path)
                .map_err(|error| format!("{}: cannot be read: {error}", Printable(&path)))?;
            Ok(serde_json::from_slice(&text)?)
        });
        // Whether it is there or not.
        let _ = std::fs::remove_file(&path);
        read
    }

    fn start(&self, way: Way, trace: Option<&Path>) -> Result<Start, Box<dyn Error>> {
        let disk = way.disk;
        let reading = match disk {
            Disk::Throttled(_) => None,
            Disk::Cached => Some(read_through(self.model)?),
            Disk::Cold => {
                forget(self.model)?;
                let seconds = read_through(self.model)?;
                forget(self.model)?;
                Some(seconds)
            }
        };
        let program = self.program(disk)?;
        let mut command = Command::new(&program);
        command.arg("--model").arg(self.model);
        match disk {
            Disk::Throttled(speed) => command
                .args(["--start-at", &speed.to_string()])
                .args(["--start-prompt", self.prompt]),
            Disk::Cached | Disk::Cold => command
                .args(["--max-tokens", "1", "--temperature", "0", "--stats", "json"])
                .args(["--context", &CONTEXT.to_string(), self.prompt])
                .args(way.loading.switch()),
        };
        if let Some(threads) = self.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        if let Some(trace) = trace {
            command.arg("--trace").arg(trace);
        }
        let (first_token, report) = until_first_byte(command, &program)?;
        let seconds = |key: &str| report[key].as_f64().map(|millis| millis / 1e3);
        let reading = reading.or(seconds("reading_alone_ms"));
        Ok(Start {
            first_token,
            last_byte: seconds("last_byte_ms").unwrap_or(f64::NAN),
            reading: reading.unwrap_or(f64::NAN),
            prompt_tokens: report["prompt_tokens"].as_u64().unwrap_or(0),
        })
    }

    /// What is started: `generate`, which lies beside this program, or, where
    /// the reader is not the usual one, this program.
    fn program(&self, disk: Disk) -> Result<PathBuf, Box<dyn Error>> {
        let own = std::env::current_exe()?;
        if let Disk::Throttled(_) = disk {
            return Ok(own);
        }
        let program = own.with_file_name(format!("generate{}", std::env::consts::EXE_SUFFIX));
        match program.is_file() {
            true => Ok(program),
            false => Err(format!(
                "{}: expected beside this program, found nothing: build it with `cargo build --release`",
                Printable(&program)
            )
            .into()),
        }
    }
}

/// Seconds from exec to the first byte of text, and what the program reports.
fn until_first_byte(mut command: Command, program: &Path) -> Result<(f64, Value), Box<dyn Error>> {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|error| format!("{}: cannot be started: {error}", Printable(program)))?;
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
        return Err(format!("{} failed: {}", Printable(program), said.trim()).into());
    }
    let report = said
        .lines()
        .find_map(|line| serde_json::from_str(line).ok());
    Ok((seconds, report.unwrap_or(Value::Null)))
}

/// What `generate` does until its first token, with the weights coming at a
/// speed of `speed` MB/s.
pub fn start_throttled(
    model: &Path,
    speed: u32,
    prompt: &str,
    threads: Option<usize>,
    trace_path: Option<&Path>,
    start: Instant,
    mut out: impl Write,
) -> Result<(), Box<dyn Error>> {
    let bytes_per_second = f64::from(speed) * 1e6;
    let trace = trace_path.map(|_| Arc::new(Trace::new(start)));
    let load = LoadOptions {
        reader: Arc::new(Throttled::new(FromFile::default(), bytes_per_second)),
        trace: trace.clone(),
        ..LoadOptions::default()
    };
    let model = Model::open(
        model,
        &ModelOptions {
            threads,
            load,
            ..ModelOptions::default()
        },
    )?;
    let mut session = model.session(&SessionOptions {
        context: Some(CONTEXT),
        ..SessionOptions::default()
    })?;
    let request = Request {
        sampling: Sampling::greedy(),
        max_tokens: Some(1),
        ..Request::default()
    };
    for piece in session.generate(prompt, &request)? {
        out.write_all(piece?.text.as_bytes())?;
        out.flush()?;
    }
    let progress = model.load_progress();
    let last_byte = (progress.begun + progress.elapsed).saturating_duration_since(start);
    let report = json!({
        "last_byte_ms": last_byte.as_secs_f64() * 1e3,
        "reading_alone_ms": progress.total_bytes as f64 / bytes_per_second * 1e3,
        "prompt_tokens": session.stats().prompt_tokens,
    });
    crate::say(report);
    if let (Some(path), Some(trace)) = (trace_path, trace) {
        let mut json = Vec::new();
        trace.write(&mut json)?;
        std::fs::write(path, json)
            .map_err(|error| format!("{}: cannot be written: {error}", Printable(path)))?;
    }
    Ok(())
}

/// Drops a file from the system's cache.
#[cfg(target_os = "linux")]
fn forget(path: &Path) -> Result<(), Box<dyn Error>> {
    let failed = |error: std::io::Error| {
        format!(
            "{}: cannot be dropped from the cache: {error}",
            Printable(path)
        )
    };
    let file = File::open(path).map_err(failed)?;
    // Only pages that are on the disk can be dropped.
    file.sync_all().map_err(failed)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
        .map_err(|error| failed(error.into()).into())
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &Path) -> Result<(), Box<dyn Error>> {
    Err("--cold: this system has no way to drop a file from its cache".into())
}

/// Seconds that it takes to read a file from its beginning to its end.
fn read_through(path: &Path) -> Result<f64, Box<dyn Error>> {
    let failed = |error| format!("{}: cannot be read: {error}", Printable(path));
    let mut buffer = vec![0; 1 << 20];
    let start = Instant::now();
    let mut file = File::open(path).map_err(failed)?;
    while file.read(&mut buffer).map_err(failed)? > 0 {}
    Ok(start.elapsed().as_secs_f64())
}

/// Prints what was waited.
pub fn print(form: Form, name: &str, all: &[Starts], out: &mut impl Write) -> std::io::Result<()> {
    if form == Form::Json {
        let list: Vec<_> = all.iter().map(|starts| starts.json(name)).collect();
        return writeln!(out, "{:#}", Value::from(list));
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|starts| {
            let Spread { median, min, max } = starts.first_token;
            let reading = starts.reading.median;
            let figures = [
                median,
                min,
                max,
                starts.last_byte.median,
                reading,
                starts.computing,
            ];
            let labels = [name.to_owned(), starts.way.to_string()];
            let figures = figures.map(|seconds| format!("{seconds:.3}"));
            let ratio = format!("{:.2}", median / starts.larger());
            labels.into_iter().chain(figures).chain([ratio]).collect()
        })
        .collect();
    let columns = [
        "model",
        "disk",
        "first token s",
        "min",
        "max",
        "last byte s",
        "reading s",
        "computing s",
        "÷ larger",
    ];
    rows_as(form, &columns, &[0, 1], &rows, out)
}

impl Starts {
    fn json(&self, name: &str) -> Value {
        json!({
            "model": name,
            "test": "startup",
            "disk": self.way.disk.to_string(),
            "cold": self.way.disk == Disk::Cold,
            "loading": self.way.loading.switch().map_or("progressive", |switch| &switch[2..]),
            "prompt_tokens": self.prompt_tokens,
            "first_token_seconds": self.first_token.json(),
            "last_byte_seconds": self.last_byte.json(),
            "read_file_seconds": self.reading.json(),
            "computing_seconds": self.computing,
            "first_token_over_larger": self.first_token.median / self.larger(),
            "first_token_over_last_byte": self.first_token.median / self.last_byte.median,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_ways_of_loading_are_tried_on_real_disks() {
        let names = |cold, speeds: &[u32], loadings: &[Loading]| -> Vec<String> {
            let ways = ways(cold, speeds, loadings);
            ways.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(false, &[], &[]), ["cached"]);
        assert_eq!(names(true, &[500], &[]), ["cached", "cold", "500 MB/s"]);
        assert_eq!(
            names(true, &[500], &[Loading::Progressive, Loading::Mlock]),
            [
                "cached",
                "cached --mlock",
                "cold",
                "cold --mlock",
                "500 MB/s"
            ]
        );
    }
}
