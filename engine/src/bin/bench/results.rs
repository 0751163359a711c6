//! Results: figures of a test, and the ways to print them.

use crate::inventory::{CHUNK, Inventory, Ops};
use crate::measure::Measured;
use crate::plan::Kind;
use clap::ValueEnum;
use firstlight::{KvCache, KvFormat, Model};
use kernels::limits::Limits;
use serde_json::json;
use std::io::{Result, Write};

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For reading
    Table,
    /// A list of objects
    Json,
    /// Comma-separated values
    Csv,
    /// A Markdown table
    Md,
}

/// Middle, lowest and highest of several figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of at least one figure.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        assert!(!sorted.is_empty(), "the spread of no figures");
        sorted.sort_by(f64::total_cmp);
        let (last, middle) = (sorted.len() - 1, sorted.len() / 2);
        Spread {
            median: (sorted[last / 2] + sorted[middle]) / 2.0,
            min: sorted[0],
            max: sorted[last],
        }
    }

    /// As JSON.
    pub fn json(&self) -> serde_json::Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }
}

/// What the tests ran on.
pub struct Setting<'a> {
    pub name: &'a str,
    /// Whether the weights are random.
    pub synthetic: bool,
    pub model: &'a Model,
    pub inventory: &'a Inventory,
    pub kv: KvFormat,
    /// Measured in this run, if that was asked for.
    pub limits: Option<Limits>,
}

/// The figures of a test.
pub struct Outcome {
    pub model: String,
    pub synthetic: bool,
    pub quant: String,
    pub parameters: u64,
    pub weight_bytes: u64,
    /// What computes: the CPU, or a GPU and what it has of the model.
    pub device: String,
    pub isa: &'static str,
    pub threads: usize,
    pub kv: KvFormat,
    pub measured: Measured,
    pub tokens_per_second: Spread,
    pub gb_per_second: f64,
    pub gop_per_second: f64,
    pub limits: Option<Limits>,
    /// Median speed as a share of what reading, and what arithmetic, allow.
    pub shares: Option<Shares>,
}

/// Shares of the limits, 1 being all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    pub read: f64,
    pub compute: f64,
}

impl Outcome {
    /// Puts a measurement into relation to the model and the machine.
    pub fn new(setting: &Setting<'_>, measured: Measured) -> Outcome {
        let test = measured.test;
        let tokens = test.all_tokens() as f64;
        let speeds = measured.seconds.iter().map(|seconds| tokens / seconds);
        let tokens_per_second = Spread::of(speeds);
        let seconds = tokens / tokens_per_second.median;
        let bytes = bytes(setting, &measured);
        let ops = ops(setting, &measured);
        Outcome {
            model: setting.name.to_owned(),
            synthetic: setting.synthetic,
            quant: setting.inventory.quant.clone(),
            parameters: setting.inventory.parameters,
            weight_bytes: setting.inventory.bytes,
            device: device(setting.model),
            isa: setting.model.isa().name(),
            threads: setting.model.threads(),
            kv: setting.kv,
            tokens_per_second,
            gb_per_second: bytes / seconds / 1e9,
            gop_per_second: (ops.int8 + ops.f32) / seconds / 1e9,
            limits: setting.limits,
            // The limits are those of the CPU.
            shares: on_cpu(setting).map(|limits| Shares {
                read: bytes / limits.read_bytes_per_second / seconds,
                compute: (ops.int8 / limits.int8_ops_per_second
                    + ops.f32 / limits.f32_ops_per_second)
                    / seconds,
            }),
            measured,
        }
    }

    /// The share that decides: of reading when generating, of arithmetic when
    /// reading a prompt.
    pub fn share(&self) -> Option<f64> {
        self.shares.map(|shares| match self.measured.test.kind {
            Kind::Prompt => shares.compute,
            Kind::Generation if self.measured.test.batch > 1 => shares.read.max(shares.compute),
            Kind::Generation => shares.read,
        })
    }

    /// One object of the list.
    pub fn json(&self) -> serde_json::Value {
        let Measured { test, memory, .. } = &self.measured;
        let (prompt, generated) = match test.kind {
            Kind::Prompt => (test.tokens, 0),
            Kind::Generation => (0, test.tokens),
        };
        json!({
            "model": self.model,
            "synthetic": self.synthetic,
            "quant": self.quant,
            "parameters": self.parameters,
            "weight_bytes": self.weight_bytes,
            "device": self.device,
            "processor": processor(),
            "isa": self.isa,
            "threads": self.threads,
            "kv": self.kv.to_string(),
            "test": test.to_string(),
            "prompt_tokens": prompt,
            "gen_tokens": generated,
            "depth": test.depth,
            "batch": test.batch,
            "repetitions": self.measured.seconds.len(),
            "tokens_per_second": self.tokens_per_second.json(),
            "gb_per_second": self.gb_per_second,
            "gop_per_second": self.gop_per_second,
            "limits": self.limits.map(|limits| limits_json(&limits)),
            "share_of_limits": self.shares.map(|shares| json!({
                "read": shares.read,
                "compute": shares.compute,
            })),
            "peak_rss_bytes": memory.rss,
            "peak_anonymous_bytes": memory.anonymous,
            "peak_file_backed_bytes": memory.file_backed,
        })
    }

    fn cells(&self) -> Vec<String> {
        let memory = &self.measured.memory;
        let megabytes = |bytes: Option<u64>| match bytes {
            Some(bytes) => format!("{:.0}", bytes as f64 / 1e6),
            None => String::new(),
        };
        let Spread { median, min, max } = self.tokens_per_second;
        vec![
            self.model.clone(),
            self.quant.clone(),
            match self.device == "cpu" {
                true => self.isa.to_owned(),
                false => self.device.clone(),
            },
            self.threads.to_string(),
            self.kv.to_string(),
            self.measured.test.to_string(),
            format!("{median:.2}"),
            format!("{min:.2}"),
            format!("{max:.2}"),
            format!("{:.1}", self.gb_per_second),
            format!("{:.0}", self.gop_per_second),
            self.share()
                .map_or_else(String::new, |share| format!("{:.0}", 100.0 * share)),
            megabytes(memory.anonymous),
            megabytes(memory.file_backed),
        ]
    }
}

/// The limits, if it is the CPU that computes.
fn on_cpu(setting: &Setting<'_>) -> Option<Limits> {
    setting.limits.filter(|_| setting.model.gpu().is_none())
}

fn device(model: &Model) -> String {
    match model.gpu() {
        None => "cpu".to_owned(),
        Some((gpu, placed)) => format!(
            "{}, {} of {} layers{}",
            gpu.name(),
            placed.layers,
            model.config().n_layer,
            if placed.output { " and the output" } else { "" },
        ),
    }
}

/// Bytes that a test reads at least: weights once for each step, and the cache.
fn bytes(setting: &Setting<'_>, measured: &Measured) -> f64 {
    let test = measured.test;
    let chunk = match test.kind {
        Kind::Prompt => CHUNK,
        Kind::Generation => 1,
    };
    let cached = |seen| KvCache::bytes_read(setting.model.config(), setting.kv, seen) as f64;
    let mut bytes = 0.0;
    for from in (0..test.tokens).step_by(chunk) {
        let to = test.tokens.min(from + chunk);
        let has_logits = test.kind == Kind::Generation || to == test.tokens;
        let tokens = (to - from) * test.batch;
        let logits = if has_logits { test.batch } else { 0 };
        bytes += setting.inventory.step_bytes(tokens, logits);
        bytes += test.batch as f64 * cached(test.depth + to);
    }
    bytes
}

/// Operations in the matrices. Attention is not counted: it is what a deep
/// cache costs beyond them.
fn ops(setting: &Setting<'_>, measured: &Measured) -> Ops {
    let test = measured.test;
    let logits = match test.kind {
        Kind::Prompt => test.batch,
        Kind::Generation => test.all_tokens(),
    };
    setting.inventory.ops(test.all_tokens(), logits)
}

/// Limits as JSON.
pub fn limits_json(limits: &Limits) -> serde_json::Value {
    json!({
        "read_gb_per_second": limits.read_bytes_per_second / 1e9,
        "int8_gop_per_second": limits.int8_ops_per_second / 1e9,
        "f32_gflop_per_second": limits.f32_ops_per_second / 1e9,
    })
}

/// The processor's own name, where the system tells.
pub fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start_matches(['\t', ' ', ':']).trim().to_owned())
}

/// Column names; those with a unit say it.
const COLUMNS: [&str; 14] = [
    "model", "quant", "computes", "threads", "kv", "test", "tokens/s", "min", "max", "GB/s",
    "GOP/s", "% limit", "anon MB", "file MB",
];

/// Columns of text; the others are numbers.
const TEXT_COLUMNS: [usize; 5] = [0, 1, 2, 4, 5];

/// Prints results.
pub fn print(form: Form, outcomes: &[Outcome], out: &mut impl Write) -> Result<()> {
    if form == Form::Json {
        let list: Vec<_> = outcomes.iter().map(Outcome::json).collect();
        return writeln!(out, "{:#}", serde_json::Value::from(list));
    }
    let rows: Vec<Vec<String>> = outcomes.iter().map(Outcome::cells).collect();
    rows_as(form, &COLUMNS, &TEXT_COLUMNS, &rows, out)
}

/// Prints a table in one of the forms that are no JSON.
pub fn rows_as(
    form: Form,
    columns: &[&str],
    text: &[usize],
    rows: &[Vec<String>],
    out: &mut impl Write,
) -> Result<()> {
    match form {
        Form::Csv => {
            let quoted = |cell: &str| match cell.contains([',', '"', '\n']) {
                true => format!("\"{}\"", cell.replace('"', "\"\"")),
                false => cell.to_owned(),
            };
            writeln!(out, "{}", columns.join(","))?;
            for row in rows {
                let cells: Vec<_> = row.iter().map(|cell| quoted(cell)).collect();
                writeln!(out, "{}", cells.join(","))?;
            }
        }
        Form::Md => {
            writeln!(out, "| {} |", columns.join(" | "))?;
            let rule = |index| if text.contains(&index) { "---" } else { "---:" };
            let rules: Vec<_> = (0..columns.len()).map(rule).collect();
            writeln!(out, "| {} |", rules.join(" | "))?;
            for row in rows {
                let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
                writeln!(out, "| {} |", cells.join(" | "))?;
            }
        }
        Form::Table | Form::Json => {
            let header = columns.iter().map(ToString::to_string).collect();
            let lines: Vec<Vec<String>> = std::iter::once(header)
                .chain(rows.iter().cloned())
                .collect();
            let width = |index: usize| lines.iter().map(|line| line[index].chars().count()).max();
            for line in &lines {
                let cells = line.iter().enumerate().map(|(index, cell)| {
                    let width = width(index).unwrap_or(0);
                    match text.contains(&index) {
                        true => format!("{cell:<width$}"),
                        false => format!("{cell:>width$}"),
                    }
                });
                let line = cells.collect::<Vec<_>>().join("  ");
                writeln!(out, "{}", line.trim_end())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        for (figures, median) in [
            (&[3.0][..], 3.0),
            (&[4.0, 1.0], 2.5),
            (&[9.0, 1.0, 2.0], 2.0),
        ] {
            let spread = Spread::of(figures.iter().copied());
            assert_eq!(spread.median, median, "{figures:?}");
            assert!(spread.min <= median && median <= spread.max);
        }
    }

    #[test]
    fn forms() {
        let rows = [vec!["a,b".to_owned(), "1".to_owned()]];
        let printed = |form| {
            let mut out = Vec::new();
            rows_as(form, &["name", "n"], &[0], &rows, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(printed(Form::Csv), "name,n\n\"a,b\",1\n");
        assert_eq!(
            printed(Form::Md),
            "| name | n |\n| --- | ---: |\n| a,b | 1 |\n"
        );
        assert_eq!(printed(Form::Table), "name  n\na,b   1\n");
    }
}
