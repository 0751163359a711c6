//! Measures how fast models run here: prompts, generation, depth, batches,
//! memory, and what the machine allows.
//!
//! Results go to stdout, progress to stderr. Exit status 0 on success, 1 on an
//! error, 2 on wrong usage.

#[path = "bench/fit.rs"]
mod fit;
#[path = "bench/inventory.rs"]
mod inventory;
#[path = "bench/measure.rs"]
mod measure;
#[path = "bench/memory.rs"]
mod memory;
#[path = "bench/plan.rs"]
mod plan;
#[path = "bench/plot.rs"]
mod plot;
#[path = "bench/profile.rs"]
mod profile;
#[path = "bench/progress.rs"]
mod progress;
#[path = "bench/results.rs"]
mod results;
#[path = "bench/startup.rs"]
mod startup;
#[path = "bench/synthetic/mod.rs"]
mod synthetic;
#[path = "bench/timeline.rs"]
mod timeline;

use clap::{ArgAction, ArgGroup, Parser};
use firstlight::{DeviceChoice, GpuLayers, Isa, KvFormat, Model, ModelOptions, Printable, signals};
use inventory::Inventory;
use kernels::Team;
use kernels::limits::{Effort, Limits};
use results::{Form, Outcome, Setting};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use synthetic::Synthetic;
use synthetic::file::ModelFile;

#[derive(Parser)]
#[command(
    name = "bench",
    version,
    disable_help_flag = true,
    about = "Measures how fast language models run on this computer",
    after_help = "Examples:\n  bench --model model.gguf --limits\n  bench --synthetic llama-3.2-1b:q4_k_m --depth 0,4096 --plot speed.svg\n  bench --fit llama-3.1-8b:q4_k_m --context 8192\n  bench --startup --cold --disk-speed 500,3000 --model model.gguf",
    group = ArgGroup::new("what").required(true).multiple(true).args(["model", "synthetic", "fit", "limits"])
)]
struct Cli {
    /// Print help
    #[arg(long, short, action = ArgAction::HelpShort)]
    help: (),

    /// GGUF file to measure
    #[arg(long, value_name = "FILE", help_heading = "What", conflicts_with_all = ["synthetic", "fit"])]
    model: Option<PathBuf>,
    /// A well-known shape with random weights, such as llama-3.2-1b:q4_k_m
    #[arg(
        long,
        value_name = "SHAPE:QUANT",
        help_heading = "What",
        conflicts_with = "fit"
    )]
    synthetic: Option<Synthetic>,
    /// Write the synthetic model to this file and keep it
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "What",
        requires = "synthetic"
    )]
    keep: Option<PathBuf>,
    /// The machine's limits; with a model, results as a share of them
    #[arg(long, help_heading = "What")]
    limits: bool,
    /// Needed against available memory of a well-known shape
    #[arg(long, value_name = "SHAPE:QUANT", help_heading = "What")]
    fit: Option<Synthetic>,
    /// Tokens of context, for --fit
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4096,
        help_heading = "What",
        value_parser = tokens
    )]
    context: usize,
    /// Time from exec to the first token of `generate`, against reading and computing alone
    #[arg(long, help_heading = "What", conflicts_with = "fit")]
    startup: bool,
    /// Also with the file dropped from the system's cache before each start
    #[arg(long, help_heading = "What", requires = "startup")]
    cold: bool,
    /// Also as if the disk delivered so many MB/s
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "What",
        requires = "startup",
        value_parser = megabytes_per_second
    )]
    disk_speed: Vec<u32>,
    /// Also with other ways of loading: preload, no-readahead, mlock
    #[arg(
        hide_possible_values = true,
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "What",
        requires = "startup"
    )]
    loading: Vec<startup::Loading>,
    /// One such start: what `--disk-speed` starts
    #[arg(long, hide = true, requires = "model", conflicts_with = "startup")]
    start_at: Option<u32>,
    /// The prompt of that start
    #[arg(long, hide = true, requires = "start_at", default_value = "")]
    start_prompt: String,
    /// Where that start leaves its timeline
    #[arg(long, hide = true, requires = "start_at")]
    trace: Option<PathBuf>,

    /// Tokens of the prompt; 0: no such test (lists, as 128,512, make a test each)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "512",
        help_heading = "Tests",
        value_parser = tokens_or_none
    )]
    prompt_tokens: Vec<usize>,
    /// Tokens to generate; 0: no such test
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "128",
        help_heading = "Tests",
        value_parser = tokens_or_none
    )]
    gen_tokens: Vec<usize>,
    /// Tokens that are in the cache before
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "0",
        help_heading = "Tests",
        value_parser = tokens_or_none
    )]
    depth: Vec<usize>,
    /// Sequences that generate at once
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "1",
        help_heading = "Tests",
        value_parser = count
    )]
    batch: Vec<usize>,
    /// Threads that compute [default: physical cores]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Tests",
        value_parser = count
    )]
    threads: Vec<usize>,
    /// Instruction set [default: the best of this machine]
    #[arg(long, value_name = "NAME", help_heading = "Tests")]
    isa: Option<Isa>,
    /// Where to compute: gpu (also a software one), auto or cpu [default: cpu]
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "cpu",
        hide_default_value = true,
        help_heading = "Tests"
    )]
    device: DeviceChoice,
    /// Layers the GPU computes [default: as many as fit]
    #[arg(
        long,
        value_name = "N|auto",
        default_value = "auto",
        hide_default_value = true,
        help_heading = "Tests"
    )]
    gpu_layers: GpuLayers,
    /// Leave the GPU's matrix units alone
    #[arg(long, help_heading = "Tests")]
    no_gpu_matrix_units: bool,
    /// Where the GPU's time goes in each test; figures are then a little lower
    #[arg(long, help_heading = "Results")]
    gpu_profile: bool,
    /// Format of the key-value cache: f32, q8_0 or f16 [default: f16]
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "f16",
        hide_default_value = true,
        help_heading = "Tests"
    )]
    kv: KvFormat,
    /// Times each test is timed
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        help_heading = "Tests",
        value_parser = count
    )]
    repetitions: usize,

    /// Form of the results
    #[arg(
        long,
        value_name = "FORM",
        default_value = "table",
        help_heading = "Results"
    )]
    output: Form,
    /// Draw speed over depth and over threads; with --startup, the timeline of a start
    #[arg(long, value_name = "FILE.svg", help_heading = "Results")]
    plot: Option<PathBuf>,
}

/// A number of tokens that caches and clocks can cope with.
fn tokens_or_none(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 0..=16_777_216) => Ok(count),
        _ => Err("expected 0 to 16777216".to_owned()),
    }
}

fn tokens(text: &str) -> Result<usize, String> {
    match tokens_or_none(text) {
        Ok(count @ 1..) => Ok(count),
        _ => Err("expected 1 to 16777216".to_owned()),
    }
}

/// A disk's speed.
fn megabytes_per_second(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(speed @ 1..=1_000_000) => Ok(speed),
        _ => Err("expected 1 to 1000000".to_owned()),
    }
}

/// A number of threads, sequences or repetitions.
fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("expected 1 to 1024".to_owned()),
    }
}

fn main() -> ExitCode {
    let start = Instant::now();
    signals::exit_on_bus_error();
    match run(&Cli::parse(), start) {
        Ok(()) => ExitCode::SUCCESS,
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

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(cli: &Cli, start: Instant) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    if let Some(model) = cli.fit {
        let available = firstlight::machine::available_memory();
        fit::Fit::new(model, cli.context, cli.kv, available).print(cli.output, &mut out)?;
        return Ok(());
    }
    if let (Some(path), Some(speed)) = (&cli.model, cli.start_at) {
        let threads = cli.threads.first().copied();
        return startup::start_throttled(
            path,
            speed,
            &cli.start_prompt,
            threads,
            cli.trace.as_deref(),
            start,
            out,
        );
    }
    if let Some(path) = &cli.model {
        let name = path.file_stem().unwrap_or(path.as_os_str());
        return measure(cli, path, &name.to_string_lossy(), &mut out);
    }
    if let Some(model) = cli.synthetic {
        let file = ModelFile::write(model, cli.keep.as_deref())?;
        return measure(cli, file.path(), model.shape.name, &mut out);
    }
    limits(cli, &mut out)
}

/// What `--threads` asks for.
fn threads(cli: &Cli) -> Vec<usize> {
    match cli.threads.is_empty() {
        true => vec![firstlight::machine::cores()],
        false => cli.threads.clone(),
    }
}

fn measure_limits(threads: usize, isa: Isa) -> Result<Limits, Box<dyn Error>> {
    let mut effort = Effort::default();
    if let Some(available) = firstlight::machine::available_memory() {
        // Leaves room where there is little; still larger than caches are.
        let most = usize::try_from(available / 4).unwrap_or(usize::MAX);
        effort.buffer_bytes = effort.buffer_bytes.min(most);
    }
    Ok(kernels::limits::measure(&Team::new(threads)?, isa, effort))
}

/// The instruction set asked for, if this machine has it.
fn isa(cli: &Cli) -> Result<Isa, Box<dyn Error>> {
    let isa = cli.isa.unwrap_or_else(Isa::detect);
    kernels::Kernels::new(isa)?;
    Ok(isa)
}

/// `--limits` alone.
fn limits(cli: &Cli, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let isa = isa(cli)?;
    let mut rows = Vec::new();
    let mut list = Vec::new();
    for threads in threads(cli) {
        let limits = measure_limits(threads, isa)?;
        let mut object = results::limits_json(&limits);
        object["test"] = "limits".into();
        object["device"] = "cpu".into();
        object["processor"] = results::processor().into();
        object["isa"] = isa.name().into();
        object["threads"] = threads.into();
        list.push(object);
        let figures = [
            limits.read_bytes_per_second,
            limits.int8_ops_per_second,
            limits.f32_ops_per_second,
        ];
        let figures = figures.map(|figure| format!("{:.1}", figure / 1e9));
        let labels = [isa.name().to_owned(), threads.to_string()];
        rows.push(labels.into_iter().chain(figures).collect());
    }
    if cli.output == Form::Json {
        writeln!(out, "{:#}", serde_json::Value::from(list))?;
    } else {
        let columns = ["isa", "threads", "read GB/s", "int8 GOP/s", "f32 GFLOP/s"];
        results::rows_as(cli.output, &columns, &[0], &rows, out)?;
    }
    Ok(())
}

/// Everything that needs a model.
fn measure(cli: &Cli, path: &Path, name: &str, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    if cli.startup {
        let ways = startup::ways(cli.cold, &cli.disk_speed, &cli.loading);
        let startup = startup::Startup {
            model: path,
            prompt: startup::prompt_for(path)?,
            repetitions: cli.repetitions,
            threads: cli.threads.first().copied(),
        };
        let starts = startup.run(&ways)?;
        startup::print(cli.output, name, &starts, out)?;
        let usual = |way: &&startup::Way| way.loading == startup::Loading::Progressive;
        let last = ways.iter().rfind(usual);
        if let (Some(plot), Some(&way)) = (&cli.plot, last) {
            write_plot(
                plot,
                &timeline::svg(name, way.disk, &startup.timeline(way)?)?,
            )?;
        }
        return Ok(());
    }
    let isa = isa(cli)?;
    let mut inventory = Inventory::read(path)?;
    if let Some(model) = cli.synthetic {
        inventory.quant = model.recipe.name.to_owned();
    }
    let tests = plan::tests(&plan::Wishes {
        prompt_tokens: &cli.prompt_tokens,
        gen_tokens: &cli.gen_tokens,
        depth: &cli.depth,
        batch: &cli.batch,
    });
    let mut outcomes = Vec::new();
    for threads in threads(cli) {
        let limits = match cli.limits {
            true => Some(measure_limits(threads, isa)?),
            false => None,
        };
        let options = ModelOptions {
            threads: Some(threads),
            isa: Some(isa),
            device: cli.device,
            gpu_layers: cli.gpu_layers,
            without_gpu_matrix_units: cli.no_gpu_matrix_units,
            gpu_profile: cli.gpu_profile,
            kv: Some(cli.kv),
            ..ModelOptions::default()
        };
        let model = Model::open(path, &options)?;
        model.wait_for_gpu()?;
        if let Some(reason) = model.gpu_refused() {
            say(format_args!("the CPU computes all layers: {reason}"));
        }
        let setting = Setting {
            name,
            synthetic: cli.synthetic.is_some(),
            model: &model,
            inventory: &inventory,
            kv: cli.kv,
            limits,
        };
        let measured = measure::run(&model, cli.kv, &tests, cli.repetitions)?;
        // Again: somebody else may have used the machine the first time.
        let setting = match setting.limits {
            Some(before) => Setting {
                limits: Some(before.max(measure_limits(threads, isa)?)),
                ..setting
            },
            None => setting,
        };
        outcomes.extend(
            measured
                .into_iter()
                .map(|measured| Outcome::new(&setting, measured)),
        );
    }
    results::print(cli.output, &outcomes, out)?;
    if matches!(cli.output, Form::Table | Form::Md) {
        profile::print(
            cli.output,
            outcomes.iter().map(|outcome| &outcome.measured),
            out,
        )?;
    }
    if cli.limits && matches!(cli.output, Form::Table | Form::Md) {
        print_limits(&outcomes, out)?;
    }
    if let Some(plot) = &cli.plot {
        write_plot(plot, &plot::svg(&outcomes))?;
    }
    Ok(())
}

fn write_plot(path: &Path, svg: &str) -> Result<(), String> {
    std::fs::write(path, svg)
        .map_err(|error| format!("{}: cannot be written: {error}", Printable(path)))
}

/// The limits that results are a share of, a line for each number of threads.
fn print_limits(outcomes: &[Outcome], out: &mut impl Write) -> std::io::Result<()> {
    for results in outcomes.chunk_by(|a, b| a.threads == b.threads) {
        if let Some(limits) = results[0].limits {
            writeln!(
                out,
                "\nlimits with {} threads: read {:.1} GB/s, int8 {:.0} GOP/s, f32 {:.0} GFLOP/s",
                results[0].threads,
                limits.read_bytes_per_second / 1e9,
                limits.int8_ops_per_second / 1e9,
                limits.f32_ops_per_second / 1e9
            )?;
        }
    }
    Ok(())
}
