//! Generates text from a prompt.
//!
//! Text goes to stdout as it comes, everything else to stderr. Exit status 0 on
//! success, 1 on an error, 2 on wrong usage, 130 if it was interrupted.

mod generate {
    pub mod cli;
    pub mod conversation;
    pub mod output;
    pub mod report;
    pub mod shaders;
    pub mod waiting;
}

use clap::Parser;
use firstlight::backend::gpu;
use firstlight::trace::Trace;
use firstlight::{
    Finish, Model, ModelOptions, Piece, Printable, Request, Session, SessionOptions, Stats,
    signals, text,
};
use generate::cli::{Cli, StatsForm};
use generate::conversation;
use generate::output::Output;
use generate::report::Report;
use generate::shaders;
use generate::waiting::Waiting;
use std::error::Error;
use std::io::{BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The exit status that shells give a program that an interrupt ended.
const INTERRUPTED: u8 = 128 + 2;

fn main() -> ExitCode {
    let start = Instant::now();
    let cli = Cli::parse();
    signals::exit_on_bus_error();
    match run(&cli, start) {
        Ok(Finish::Cancelled) => ExitCode::from(INTERRUPTED),
        Ok(_) => ExitCode::SUCCESS,
        // Whoever read our output has had enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            // Errors of files name them; what is left is stdout's.
            let stdout = match error.is::<std::io::Error>() {
                true => "stdout: cannot be written: ",
                false => "",
            };
            say(format_args!("error: {stdout}{error}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to stderr. Unlike `eprintln!`, does not panic when whoever
/// read it is gone.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints the GPUs, the best first, one to a line.
fn list_devices() -> Result<(), Box<dyn Error>> {
    let devices = gpu::list_devices();
    let mut out = std::io::stdout().lock();
    for device in &devices {
        writeln!(out, "{device}")?;
    }
    if devices.is_empty() {
        say("no GPU was found");
    }
    Ok(())
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}

fn run(cli: &Cli, start: Instant) -> Result<Finish, Box<dyn Error>> {
    if cli.list_devices {
        list_devices()?;
        return Ok(Finish::EndOfText);
    }
    let request = cli.request()?;
    request.check()?;
    let prompt = prompt(cli)?;
    let trace = cli.trace.as_ref().map(|_| Arc::new(Trace::new(start)));
    let path = cli.model.clone().unwrap_or_else(bundled_model);
    let model = Model::open(
        &path,
        &ModelOptions {
            threads: cli.threads,
            isa: cli.isa,
            load: cli.load_options(trace.clone()),
            device: cli.device,
            gpu_layers: cli.gpu_layers,
            without_gpu_matrix_units: false,
            gpu_profile: false,
            kv: Some(cli.kv),
            gpu_memory_bytes: cli.gpu_memory.map(|mib| mib.saturating_mul(1 << 20)),
            gpu_shader_folder: (!cli.no_shader_cache).then(shaders::folder).flatten(),
        },
    )?;
    let template = conversation::template(cli, &model)?;
    say_what_computes(cli, &path, &model);
    let opened = start.elapsed();
    let session = model.session(&SessionOptions {
        context: cli.context,
        kv: cli.kv,
    })?;
    if cli.verbose {
        let template = match template {
            Some(_) => ", chat template",
            None => "",
        };
        say(format_args!(
            "context of {} tokens, {} cache{template}",
            session.context(),
            cli.kv
        ));
    }
    let run = Run {
        cli,
        request: &request,
        model: &model,
        opened,
        start,
    };
    let (report, finish) = match template {
        Some(template) => conversation::hold(&run, session, template, prompt)?,
        None => run.continue_text(session, &prompt.unwrap_or_default())?,
    };
    if let (Some(path), Some(trace)) = (&cli.trace, &trace) {
        write_trace(path, trace)
            .map_err(|error| format!("{}: cannot be written: {error}", Printable(path)))?;
    }
    // The text is right all the same: something else that was asked for is not,
    // such as keeping the model in memory.
    if let Some(error) = model.load_error() {
        say(format_args!("note: {error}"));
    }
    run.say_report(&report);
    Ok(finish)
}

/// What computes the model, where it was asked for or is not the CPU.
fn say_what_computes(cli: &Cli, path: &Path, model: &Model) {
    if cli.verbose {
        say(format_args!(
            "{}: {} layers, {:.1} MB of weights, {} on {} threads",
            Printable(path),
            model.config().n_layer,
            model.tensor_bytes() as f64 / 1e6,
            model.isa(),
            model.threads(),
        ));
    }
    if let Some((gpu, placed)) = model.gpu() {
        say(format_args!(
            "{} of {} layers{} on {}",
            placed.layers,
            model.config().n_layer,
            if placed.output { " and the output" } else { "" },
            gpu.description()
        ));
        if let Some(compiled) = gpu.compiled_shaders().filter(|_| cli.verbose) {
            say(compiled);
        }
    }
    if let Some(reason) = model.gpu_refused() {
        say(format_args!("the CPU computes all layers: {reason}"));
    }
}

/// What all that is done with an open model needs.
struct Run<'a> {
    cli: &'a Cli,
    request: &'a Request,
    model: &'a Model,
    /// From the start of the program until the model was open.
    opened: Duration,
    start: Instant,
}

impl Run<'_> {
    /// Goes on with a text as it stands.
    fn continue_text(
        &self,
        mut session: Session,
        prompt: &str,
    ) -> Result<(Report<'_>, Finish), Box<dyn Error>> {
        session.feed(prompt, self.request.parse_special)?;
        let _interrupts = signals::cancel_on_interrupt(&session.canceller());
        let waiting = read_prompt(&mut session)?;
        let mut out = Output::new();
        let mut generation = session.resume(self.request)?;
        // In a terminal the text stands there whole; a pipe gets only what is new.
        let echo = if out.is_terminal() { prompt } else { "" };
        let first_token = self.write(&mut generation, waiting, echo, &mut out)?;
        let report = self.report(generation.finish(), generation.stats(), first_token);
        let finish = report.finish;
        Ok((report, finish))
    }

    /// Writes what is generated as it comes, with `before` before the first of it.
    /// Returns when that was there.
    fn write(
        &self,
        pieces: &mut dyn Iterator<Item = Result<Piece, firstlight::Error>>,
        waiting: Waiting,
        before: &str,
        out: &mut Output,
    ) -> Result<Option<Instant>, Box<dyn Error>> {
        let mut waiting = Some(waiting);
        let mut first_token = None;
        let mut arrived = (0, 0);
        for piece in pieces {
            if self.cli.verbose && self.model.gpu_arrived() != arrived {
                arrived = self.model.gpu_arrived();
                say(format_args!(
                    "{} of {} stages have arrived on the GPU",
                    arrived.0, arrived.1
                ));
            }
            if waiting.take().is_some() && piece.is_ok() {
                out.write(before)?;
            }
            match piece {
                Ok(piece) => {
                    first_token.get_or_insert_with(Instant::now);
                    out.write(&piece.text)?;
                }
                Err(error) => {
                    // What there is stays, and the error stands on a line of its own.
                    out.end_line()?;
                    return Err(error.into());
                }
            }
        }
        drop(waiting);
        out.end_line()?;
        Ok(first_token)
    }

    fn report(
        &self,
        finish: Option<Finish>,
        stats: Stats,
        first_token: Option<Instant>,
    ) -> Report<'_> {
        Report {
            opened: self.opened,
            first_token: first_token.map(|at| at - self.start),
            finish: finish.unwrap_or(Finish::EndOfText),
            stats,
            model: self.model,
            start: self.start,
        }
    }

    fn say_report(&self, report: &Report<'_>) {
        match self.cli.stats {
            Some(StatsForm::Json) => say(report.json()),
            None => say(report.line()),
        }
    }
}

/// Takes most of the prompt through the model, and shows how far it is until
/// what is returned is dropped.
fn read_prompt(session: &mut Session) -> Result<Waiting, firstlight::Error> {
    let waiting = Waiting::new(session.model(), session.tokens().len());
    loop {
        match session.advance() {
            Ok(Some(left)) => waiting.done(session.tokens().len() - left),
            Ok(None) => return Ok(waiting),
            // The text that follows ends before it begins.
            Err(error) if error.is_cancelled() => return Ok(waiting),
            Err(error) => return Err(error),
        }
    }
}

/// The prompt: of a conversation, what is said first, if that does not come from
/// stdin as the rest.
fn prompt(cli: &Cli) -> Result<Option<String>, Box<dyn Error>> {
    if let Some(prompt) = &cli.prompt {
        return Ok(Some(prompt.clone()));
    }
    if let Some(path) = &cli.prompt_file {
        return Ok(Some(text::read_file(path)?));
    }
    if cli.chat {
        return Ok(None);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err("no prompt: give one as an argument, with --prompt-file, or on stdin".into());
    }
    Ok(Some(text::read("stdin", stdin.lock())?))
}

fn write_trace(path: &Path, trace: &Trace) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    trace.write(&mut out)?;
    out.flush()
}

/// The model in the source tree this program was built from.
fn bundled_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/firstlight-stories.gguf")
}
