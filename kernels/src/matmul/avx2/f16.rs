//! F16 for many tokens, eight lanes at a time.
//!
//! Sixteen partial sums of an output are two registers here, so that a tile of all of
//! them is two rows by three tokens, and reads ten vectors for twelve multiplications.
//! A Zen 3 makes half of its peak with that. But no partial sum needs another: in the
//! *halves* of a step, lanes 0 to 7 and then lanes 8 to 15, tiles are three rows by four
//! tokens and read seven. Panels keep the 16 bits of a weight, which are widened by
//! tiles, since the second-level cache does not give them as fast as 32.
//!
//! ```text
//! panel         [half][sheet][unit][step][row]    eight weights each
//! activations   [token][unit][half][step]         eight floats each
//! sums          [half][sheet][token][row]         eight floats each
//! ```
//!
//! Loops from the outside in: a chunk of tokens, a block of units ([`BLOCK_UNITS`]), tiles
//! of tokens, halves, sheets. Of a tile's tokens a half of a block stays in the first-level
//! cache.
//!
//! A Zen 5 reads fast enough without, and Intel's processors convert where they would
//! multiply.

use super::super::float::{self, AHEAD, Rows, fill_up};
use super::super::{Activations, Matrix, Scratch};
use crate::format::F16;
use crate::inlined::zip;
use crate::isa::{is_intel, is_zen_5_or_later};
use crate::lanes::{self, Lanes};
use crate::prefetch;
use crate::steps::{Step, StepForm, StepRows, UNIT};
use crate::team::TileMut;
use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

/// Rows of a sheet.
const ROWS: usize = 3;
/// Tokens of a tile.
const TOKENS: usize = 4;
/// Units of a block: 16 KB of half of a tile's tokens.
const BLOCK_UNITS: usize = 64;
/// Tokens whose sums are kept at a time, where rows are several blocks.
const CHUNK: usize = 48;

/// Half the weights of a unit, of the rows of a sheet: two steps.
type Weights = [[[F16; 8]; ROWS]; 2];
/// Half the partial sums of an output.
type Half = [f32; 8];

/// The form of activations that many tokens are multiplied in.
pub(in super::super) fn form() -> StepForm {
    match is_intel() || is_zen_5_or_later() {
        true => StepForm::Plain,
        false => StepForm::Halved,
    }
}

/// The kernel.
pub(in super::super) fn f16(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    lanes::Avx2::new().expect("the registry runs a kernel only where its instructions are");
    if x.plain.form() == StepForm::Halved {
        // SAFETY: the processor has the features: there are lanes of them.
        unsafe { halves(Rows::new(weight), x, out, scratch) };
    } else {
        float::strip::<lanes::Avx2, F16>(weight, x, out, scratch);
    }
}

/// Multiplies a strip, half after half.
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(weight: Rows<'_, F16>, x: Activations<'_>, out: &mut TileMut<'_>, scratch: &mut Scratch) {
    let (tokens, x) = (x.rows, x.plain);
    let units = x.steps() / 2;
    let sheets = weight.rows.div_ceil(ROWS);
    let floats = 2 * sheets * units * size_of::<Weights>() / size_of::<f32>();
    let panel: &mut [Weights] = bytemuck::cast_slice_mut(scratch.floats.resize(floats));
    unpack(&weight, panel, units);
    // Where rows are one block, sums rest from one half to the other only.
    let chunk = if units <= BLOCK_UNITS { TOKENS } else { CHUNK };
    let sums = scratch.panel.sums.resize(2 * sheets * chunk * ROWS * 8);
    let mut strip = Strip {
        rows: weight.rows,
        panel,
        units,
        x,
        sums: sums.as_chunks_mut().0.as_chunks_mut().0,
        chunk,
        out,
    };
    for first in (0..tokens).step_by(chunk) {
        let chunk = first..tokens.min(first + chunk);
        for block in (0..units).step_by(BLOCK_UNITS) {
            let block = block..units.min(block + BLOCK_UNITS);
            for half in 0..2 {
                let part = Part {
                    half,
                    block: block.clone(),
                    first,
                };
                let mut token = first;
                while token < chunk.end {
                    token += match chunk.end - token {
                        left if left >= TOKENS => strip.tile::<TOKENS>(&part, token),
                        left if left >= 2 => strip.tile::<2>(&part, token),
                        _ => strip.tile::<1>(&part, token),
                    };
                }
            }
        }
    }
}

/// A half of a block, to be multiplied with a chunk of tokens.
struct Part {
    half: usize,
    block: Range<usize>,
    /// The first token of the chunk.
    first: usize,
}

/// A strip in a panel.
struct Strip<'a, 't, 'o> {
    rows: usize,
    panel: &'a [Weights],
    units: usize,
    x: StepRows<'a>,
    sums: &'t mut [[Half; ROWS]],
    /// Tokens that there is room for among the sums.
    chunk: usize,
    out: &'t mut TileMut<'o>,
}

impl Strip<'_, '_, '_> {
    /// Adds the products with `T` tokens, from `token` on, to their sums, and stores them
    /// after the last part. Returns `T`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn tile<const T: usize>(&mut self, part: &Part, token: usize) -> usize {
        let Part { half, block, first } = part;
        let mut x: [&[Step]; T] = [&[]; T];
        for (t, x) in x.iter_mut().enumerate() {
            *x = &self.x.row(token + t)[half * self.units..][block.clone()];
        }
        let sheets = self.panel.len() / (2 * self.units);
        let is_last = block.end == self.units;
        let (lower, upper) = self.sums.split_at_mut(sheets * self.chunk);
        for sheet in 0..sheets {
            let w = &self.panel[(half * sheets + sheet) * self.units..][block.clone()];
            let at = sheet * self.chunk + token - first;
            let sums = if *half == 0 {
                &mut lower[at..]
            } else {
                &mut upper[at..]
            };
            let sums: &mut [[Half; ROWS]; T] = sums.first_chunk_mut().expect("room");
            let mut acc = [[_mm256_setzero_ps(); ROWS]; T];
            if block.start > 0 {
                for (acc, sums) in zip(acc.as_flattened_mut(), sums.as_flattened()) {
                    // SAFETY: reads eight floats.
                    *acc = unsafe { _mm256_loadu_ps(sums.as_ptr()) };
                }
            }
            add::<T>(&mut acc, w, x);
            if *half == 0 || !is_last {
                for (acc, sums) in zip(acc.as_flattened(), sums.as_flattened_mut()) {
                    // SAFETY: writes eight floats.
                    unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), *acc) };
                }
                continue;
            }
            let first_row = ROWS * sheet;
            for (t, (upper, lower)) in zip(acc.iter(), &lower[at..]).enumerate() {
                let row = self.out.rows().start + token + t;
                let to = &mut self.out.row(row)[first_row..self.rows];
                let folded = fold(lower, upper);
                match to.first_chunk_mut::<ROWS>() {
                    Some(whole) => whole.copy_from_slice(&folded[..ROWS]),
                    None => to.copy_from_slice(&folded[..to.len()]),
                }
            }
        }
        T
    }
}

/// Outputs: the partial sums of each, folded in halves ([`Lanes::fold`]), all together.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn fold(lower: &[Half; ROWS], upper: &[__m256; ROWS]) -> [f32; ROWS + 1] {
    let mut four = [_mm_setzero_ps(); ROWS];
    for (four, (lower, upper)) in zip(four.iter_mut(), zip(lower, upper)) {
        // SAFETY: reads eight floats.
        let eight = _mm256_add_ps(unsafe { _mm256_loadu_ps(lower.as_ptr()) }, *upper);
        *four = _mm_add_ps(
            _mm256_castps256_ps128(eight),
            _mm256_extractf128_ps::<1>(eight),
        );
    }
    let [a, b, c] = four;
    let first = _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
    let second = _mm_add_ps(c, _mm_movehl_ps(c, c));
    let even = _mm_shuffle_ps::<0b10_00_10_00>(first, second);
    let odd = _mm_shuffle_ps::<0b11_01_11_01>(first, second);
    let mut folded = [0.0; ROWS + 1];
    // SAFETY: writes four floats.
    unsafe { _mm_storeu_ps(folded.as_mut_ptr(), _mm_add_ps(even, odd)) };
    folded
}

/// Brings a strip into a panel.
fn unpack(weight: &Rows<'_, F16>, panel: &mut [Weights], units: usize) {
    let (lower, upper) = panel.split_at_mut(panel.len() / 2);
    let sheets = zip(lower.chunks_exact_mut(units), upper.chunks_exact_mut(units));
    for (sheet, (lower, upper)) in sheets.enumerate() {
        for r in 0..ROWS {
            let mut put = |at: usize, unit: &[F16; UNIT]| {
                let (parts, _) = unit.as_chunks();
                (lower[at][0][r], upper[at][0][r]) = (parts[0], parts[1]);
                (lower[at][1][r], upper[at][1][r]) = (parts[2], parts[3]);
            };
            let (whole, tail) = weight.row(sheet * ROWS + r);
            for (at, unit) in whole.iter().enumerate() {
                prefetch::all_to_level(false, unit, AHEAD);
                put(at, unit);
            }
            if !tail.is_empty() {
                put(whole.len(), &fill_up(tail));
            }
        }
    }
}

/// Adds the products of half of a block to sums; of each token, `x` are the units of it.
///
/// It is assembly, because the compiler, given the same as intrinsics, keeps sums in memory.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add<const T: usize>(acc: &mut [[__m256; ROWS]; T], w: &[Weights], x: [&[Step]; T]) {
    if w.is_empty() {
        return;
    }
    assert!(x.iter().all(|x| x.len() == w.len()));
    macro_rules! multiply {
        ($($t:tt $x:ident $a:ident $b:ident $c:ident)*) => {
            asm!(
                "2:",
                "vcvtph2ps {w0}, [{w}]",
                "vcvtph2ps {w1}, [{w} + 16]",
                "vcvtph2ps {w2}, [{w} + 32]",
                $(
                    concat!("vmovups {eight}, [{", stringify!($x), "} + {k}]"),
                    concat!("vfmadd231ps {", stringify!($a), "}, {eight}, {w0}"),
                    concat!("vfmadd231ps {", stringify!($b), "}, {eight}, {w1}"),
                    concat!("vfmadd231ps {", stringify!($c), "}, {eight}, {w2}"),
                )*
                "vcvtph2ps {w0}, [{w} + 48]",
                "vcvtph2ps {w1}, [{w} + 64]",
                "vcvtph2ps {w2}, [{w} + 80]",
                $(
                    concat!("vmovups {eight}, [{", stringify!($x), "} + {k} + 32]"),
                    concat!("vfmadd231ps {", stringify!($a), "}, {eight}, {w0}"),
                    concat!("vfmadd231ps {", stringify!($b), "}, {eight}, {w1}"),
                    concat!("vfmadd231ps {", stringify!($c), "}, {eight}, {w2}"),
                )*
                "add {w}, 96",
                "add {k}, 64",
                "jne 2b",
                w = inout(reg) w.as_ptr() => _,
                k = inout(reg) -(size_of_val(x[0]) as isize) => _,
                w0 = out(ymm_reg) _,
                w1 = out(ymm_reg) _,
                w2 = out(ymm_reg) _,
                eight = out(ymm_reg) _,
                $(
                    // The end of the token's units, from which `k` counts.
                    $x = in(reg) x[$t].as_ptr_range().end,
                    $a = inout(ymm_reg) acc[$t][0],
                    $b = inout(ymm_reg) acc[$t][1],
                    $c = inout(ymm_reg) acc[$t][2],
                )*
                options(readonly, nostack),
            )
        };
    }
    // SAFETY: reads one half of all units of `x`, each of as many as `w` has, and all of `w`,
    // and writes the named registers only; the processor has the features.
    unsafe {
        match T {
            1 => multiply!(0 x0 a0 b0 c0),
            2 => multiply!(0 x0 a0 b0 c0 1 x1 a1 b1 c1),
            4 => multiply!(0 x0 a0 b0 c0 1 x1 a1 b1 c1 2 x2 a2 b2 c2 3 x3 a3 b3 c3),
            _ => unreachable!("a tile of {T} tokens"),
        }
    }
}
