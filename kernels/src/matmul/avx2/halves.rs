//! Matrices of floats and many tokens, eight lanes at a time.
//!
//! Sixteen partial sums of an output are two registers here, so that a tile of all of
//! them is two rows by three tokens, and reads ten vectors for twelve multiplications.
//! A Zen 3 makes half of its peak with that. But no partial sum needs another: in the
//! *halves* of a step, lanes 0 to 7 and then lanes 8 to 15, tiles are three rows by four
//! tokens and read seven. Of F16, panels keep the 16 bits, which are widened by tiles: half
//! as much comes from the second-level cache.
//!
//! ```text
//! panel         [half][sheet][unit][step][row]    eight weights each
//! activations   [token][half][unit][step]         eight floats each
//! sums          [half][sheet][token][row]         eight floats each
//! ```
//!
//! Loops from the outside in: a chunk of tokens, a block of units ([`BLOCK_UNITS`]), halves,
//! tiles of tokens, sheets. Of a tile's tokens a half of a block stays in the first-level
//! cache; it lies side by side, because every other line would be in half of the cache's sets.
//!
//! A Zen 5 reads fast enough without, and Intel's processors convert F16 where they would
//! multiply.

use super::super::float::{self, AHEAD, Rows, Weight, fill_up};
use super::super::{Activations, Matrix, Scratch};
use crate::format::{BF16, F16, F32};
use crate::inlined::zip;
use crate::isa::{is_intel, is_zen_5_or_later};
use crate::lanes::{self, LANES, Lanes};
use crate::prefetch;
use crate::steps::{Step, StepRows, UNIT};
use crate::team::TileMut;
use bytemuck::Pod;
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
type Weights<K> = [[K; ROWS]; 2];
/// Half the partial sums of an output.
type Half = [f32; 8];
/// Half the partial sums of a tile's outputs.
type Sums<const T: usize> = [[__m256; ROWS]; T];

/// Whether many tokens are multiplied half after half.
pub(in super::super) fn prefers_halves() -> bool {
    !is_intel() && !is_zen_5_or_later()
}

/// The kernel of F32, F16 and BF16: multiplies activations in the form they have.
pub(in super::super) fn floats<W: InHalves>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let l = lanes::Avx2::new().expect("the registry runs a kernel only where its instructions are");
    if W::activations(&x).form().is_in_halves() {
        // SAFETY: the processor has the features, as `l` proves.
        unsafe { strip::<W>(l, weight, x, out, scratch) };
    } else {
        float::strip::<lanes::Avx2, W>(weight, x, out, scratch);
    }
}

/// A weight that panels keep by halves of steps.
pub(in super::super) trait InHalves: Weight {
    /// Eight weights.
    type Kept: Pod;

    /// The lower halves of the steps of a unit, and the upper ones.
    fn halves(l: lanes::Avx2, unit: &[Self; UNIT]) -> [[Self::Kept; 2]; 2];

    /// Adds the products of half of a block to sums; of each token, `x` has as many units
    /// as `w`.
    ///
    /// # Safety
    ///
    /// The processor has AVX2, FMA and F16C.
    unsafe fn add<const T: usize>(sums: &mut Sums<T>, w: &[Weights<Self::Kept>], x: [&[Step]; T]);
}

/// Two steps of so many tokens, with their numbers and names for registers; see [`add`].
macro_rules! multiply {
    (
        $load:literal $kept:ty, $sums:ident $w:ident $x:ident;
        $($t:tt $xt:ident $a:ident $b:ident $c:ident)*
    ) => {
        asm!(
            "2:",
            concat!($load, " {w0}, [{w}]"),
            concat!($load, " {w1}, [{w} + {one}]"),
            concat!($load, " {w2}, [{w} + {two}]"),
            $(
                concat!("vmovups {eight}, [{", stringify!($xt), "} + {k}]"),
                concat!("vfmadd231ps {", stringify!($a), "}, {eight}, {w0}"),
                concat!("vfmadd231ps {", stringify!($b), "}, {eight}, {w1}"),
                concat!("vfmadd231ps {", stringify!($c), "}, {eight}, {w2}"),
            )*
            concat!($load, " {w0}, [{w} + {three}]"),
            concat!($load, " {w1}, [{w} + {four}]"),
            concat!($load, " {w2}, [{w} + {five}]"),
            $(
                concat!("vmovups {eight}, [{", stringify!($xt), "} + {k} + 32]"),
                concat!("vfmadd231ps {", stringify!($a), "}, {eight}, {w0}"),
                concat!("vfmadd231ps {", stringify!($b), "}, {eight}, {w1}"),
                concat!("vfmadd231ps {", stringify!($c), "}, {eight}, {w2}"),
            )*
            "add {w}, {six}",
            "add {k}, 64",
            "jne 2b",
            one = const size_of::<$kept>(),
            two = const 2 * size_of::<$kept>(),
            three = const 3 * size_of::<$kept>(),
            four = const 4 * size_of::<$kept>(),
            five = const 5 * size_of::<$kept>(),
            six = const 6 * size_of::<$kept>(),
            w = inout(reg) $w.as_ptr() => _,
            k = inout(reg) -(size_of_val($x[0]) as isize) => _,
            w0 = out(ymm_reg) _,
            w1 = out(ymm_reg) _,
            w2 = out(ymm_reg) _,
            eight = out(ymm_reg) _,
            $(
                // The end of the token's units, from which `k` counts.
                $xt = in(reg) $x[$t].as_ptr_range().end,
                $a = inout(ymm_reg) $sums[$t][0],
                $b = inout(ymm_reg) $sums[$t][1],
                $c = inout(ymm_reg) $sums[$t][2],
            )*
            options(readonly, nostack),
        )
    };
}

/// [`InHalves::add`] for weights that an instruction loads eight of.
///
/// It is assembly, because the compiler, given the same as intrinsics, keeps sums in memory.
macro_rules! add {
    ($load:literal $kept:ty) => {
        #[inline]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn add<const T: usize>(sums: &mut Sums<T>, w: &[Weights<$kept>], x: [&[Step]; T]) {
            if w.is_empty() {
                return;
            }
            assert!(x.iter().all(|x| x.len() == w.len()));
            // SAFETY: reads all of `w` and `x`, each of which is as many units, and writes the
            // named registers only.
            unsafe {
                match T {
                    1 => multiply!($load $kept, sums w x; 0 x0 a0 b0 c0),
                    2 => multiply!($load $kept, sums w x; 0 x0 a0 b0 c0 1 x1 a1 b1 c1),
                    4 => multiply!(
                        $load $kept, sums w x;
                        0 x0 a0 b0 c0 1 x1 a1 b1 c1 2 x2 a2 b2 c2 3 x3 a3 b3 c3
                    ),
                    _ => unreachable!("a tile of {T} tokens"),
                }
            }
        }
    };
}

impl InHalves for F16 {
    type Kept = [F16; 8];

    #[inline(always)]
    fn halves(_: lanes::Avx2, unit: &[F16; UNIT]) -> [[[F16; 8]; 2]; 2] {
        let (parts, _) = unit.as_chunks();
        [[parts[0], parts[2]], [parts[1], parts[3]]]
    }

    add!("vcvtph2ps" [F16; 8]);
}

/// Weights that panels keep as floats.
macro_rules! as_floats {
    ($weight:ty) => {
        impl InHalves for $weight {
            type Kept = [f32; 8];

            #[inline(always)]
            fn halves(l: lanes::Avx2, unit: &[$weight; UNIT]) -> [[[f32; 8]; 2]; 2] {
                let mut halves = [[[0.0; 8]; 2]; 2];
                for (s, step) in Self::load(l, unit).into_iter().enumerate() {
                    let mut floats = [0.0; LANES];
                    l.store(step, &mut floats);
                    for (half, floats) in zip(halves.iter_mut(), floats.as_chunks().0) {
                        half[s] = *floats;
                    }
                }
                halves
            }

            add!("vmovups" [f32; 8]);
        }
    };
}

as_floats!(F32);
as_floats!(BF16);

/// Multiplies a strip, half after half.
#[target_feature(enable = "avx2,fma,f16c")]
fn strip<W: InHalves>(
    l: lanes::Avx2,
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let (tokens, x) = (x.rows, W::activations(&x));
    let weight = Rows::<W>::new(weight);
    let units = x.steps() / 2;
    let sheets = weight.rows.div_ceil(ROWS);
    let floats = 2 * sheets * units * size_of::<Weights<W::Kept>>() / size_of::<f32>();
    let panel: &mut [Weights<W::Kept>] = bytemuck::cast_slice_mut(scratch.floats.resize(floats));
    unpack(l, &weight, panel, units);
    // Where rows are one block, sums rest from one half to the other only.
    let chunk = if units <= BLOCK_UNITS { TOKENS } else { CHUNK };
    let sums = scratch.panel.sums.resize(2 * sheets * chunk * ROWS * 8);
    let mut strip = Strip::<W> {
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
#[derive(Clone)]
struct Part {
    half: usize,
    block: Range<usize>,
    /// The first token of the chunk.
    first: usize,
}

/// A strip in a panel.
struct Strip<'a, 't, 'o, W: InHalves> {
    rows: usize,
    panel: &'a [Weights<W::Kept>],
    units: usize,
    x: StepRows<'a>,
    sums: &'t mut [[Half; ROWS]],
    /// Tokens that there is room for among the sums.
    chunk: usize,
    out: &'t mut TileMut<'o>,
}

impl<W: InHalves> Strip<'_, '_, '_, W> {
    /// Adds the products with `T` tokens, from `token` on, to their sums, and stores them
    /// after the last part. Returns `T`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn tile<const T: usize>(&mut self, part: &Part, token: usize) -> usize {
        let Part { half, block, first } = part.clone();
        let mut x: [&[Step]; T] = [&[]; T];
        for (t, x) in x.iter_mut().enumerate() {
            *x = &self.x.row(token + t)[half * self.units..][block.clone()];
        }
        let sheets = self.rows.div_ceil(ROWS);
        let is_last = block.end == self.units;
        for sheet in 0..sheets {
            let w = &self.panel[(half * sheets + sheet) * self.units..][block.clone()];
            let sums_at = |half| (half * sheets + sheet) * self.chunk + token - first;
            let sums = self.sums[sums_at(half)..].first_chunk_mut::<T>();
            let sums = sums.expect("room for a chunk's");
            let mut acc = [[_mm256_setzero_ps(); ROWS]; T];
            if block.start > 0 {
                for (acc, sums) in zip(acc.as_flattened_mut(), sums.as_flattened()) {
                    // SAFETY: reads eight floats.
                    *acc = unsafe { _mm256_loadu_ps(sums.as_ptr()) };
                }
            }
            // SAFETY: the processor has what this function is for.
            unsafe { W::add(&mut acc, w, x) };
            if half == 0 || !is_last {
                for (acc, sums) in zip(acc.as_flattened(), sums.as_flattened_mut()) {
                    // SAFETY: writes eight floats.
                    unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), *acc) };
                }
                continue;
            }
            let first_row = ROWS * sheet;
            for (t, (upper, lower)) in zip(acc.iter(), &self.sums[sums_at(0)..]).enumerate() {
                let row = self.out.rows().start + token + t;
                let to = &mut self.out.row(row)[first_row..self.rows];
                let folded = fold(lower, upper);
                match to.first_chunk_mut() {
                    Some(whole) => *whole = folded,
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
fn fold(lower: &[Half; ROWS], upper: &[__m256; ROWS]) -> [f32; ROWS] {
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
    let mut folded = [0.0; 4];
    // SAFETY: writes four floats.
    unsafe { _mm_storeu_ps(folded.as_mut_ptr(), _mm_add_ps(even, odd)) };
    [folded[0], folded[1], folded[2]]
}

/// Brings a strip into a panel.
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<W: InHalves>(
    l: lanes::Avx2,
    weight: &Rows<'_, W>,
    panel: &mut [Weights<W::Kept>],
    units: usize,
) {
    let (lower, upper) = panel.split_at_mut(panel.len() / 2);
    let sheets = zip(lower.chunks_exact_mut(units), upper.chunks_exact_mut(units));
    for (sheet, (lower, upper)) in sheets.enumerate() {
        for r in 0..ROWS {
            let (whole, tail) = weight.row(sheet * ROWS + r);
            let last = fill_up(tail);
            for (at, unit) in whole
                .iter()
                .chain((!tail.is_empty()).then_some(&last))
                .enumerate()
            {
                prefetch::all_to_level(false, unit, AHEAD);
                let [low, high] = W::halves(l, unit);
                for s in 0..2 {
                    (lower[at][s][r], upper[at][s][r]) = (low[s], high[s]);
                }
            }
        }
    }
}
