//! What conformance tests and the curious use: logits, token ids, perplexity,
//! self-test, and a look into any GGUF file.
//!
//! Results go to stdout, everything else to stderr. Exit status 0 on success, 1
//! on an error, 2 on wrong usage.

mod conform {
    pub mod chat;
    pub mod inspect;
    pub mod npy;
}

use clap::{Args, Parser, Subcommand};
use conform::{chat, inspect, npy};
use firstlight::backend::gpu::GpuOptions;
use firstlight::backend::gpu::selftest::{self, Outcome};
use firstlight::mapping::Mapping;
use firstlight::tokenizer::{Encode, Tokenizer};
use firstlight::{
    DeviceChoice, GpuLayers, Isa, KvFormat, Model, ModelOptions, Printable, Sequence, Wanted,
    signals, text,
};
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "conform",
    version,
    about = "Checks what Firstlight computes",
    after_help = "Example: conform logits --model model.gguf --tokens 1,403,407 --out logits.npy"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the logits of tokens, float32 [tokens, vocabulary], as .npy
    Logits {
        #[command(flatten)]
        model: ModelArgs,
        /// Token ids
        #[arg(long, value_delimiter = ',', required = true, value_name = "IDS")]
        tokens: Vec<u32>,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Tokens that go through the model at a time (does not change the result)
        #[arg(long, value_name = "N", default_value_t = 512)]
        chunk: usize,
    },
    /// Print the token ids of a text as a JSON list
    Tokenize {
        /// GGUF file with the tokenizer
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// File with the text
        #[arg(long, value_name = "FILE")]
        text_file: PathBuf,
        /// Add the tokens that begin and end a text, if the model wants them
        #[arg(long)]
        add_special: bool,
        /// Read special tokens written in the text as such
        #[arg(long)]
        parse_special: bool,
    },
    /// Print the text of token ids
    Detokenize {
        /// GGUF file with the tokenizer
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// Token ids
        #[arg(long, value_delimiter = ',', required = true, value_name = "IDS")]
        tokens: Vec<u32>,
    },
    /// Print the text that a chat template makes of messages
    Chat(chat::ChatArgs),
    /// Measure how well the model predicts a text
    #[command(
        after_help = "The text is cut into pieces of N tokens, the second half of each is predicted."
    )]
    Perplexity {
        #[command(flatten)]
        model: ModelArgs,
        /// File with the text
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Tokens in a piece
        #[arg(long, value_name = "N", default_value_t = 512)]
        context: usize,
    },
    /// Compare every kernel of this machine with its definition
    Kernels {
        /// Whose: cpu, or gpu (also a software one): its shaders
        #[arg(long, value_name = "DEVICE", default_value = "cpu")]
        device: DeviceChoice,
    },
    /// Print metadata and tensors of any GGUF file
    Inspect {
        /// GGUF file
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct ModelArgs {
    /// GGUF file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Threads that compute [default: physical cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Instruction set [default: the best of this machine]
    #[arg(long, value_name = "NAME")]
    isa: Option<Isa>,
    /// Where to compute: cpu, gpu (also a software one) or auto
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceChoice,
    /// Layers the GPU computes [default: as many as fit]
    #[arg(
        long,
        value_name = "N|auto",
        default_value = "auto",
        hide_default_value = true
    )]
    gpu_layers: GpuLayers,
    /// Format of the key-value cache: f32, f16 or q8_0
    #[arg(long, value_name = "FORMAT", default_value = "f32")]
    kv: KvFormat,
}

impl ModelArgs {
    fn open(&self) -> Result<Model, firstlight::Error> {
        let model = Model::open(
            &self.model,
            &ModelOptions {
                threads: self.threads,
                isa: self.isa,
                device: self.device,
                gpu_layers: self.gpu_layers,
                kv: Some(self.kv),
                ..ModelOptions::default()
            },
        )?;
        // What computes a layer does not change on the way.
        model.wait_for_gpu()?;
        if let Some(reason) = model.gpu_refused() {
            say(format_args!("the CPU computes all layers: {reason}"));
        }
        Ok(model)
    }
}

fn main() -> ExitCode {
    signals::exit_on_bus_error();
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
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

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Logits {
            model: args,
            tokens,
            out,
            chunk,
        } => logits(&args, &tokens, &out, chunk)?,
        Command::Tokenize {
            model,
            text_file,
            add_special,
            parse_special,
        } => {
            let tokenizer = tokenizer(&model)?;
            let text = text::read_file(&text_file)?;
            let ids = tokenizer.encode(
                &text,
                Encode {
                    add_special,
                    parse_special,
                },
            );
            writeln!(out, "{}", serde_json::to_string(&ids)?)?;
        }
        Command::Detokenize { model, tokens } => {
            let tokenizer = tokenizer(&model)?;
            let vocab = tokenizer.vocab_size();
            if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab) {
                return Err(firstlight::Error::TokenOutOfRange { token, vocab }.into());
            }
            let text = tokenizer.decode(&tokens);
            match std::io::stdout().is_terminal() {
                true => writeln!(out, "{}", text::for_terminal(&text))?,
                false => writeln!(out, "{text}")?,
            }
        }
        Command::Chat(args) => chat::chat(&args, &mut out)?,
        Command::Perplexity {
            model: args,
            file,
            context,
        } => {
            let model = args.open()?;
            let text = text::read_file(&file)?;
            writeln!(out, "{}", perplexity(&model, args.kv, &text, context)?)?;
        }
        Command::Kernels { device } => match device {
            DeviceChoice::Cpu => kernels(&mut out)?,
            DeviceChoice::Gpu => shaders(&mut out)?,
            DeviceChoice::Auto => return Err("the device is auto, expected cpu or gpu".into()),
        },
        Command::Inspect { model, json } => inspect::inspect(&model, json, &mut out)?,
    }
    Ok(())
}

/// The tokenizer of a file that may hold nothing else.
fn tokenizer(path: &Path) -> Result<Tokenizer, firstlight::Error> {
    with_metadata(path, |metadata| tokenizer_of(path, metadata))
}

/// What `read` finds in the metadata of a file.
fn with_metadata<R>(
    path: &Path,
    read: impl FnOnce(&gguf::Metadata<'_>) -> Result<R, firstlight::Error>,
) -> Result<R, firstlight::Error> {
    let mapping = Mapping::open(path)?;
    let file = gguf::Gguf::parse(&mapping).map_err(|reason| firstlight::Error::Format {
        path: path.to_owned(),
        reason,
    })?;
    read(file.metadata())
}

fn tokenizer_of(
    path: &Path,
    metadata: &gguf::Metadata<'_>,
) -> Result<Tokenizer, firstlight::Error> {
    Tokenizer::new(metadata).map_err(|reason| firstlight::Error::Tokenizer {
        path: path.to_owned(),
        reason,
    })
}

fn logits(
    args: &ModelArgs,
    tokens: &[u32],
    out: &Path,
    chunk: usize,
) -> Result<(), Box<dyn Error>> {
    if chunk == 0 {
        return Err("a chunk is 0 tokens, expected at least 1".into());
    }
    let model = args.open()?;
    let mut cache = model.cache(args.kv, tokens.len())?;
    let mut values = Vec::new();
    for tokens in tokens.chunks(chunk) {
        values.extend(model.step(&mut [Sequence {
            cache: &mut cache,
            tokens,
            wanted: Wanted::All,
        }])?);
    }
    let n_vocab = model.config().n_vocab;
    npy::write(out, &values, tokens.len(), n_vocab)
        .map_err(|error| format!("{}: cannot be written: {error}", Printable(out)))?;
    say(format_args!(
        "{}: [{}, {n_vocab}], {}, kv {}",
        Printable(out),
        tokens.len(),
        model.isa(),
        args.kv
    ));
    Ok(())
}

fn perplexity(
    model: &Model,
    kv: KvFormat,
    text: &str,
    context: usize,
) -> Result<String, Box<dyn Error>> {
    if context < 4 {
        return Err(
            format!("a piece of {context} tokens is too short, expected at least 4").into(),
        );
    }
    let tokenizer = model.tokenizer();
    let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
    let ids = tokenizer.encode(
        text,
        Encode {
            add_special: false,
            parse_special: false,
        },
    );
    let piece = context - usize::from(bos.is_some());
    if ids.len() < piece {
        return Err(format!(
            "the text has {} tokens, expected at least {piece}",
            ids.len()
        )
        .into());
    }
    let n_vocab = model.config().n_vocab;
    let (mut sum, mut squares, mut count) = (0.0_f64, 0.0_f64, 0_usize);
    let pieces = ids.len() / piece;
    for (index, ids) in ids.chunks_exact(piece).enumerate() {
        let tokens: Vec<u32> = bos.into_iter().chain(ids.iter().copied()).collect();
        let mut cache = model.cache(kv, context)?;
        let (first, second) = tokens.split_at(tokens.len() / 2);
        let mut step = |tokens, wanted| {
            model.step(&mut [Sequence {
                cache: &mut cache,
                tokens,
                wanted,
            }])
        };
        step(first, Wanted::Nothing)?;
        let logits = step(&second[..second.len() - 1], Wanted::All)?;
        for (row, &next) in logits.chunks_exact(n_vocab).zip(&second[1..]) {
            let loss = negative_log_likelihood(row, next);
            sum += loss;
            squares += loss * loss;
            count += 1;
        }
        let so_far = (sum / count as f64).exp();
        say(format_args!("{}/{pieces}: {so_far:.4}", index + 1));
    }
    let mean = sum / count as f64;
    let variance = (squares / count as f64 - mean * mean).max(0.0);
    let deviation = (variance / (count as f64 - 1.0).max(1.0)).sqrt();
    Ok(format!(
        "perplexity {:.4} ± {:.4} over {count} tokens",
        mean.exp(),
        mean.exp() * deviation
    ))
}

fn negative_log_likelihood(logits: &[f32], next: u32) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|&logit| f64::from(logit - highest).exp())
        .sum();
    sum.ln() - f64::from(logits[next as usize] - highest)
}

fn kernels(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut failed = 0;
    for result in kernels::selftest::run() {
        match &result.difference {
            None => writeln!(out, "ok      {}", result.name)?,
            Some(difference) => {
                failed += 1;
                writeln!(out, "FAILED  {}: {difference}", result.name)?;
            }
        }
    }
    let sets: Vec<_> = Isa::available().map(Isa::name).collect();
    writeln!(out, "instruction sets of this machine: {}", sets.join(", "))?;
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} kernels differ from their definition").into()),
    }
}

fn shaders(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let (mut failed, mut written) = (0, Ok(()));
    let adapter = selftest::run(&GpuOptions::default(), |outcome| {
        let Outcome {
            op,
            what,
            error,
            bound,
            failure,
        } = outcome;
        let line = match failure {
            None => writeln!(out, "ok      {op:<18} {error:.1e} of {bound:.0e}  {what}"),
            Some(failure) => {
                failed += 1;
                writeln!(
                    out,
                    "FAILED  {op:<18} {error:.1e} of {bound:.0e}  {what}: {failure}"
                )
            }
        };
        if written.is_ok() {
            written = line;
        }
    })?;
    written?;
    writeln!(out, "{adapter}")?;
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} cases differ from their definition").into()),
    }
}
