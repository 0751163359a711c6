//! Computes with a model while something happens to its file: what a test of
//! damaged loads starts, so that only this process is at stake.
//!
//! ```text
//! faulty MODEL FAULT CALL     FAULT strikes before call number CALL of the reader
//! ```
//!
//! Prints a checksum of the logits. Ends as the binaries do: with status 1 and
//! one line on stderr if something is wrong.

use firstlight::loading::{FromFile, Reader};
use firstlight::mapping::Mapping;
use firstlight::{KvFormat, LoadOptions, Model, ModelOptions, Sequence, Wanted, signals};
use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Steps that are computed.
const STEPS: usize = 20;

/// What happens to the file.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The disk reports an error.
    ReadError,
    /// Nothing is left of the file.
    Truncate,
    /// Half of the file is left.
    Shrink,
    /// The file is still growing, and its download begins anew and stands still.
    Restart,
    /// The file's name is removed.
    Delete,
    /// Another file takes the name.
    Replace,
}

#[derive(Debug)]
struct Faulty {
    fault: Fault,
    at: usize,
    calls: AtomicUsize,
}

impl Reader for Faulty {
    fn bring(&self, mapping: &Mapping, range: Range<usize>, ahead: Range<usize>) -> io::Result<()> {
        if self.calls.fetch_add(1, SeqCst) == self.at {
            let path = mapping.path();
            let cut = |len| OpenOptions::new().write(true).open(path)?.set_len(len);
            match self.fault {
                // EIO
                Fault::ReadError => return Err(io::Error::from_raw_os_error(5)),
                Fault::Truncate | Fault::Restart => cut(0)?,
                Fault::Shrink => cut(mapping.len() as u64 / 2)?,
                Fault::Delete => std::fs::remove_file(path)?,
                Fault::Replace => {
                    let other = path.with_extension("other");
                    std::fs::write(&other, b"GGUF")?;
                    std::fs::rename(&other, path)?;
                }
            }
        }
        FromFile::default().bring(mapping, range, ahead)
    }
}

fn main() -> ExitCode {
    signals::exit_on_bus_error();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [model, fault, at] = args[..] else {
        return usage();
    };
    let fault = match fault {
        "read-error" => Fault::ReadError,
        "truncate" => Fault::Truncate,
        "shrink" => Fault::Shrink,
        "restart" => Fault::Restart,
        "delete" => Fault::Delete,
        "replace" => Fault::Replace,
        _ => return usage(),
    };
    let Ok(at) = at.parse() else { return usage() };
    match run(model, fault, at) {
        Ok(sum) => {
            println!("{sum:016x}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: faulty MODEL read-error|truncate|shrink|restart|delete|replace CALL");
    ExitCode::from(2)
}

fn run(model: &str, fault: Fault, at: usize) -> Result<u64, firstlight::Error> {
    let load = LoadOptions {
        reader: Arc::new(Faulty {
            fault,
            at,
            calls: AtomicUsize::new(0),
        }),
        growing: matches!(fault, Fault::Restart),
        patience: Duration::from_millis(300),
        ..LoadOptions::default()
    };
    let options = ModelOptions {
        threads: Some(2),
        load,
        ..ModelOptions::default()
    };
    let model = Model::open(model, &options)?;
    let mut cache = model.cache(KvFormat::F16, STEPS)?;
    // FNV-1a
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for _ in 0..STEPS {
        let logits = model.step(&mut [Sequence {
            cache: &mut cache,
            tokens: &[3],
            wanted: Wanted::Last,
        }])?;
        for logit in logits {
            sum = (sum ^ u64::from(logit.to_bits())).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(sum)
}
