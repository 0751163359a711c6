//! What this machine can do at most: the yardstick for every benchmark.
//!
//! | limit | measured with |
//! |---|---|
//! | reading | every thread adds up its stretches of a buffer larger than any cache, in every other round asking ahead for them |
//! | integer dot | chains of the instruction set's multiply-add of bytes, operands in registers |
//! | float multiply-add | chains of [`Lanes::fma`], operands in registers |
//!
//! One multiply-add counts as two operations. The integer peak is that of the
//! plain sequence that is right for all bytes: VPDPBUSD where there is one,
//! VPMADDUBSW, VPMADDWD and VPADDD on AVX2, SDOT or SMMLA on ARM. A kernel for
//! 4-bit weights on AVX2 may beat it, by adding several products of 16 bits
//! before it widens them.
//!
//! The best of several rounds is returned: a limit is what the machine reaches
//! when nobody else uses it.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg(target_arch = "aarch64")]
mod neon;

use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::prefetch;
use crate::team::Team;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A machine's limits, for one instruction set and number of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes read from memory per second.
    pub read_bytes_per_second: f64,
    /// 8-bit integer multiplications and additions per second.
    pub int8_ops_per_second: f64,
    /// `f32` multiplications and additions per second.
    pub f32_ops_per_second: f64,
}

impl Limits {
    /// The higher of each: what two measurements of one machine say together.
    pub fn max(self, other: Limits) -> Limits {
        let Limits {
            read_bytes_per_second: read,
            int8_ops_per_second: int8,
            f32_ops_per_second: f32,
        } = other;
        Limits {
            read_bytes_per_second: self.read_bytes_per_second.max(read),
            int8_ops_per_second: self.int8_ops_per_second.max(int8),
            f32_ops_per_second: self.f32_ops_per_second.max(f32),
        }
    }
}

/// How the limits are measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Bytes of the buffer that is read; far more than the caches hold.
    pub buffer_bytes: usize,
    /// Time of one round of arithmetic.
    pub round: Duration,
    /// Rounds of which the best counts.
    pub rounds: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Effort {
            buffer_bytes: 1 << 30,
            round: Duration::from_millis(60),
            rounds: 7,
        }
    }
}

/// Measures the limits.
///
/// # Panics
///
/// If the machine does not have the instruction set.
pub fn measure(team: &Team, isa: Isa, effort: Effort) -> Limits {
    assert!(isa.is_available(), "this machine has no {isa}");
    Limits {
        read_bytes_per_second: read(team, isa, effort),
        int8_ops_per_second: arithmetic(team, effort, |turns| dot(isa, turns)),
        f32_ops_per_second: arithmetic(team, effort, |turns| isa.run(Fma { turns })),
    }
}

/// How far ahead of what is read memory is asked for.
const AHEAD_BYTES: usize = 16384;
/// Bytes that a thread reads in one go.
const STRETCH_BYTES: usize = 4 << 20;

fn read(team: &Team, isa: Isa, effort: Effort) -> f64 {
    // Written, and by the threads that read it: untouched memory would be one
    // page of zeros, and on some machines memory has a home.
    let mut buffer = vec![0.0_f32; effort.buffer_bytes / size_of::<f32>()];
    let stretch = STRETCH_BYTES / size_of::<f32>();
    team.region(|region| region.chunks_mut(&mut buffer, stretch, |_, part| part.fill(1.0)));
    let stretches: Vec<&[f32]> = buffer.chunks(stretch).collect();
    let bytes = size_of_val(&buffer[..]) as f64;
    let mut ways = [None, Some(false), Some(true)].into_iter().cycle();
    best(effort.rounds, || {
        let ask = ways.next().flatten();
        let start = Instant::now();
        team.region(|region| {
            region.for_each(stretches.len(), |index| {
                let stretch = stretches[index];
                black_box(isa.run(Read { stretch, ask }));
            });
        });
        bytes / start.elapsed().as_secs_f64()
    })
}

/// Operations per second of `body`, which makes a number of turns and returns
/// the operations it did, on all threads at once.
fn arithmetic(team: &Team, effort: Effort, body: impl Fn(usize) -> u64 + Sync) -> f64 {
    let mut turns = 1000;
    let mut round = || {
        let threads = team.threads();
        let start = Instant::now();
        let ops = team.region(|region| {
            let mut ops = vec![0; threads];
            region.chunks_mut(&mut ops, 1, |_, ops| ops[0] = body(turns));
            ops.iter().sum::<u64>()
        });
        let time = start.elapsed();
        let speed = ops as f64 / time.as_secs_f64();
        if time < effort.round / 2 {
            turns *= 2;
            return (speed, false);
        }
        (speed, true)
    };
    while !round().1 {}
    best(effort.rounds, || round().0)
}

fn best(rounds: usize, mut round: impl FnMut() -> f64) -> f64 {
    (0..rounds.max(1)).map(|_| round()).fold(0.0, f64::max)
}

/// Makes `turns` turns of the instruction set's byte multiply-add; returns the
/// operations.
fn dot(isa: Isa, turns: usize) -> u64 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::dot(turns),
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => avx_vnni::dot(turns),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::dot(turns),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::dot(turns),
        #[cfg(target_arch = "aarch64")]
        Isa::NeonDotprod => neon::dot_dotprod(turns),
        #[cfg(target_arch = "aarch64")]
        Isa::NeonI8mm => neon::dot_i8mm(turns),
        _ => scalar::dot(turns),
    }
}

/// Reads values.
struct Read<'a> {
    stretch: &'a [f32],
    /// Whether memory is asked for ahead, as kernels do, and then to be in the
    /// first-level cache, or what the processor guesses has to do.
    ask: Option<bool>,
}

impl Op for Read<'_> {
    type Out = f32;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> f32 {
        // Four sums of sixteen: enough that additions do not wait for each other.
        let mut sums = [lanes.splat(0.0); 4];
        let (groups, _) = self.stretch.as_chunks::<{ 4 * LANES }>();
        for group in groups {
            if let Some(near) = self.ask {
                prefetch::all_to_level(near, group, AHEAD_BYTES);
            }
            let (parts, _) = group.as_chunks::<LANES>();
            for (sum, part) in zip(sums.iter_mut(), parts) {
                *sum = lanes.add(*sum, lanes.load(part));
            }
        }
        let [a, b, c, d] = sums;
        lanes.fold(lanes.add(lanes.add(a, b), lanes.add(c, d)))
    }
}

/// Multiplies and adds floats.
struct Fma {
    turns: usize,
}

impl Op for Fma {
    type Out = u64;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> u64 {
        /// Chains of sixteen lanes: enough to cover four cycles of latency on
        /// two units, and they fit the registers of AVX2 and NEON.
        const CHAINS: usize = if cfg!(target_arch = "x86_64") { 6 } else { 5 };
        let factor = lanes.splat(black_box(0.999));
        let addend = lanes.splat(black_box(0.001));
        let mut sums = [lanes.splat(black_box(1.0)); CHAINS];
        for _ in 0..self.turns {
            for sum in &mut sums {
                *sum = lanes.fma(*sum, factor, addend);
            }
        }
        for sum in sums {
            black_box(lanes.fold(sum));
        }
        (self.turns * CHAINS * LANES * 2) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_of_this_machine_has_limits() {
        let effort = Effort {
            buffer_bytes: 1 << 20,
            round: Duration::from_micros(500),
            rounds: 1,
        };
        let team = Team::new(2).unwrap();
        for isa in Isa::available() {
            let limits = measure(&team, isa, effort);
            // Anything that runs this reaches a million a second, and nothing
            // reaches 10^17: loops that were optimized away would.
            for (what, speed) in [
                ("read", limits.read_bytes_per_second),
                ("int8", limits.int8_ops_per_second),
                ("f32", limits.f32_ops_per_second),
            ] {
                assert!((1e6..1e17).contains(&speed), "{isa}: {what} {speed:e}");
            }
        }
    }

    #[test]
    fn reading_sees_every_value() {
        let values: Vec<f32> = (0..256).map(|i| i as f32).collect();
        for isa in Isa::available() {
            for ask in [None, Some(false), Some(true)] {
                let stretch = &values;
                assert_eq!(isa.run(Read { stretch, ask }), 255.0 * 128.0, "{isa}");
            }
        }
    }
}
