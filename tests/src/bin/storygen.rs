//! Writes stories for training, or judges the stories in a file.
//!
//! ```text
//! storygen --count 3 --seed 1      three stories, a line of four dashes after each
//! storygen --check stories.txt     how many of them pass, and what is wrong with the rest
//! ```

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use firstlight_tests::story;

const USAGE: &str = "usage: storygen --count N --seed S | storygen --check FILE";

/// The line after each story.
const SEPARATOR: &str = "----";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["--count", count, "--seed", seed] => match (count.parse(), seed.parse()) {
            (Ok(count), Ok(seed)) => print_stories(count, seed),
            _ => return usage(),
        },
        ["--check", file] => check_file(file),
        _ => return usage(),
    };
    match result {
        Ok(code) => code,
        // The reader of a pipe may have seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storygen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn print_stories(count: u64, seed: u64) -> io::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    for story in 0..count {
        writeln!(
            out,
            "{}\n{SEPARATOR}",
            story::generate(seed.wrapping_add(story))
        )?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn check_file(file: &str) -> io::Result<ExitCode> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
    let separator = format!("\n{SEPARATOR}\n");
    let stories: Vec<&str> = text
        .split(&separator)
        .filter(|story| !story.trim().is_empty())
        .collect();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut passed = 0;
    for (number, text) in (1..).zip(&stories) {
        match story::check(text) {
            Ok(()) => passed += 1,
            Err(complaint) => writeln!(out, "story {number}: {complaint}")?,
        }
    }
    writeln!(out, "{passed} of {} stories pass", stories.len())?;
    out.flush()?;
    Ok(if passed == stories.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
