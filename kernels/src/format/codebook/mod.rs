//! Formats whose weights are entries of a codebook: IQ1, IQ2 and IQ3.
//!
//! An index of 8 to 11 bits stands for four or eight weights at once, which are found in
//! a table ([`grids`]); signs, where a table has magnitudes only, are bits of their own.
//! Those of eight weights are an even number in some formats, so that seven bits say
//! them.
//!
//! No instruction looks up a table of thousands of bytes, so kernels do not unpack these
//! formats themselves: rows are [`Expanded`] first, a few at a time, by code that is the
//! same for all instruction sets, and what comes of it is a format of bytes that all
//! kernels know. All weights of a block are small integers times sub-scales of 16.

pub mod grids;

use super::{Block, GROUP, Group, Minimum, blocks};
use crate::inlined::{self, zip};
use std::ops::Range;

/// A block of 256 weights of any codebook format, spelled out.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Expanded {
    /// Scale, an `f32`.
    pub d: [u8; 4],
    /// Sub-scales of 16 weights each.
    pub s: [i8; 16],
    /// Quants, 16 for each sub-scale.
    pub q: [[i8; 16]; 16],
}

const _: () = assert!(size_of::<Expanded>() == 276);

impl Block for Expanded {
    const LEN: usize = 256;
    const OFFSET: u8 = 62;
    const MAX: u8 = 124;
    const SUBSCALES: bool = true;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let halves = 2 * index..2 * index + 2;
        let mut q = [0; GROUP];
        q.copy_from_slice(self.q[halves.clone()].as_flattened());
        Group {
            q,
            s: [self.s[halves.start], self.s[halves.start + 1]],
            d: f32::from_le_bytes(self.d),
            m: [0.0; 2],
        }
    }
}

/// A block of 256 weights of a codebook format.
pub trait Codebook: bytemuck::AnyBitPattern {
    /// The scale.
    fn scale(&self) -> f32;

    /// Weights `32 · index ..`: eight quants in each word, as bytes, the first lowest, and
    /// the sub-scales of the first and the last 16.
    fn eights(&self, index: usize) -> ([u64; 4], [i8; 2]);
}

/// The definition of a codebook format whose quants are at most so large.
macro_rules! codebook_format {
    ($block:ty, $most:literal) => {
        impl Block for $block {
            const LEN: usize = 256;
            const OFFSET: u8 = $most;
            const MAX: u8 = 2 * $most;
            const SUBSCALES: bool = true;
            const MINIMUM: Minimum = Minimum::None;

            #[inline(always)]
            fn group(&self, index: usize) -> Group {
                let (eights, s) = self.eights(index);
                Group {
                    q: bytemuck::cast(crate::inlined::map(eights, u64::to_le_bytes)),
                    s,
                    d: self.scale(),
                    m: [0.0; 2],
                }
            }
        }
    };
}

pub(super) use codebook_format;

/// Writes blocks of a format spelled out, as many as `out` holds.
#[inline(always)]
pub fn expand<B: Codebook + Block>(bytes: &[u8], out: &mut [Expanded]) {
    const { assert!(B::LEN == Expanded::LEN && B::HALVES_APART) }
    for (block, out) in zip(blocks::<B>(bytes).iter(), out) {
        out.d = block.scale().to_le_bytes();
        let q: &mut [[u8; GROUP]; 8] = bytemuck::cast_mut(&mut out.q);
        let s: &mut [[i8; 2]; 8] = bytemuck::cast_mut(&mut out.s);
        for (index, q) in q.iter_mut().enumerate() {
            let (eights, subscales) = block.eights(index);
            *q = bytemuck::cast(inlined::map(eights, u64::to_le_bytes));
            s[index] = subscales;
        }
    }
}

/// Eight values of each entry, as bytes, the first lowest.
const fn eights<const N: usize>(entries: &[u16; N], values: [i8; 3]) -> [u64; N] {
    let mut grid = [0; N];
    let mut n = 0;
    while n < N {
        let mut i = 0;
        while i < 8 {
            let value = values[(entries[n] >> (2 * i) & 3) as usize];
            grid[n] |= (value as u8 as u64) << (8 * i);
            i += 1;
        }
        n += 1;
    }
    grid
}

/// Four values of each entry, as bytes, the first lowest.
const fn fours<const N: usize>(entries: &[u16; N], values: [i8; 8]) -> [u32; N] {
    let mut grid = [0; N];
    let mut n = 0;
    while n < N {
        let mut i = 0;
        while i < 4 {
            let value = values[(entries[n] >> (3 * i) & 7) as usize];
            grid[n] |= (value as u8 as u32) << (8 * i);
            i += 1;
        }
        n += 1;
    }
    grid
}

/// Magnitudes of the formats of two bits.
const OF_TWO_BITS: [i8; 3] = [8, 25, 43];

/// The codebook of IQ2_XXS.
pub static IQ2_XXS: [u64; 256] = eights(&grids::IQ2_XXS, OF_TWO_BITS);
/// The codebook of IQ2_XS.
pub static IQ2_XS: [u64; 512] = eights(&grids::IQ2_XS, OF_TWO_BITS);
/// The codebook of IQ2_S.
pub static IQ2_S: [u64; 1024] = eights(&grids::IQ2_S, OF_TWO_BITS);
/// The codebook of IQ3_XXS.
pub static IQ3_XXS: [u32; 256] = fours(&grids::IQ3_XXS, [4, 12, 20, 28, 36, 44, 52, 62]);
/// The codebook of IQ3_S.
pub static IQ3_S: [u32; 512] = fours(&grids::IQ3_S, [1, 3, 5, 7, 9, 11, 13, 15]);
/// The codebook of IQ1_S and IQ1_M, in eighths, so that a shift of an eighth is 1.
pub static IQ1: [u64; 2048] = eights(&grids::IQ1, [-8, 0, 8]);

/// Bytes of eight weights whose bit of the index is set.
static SIGNS: [u64; 256] = signs();

const fn signs() -> [u64; 256] {
    let mut signs = [0; 256];
    let mut n = 0;
    while n < signs.len() {
        let mut i = 0;
        while i < 8 {
            signs[n] |= (0xff * (n as u64 >> i & 1)) << (8 * i);
            i += 1;
        }
        n += 1;
    }
    signs
}

/// The same for seven bits, which the eighth makes even.
static EVEN_SIGNS: [u64; 128] = even_signs();

const fn even_signs() -> [u64; 128] {
    let mut even = [0; 128];
    let mut n = 0;
    while n < even.len() {
        even[n] = SIGNS[n | (n.count_ones() as usize & 1) << 7];
        n += 1;
    }
    even
}

/// Bytes of one.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Eight magnitudes, none of which is zero, negative where `signs` has a byte.
#[inline(always)]
fn negate(magnitudes: u64, signs: u64) -> u64 {
    // −m is the complement of m, plus one, which only zero would carry on.
    (magnitudes ^ signs) + (signs & ONES)
}

/// Eight magnitudes with signs of a bit each.
#[inline(always)]
pub fn signed(magnitudes: u64, signs: u8) -> u64 {
    negate(magnitudes, SIGNS[usize::from(signs)])
}

/// Eight magnitudes with signs of seven bits for eight: four such beside each other, of
/// which this is the one at `place`.
#[inline(always)]
pub fn signed_evenly(magnitudes: u64, signs: u32, place: usize) -> u64 {
    negate(
        magnitudes,
        EVEN_SIGNS[(signs >> (7 * place) & 127) as usize],
    )
}

/// Two entries of four values beside each other.
#[inline(always)]
pub fn beside(first: u32, last: u32) -> u64 {
    u64::from(last) << 32 | u64::from(first)
}

/// An entry of [`IQ1`], shifted up or down by an eighth.
#[inline(always)]
pub fn shifted(index: u16, down: bool) -> u64 {
    const TOP: u64 = 0x80 * ONES;
    let up = if down { 0 } else { 2 * ONES };
    // With the top bit turned over, bytes are numbers of 120 to 136: none carries.
    ((IQ1[usize::from(index)] ^ TOP) - ONES + up) ^ TOP
}

/// The sub-scale that some bits of a number stand for: one more than twice as many.
#[inline(always)]
pub fn odd(bits: u32, range: Range<u32>) -> i8 {
    (2 * (bits >> range.start & ((1 << range.len()) - 1)) + 1) as i8
}
