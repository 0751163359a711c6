//! Every registered kernel that runs here, on one thread.
//!
//! | benchmark | tokens | weights | figure |
//! |---|---:|---|---|
//! | `stream` | 1 | 64 MB, read from memory | GB/s of weights |
//! | `cached` | 1 | 384 KB, in the second-level cache | GB/s of weights |
//! | `batch`  | 8 | 64 MB, read from memory | GB/s of weights |
//! | `prompt` | 512 | 2 MB | GOP/s, a multiply-add is two |
//!
//! Before a kernel is timed, its answer is compared with the definition's. The
//! last column of the table that is printed at the end is the share of what the
//! thread could read, or compute in bytes or floats, at most.

use criterion::{BenchmarkId, Criterion, Throughput};
use kernels::format::{ActivationForm, Format};
use kernels::limits::{self, Effort, Limits};
use kernels::matmul::{Job, MatmulKernel, Store, Workspace, matmul};
use kernels::selftest::{self, Random, ordinary_weights};
use kernels::team::MatMut;
use kernels::{Isa, Kernels, Matrix, Team};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Inputs of every product.
const COLS: usize = 2048;

/// A way to use a kernel.
struct Case {
    name: &'static str,
    tokens: usize,
    /// Bytes of weights.
    bytes: usize,
    counts_operations: bool,
}

const CASES: [Case; 4] = [
    case("stream", 1, 64 << 20, false),
    case("cached", 1, 384 << 10, false),
    case("batch", 8, 64 << 20, false),
    case("prompt", 512, 2 << 20, true),
];

const fn case(name: &'static str, tokens: usize, bytes: usize, counts_operations: bool) -> Case {
    Case {
        name,
        tokens,
        bytes,
        counts_operations,
    }
}

/// What was measured: the shortest time of one product.
struct Figure {
    work: f64,
    limit: f64,
    seconds: f64,
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let team = Team::new(1).expect("a team of one needs no threads");
    let mut limits = BTreeMap::new();
    let mut figures = Vec::new();
    for kernel in MatmulKernel::available() {
        if let Some(difference) = selftest::check(kernel) {
            panic!("{}: {difference}", kernel.name());
        }
        for case in &CASES {
            // The definition is not made to be fast.
            if kernel.isa == Isa::Scalar && case.name != "cached" {
                continue;
            }
            let limit = *limits
                .entry(kernel.isa)
                .or_insert_with(|| limits::measure(&team, kernel.isa, EFFORT));
            if let Some(figure) = run(&mut criterion, &team, kernel, case, limit) {
                figures.push((format!("{}/{}", case.name, kernel.name()), figure));
            }
        }
    }
    criterion.final_summary();
    for (name, figure) in figures {
        let rate = figure.work / figure.seconds;
        println!(
            "{name:<28}{:>8.1} G/s{:>6.0} % of {:.1}",
            rate / 1e9,
            100.0 * rate / figure.limit,
            figure.limit / 1e9
        );
    }
}

const EFFORT: Effort = Effort {
    buffer_bytes: 256 << 20,
    round: Duration::from_millis(20),
    rounds: 5,
};

/// Times a kernel; nothing if the command line did not ask for it.
fn run(
    criterion: &mut Criterion,
    team: &Team,
    kernel: &MatmulKernel,
    case: &Case,
    limits: Limits,
) -> Option<Figure> {
    let format: Format = kernel.format;
    let row_bytes = format.row_bytes(COLS).expect("whole blocks");
    let rows = (case.bytes / row_bytes).max(16);
    let (tokens, ops) = (case.tokens, 2 * case.tokens * rows * COLS);
    let (throughput, work, limit) = if case.counts_operations {
        let limit = match format.info().activations {
            ActivationForm::Int8 => limits.int8_ops_per_second,
            ActivationForm::Float | ActivationForm::Bf16 => limits.f32_ops_per_second,
        };
        (Throughput::Elements(ops as u64), ops, limit)
    } else {
        let bytes = rows * row_bytes;
        let limit = limits.read_bytes_per_second;
        (Throughput::Bytes(bytes as u64), bytes, limit)
    };

    // A strip's worth of random blocks, repeated: what they are does not matter
    // to the time, and making 64 MB of them would.
    let pattern = ordinary_weights(format, 16, COLS, &mut Random(1));
    let bytes: Vec<u8> = pattern
        .iter()
        .copied()
        .cycle()
        .take(rows * row_bytes)
        .collect();
    let weight = Matrix::new(format, rows, COLS, &bytes).expect("made for the shape");
    let mut random = Random(2);
    let x: Vec<f32> = (0..tokens * COLS).map(|_| random.float()).collect();
    let kernels = Kernels::new(kernel.isa).expect("it runs here");
    let mut workspace = Workspace::new(1);
    let mut out = vec![0.0; tokens * rows];
    let mut best = Duration::MAX;

    let mut group = criterion.benchmark_group(case.name);
    group.throughput(throughput).sample_size(10);
    group.warm_up_time(Duration::from_millis(100));
    group.measurement_time(Duration::from_millis(600));
    group.bench_function(BenchmarkId::from_parameter(kernel.name()), |bencher| {
        bencher.iter_custom(|turns| {
            team.region(|region| {
                let mut total = Duration::ZERO;
                for _ in 0..turns {
                    let job = Job {
                        weight,
                        out: MatMut::new(&mut out, tokens),
                        store: Store::Set,
                    };
                    let start = Instant::now();
                    matmul(region, &kernels, &mut workspace, &x, tokens, [job]);
                    let time = start.elapsed();
                    best = best.min(time);
                    total += time;
                }
                black_box(&out);
                total
            })
        });
    });
    group.finish();
    (best != Duration::MAX).then_some(Figure {
        work: work as f64,
        limit,
        seconds: best.as_secs_f64(),
    })
}
