//! Formats whose weights are entries of a codebook: IQ1, IQ2 and IQ3.
//!
//! An index of 8 to 11 bits stands for four or eight weights at once, which are found in
//! a table ([`grids`]); signs, where a table has magnitudes only, are bits of their own.
//! Those of eight weights are an even number in some formats, so that seven bits say
//! them.
//!
//! No instruction looks up a table of thousands of bytes, so entries are looked up one by
//! one, which takes longer than all else. Most kernels do not unpack these formats
//! themselves: rows are [`Expanded`] first, a few at a time, and what comes of it is a
//! format of bytes that all kernels know. All weights of a block are small integers times
//! sub-scales of 16.

pub mod grids;

use super::{Block, GROUP, Group, Minimum, blocks};
use crate::inlined::{self, zip};
use crate::prefetch;
use half::f16;
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

/// A codebook.
pub struct Book<E: 'static> {
    /// The entries.
    pub entries: &'static [E],
    /// The same, each the places of its values among the few that there are, see [`grids`].
    pub places: &'static [u16],
    /// Those values.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // lookups of AVX-512
    pub values: &'static [i8],
}

/// A block of 256 weights of a codebook format.
pub trait Codebook: bytemuck::AnyBitPattern {
    /// Four or eight values beside each other.
    type Entry: Entry;
    /// The codebook.
    const BOOK: Book<Self::Entry>;
    /// Whether values are not negative where there is a sign, but shifted down by one, and up
    /// by one where there is none. Signs are then of all eight or of none.
    const SHIFTED: bool = false;
    /// What a quant of one stands for, in scales; a power of two.
    const UNIT: f32;

    /// The scale, but for [`UNIT`](Self::UNIT).
    fn scale(&self) -> f16;

    /// The sub-scales of the first and the last 16 of weights `32 · group ..`.
    fn subscales(&self, group: usize) -> [i8; 2];

    /// The entries that weights `32 · group ..` have.
    fn indices(&self, group: usize) -> <Self::Entry as Entry>::Indices;

    /// Their signs: bit `j` of byte `i` is weight `8i + j`'s.
    fn signs(&self, group: usize) -> [u8; 4];
}

/// An entry of a codebook: values as bytes, the first lowest.
pub trait Entry: Copy + 'static {
    /// Those of 32 weights.
    type Indices: Copy;

    /// Looks up 32 weights.
    fn eights(entries: &[Self], indices: Self::Indices) -> [u64; 4];
}

/// Eight values.
impl Entry for u64 {
    type Indices = [u16; 4];

    #[inline(always)]
    fn eights(entries: &[u64], indices: [u16; 4]) -> [u64; 4] {
        inlined::map(indices, |index| entries[usize::from(index)])
    }
}

/// Four values.
impl Entry for u32 {
    type Indices = [u16; 8];

    #[inline(always)]
    fn eights(entries: &[u32], indices: [u16; 8]) -> [u64; 4] {
        let four = |i: usize| u64::from(entries[usize::from(indices[i])]);
        inlined::from_fn(|i| four(2 * i + 1) << 32 | four(2 * i))
    }
}

/// The quants of weights `32 · group ..`.
#[inline(always)]
pub fn quants<B: Codebook>(block: &B, group: usize) -> [i8; GROUP] {
    let mut eights = B::Entry::eights(B::BOOK.entries, block.indices(group));
    for (eight, signs) in zip(eights.iter_mut(), block.signs(group)) {
        *eight = match B::SHIFTED {
            true => shift(*eight, signs != 0),
            false => negate(*eight, signs),
        };
    }
    bytemuck::cast(inlined::map(eights, u64::to_le_bytes))
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
                Group {
                    q: super::codebook::quants(self, index),
                    s: self.subscales(index),
                    d: self.scale().to_f32() * <$block as Codebook>::UNIT,
                    m: [0.0; 2],
                }
            }
        }
    };
}

pub(super) use codebook_format;

/// How far ahead of the block in hand memory is asked for.
pub const AHEAD: usize = 4096;

/// Writes blocks of a format spelled out, as many as `out` holds.
pub fn expand<B: Codebook + Block>(bytes: &[u8], out: &mut [Expanded]) {
    const { assert!(B::LEN == Expanded::LEN && B::HALVES_APART) }
    for (block, out) in zip(blocks::<B>(bytes).iter(), out) {
        prefetch::all_to_level(false, std::slice::from_ref(block), AHEAD);
        out.d = (block.scale().to_f32() * B::UNIT).to_le_bytes();
        let q: &mut [[i8; GROUP]; 8] = bytemuck::cast_mut(&mut out.q);
        let s: &mut [[i8; 2]; 8] = bytemuck::cast_mut(&mut out.s);
        for (group, (q, s)) in zip(q, s).enumerate() {
            *q = quants(block, group);
            *s = block.subscales(group);
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

/// Magnitudes of IQ2.
const OF_IQ2: [i8; 3] = [8, 25, 43];

/// Codebooks of [`grids`], how their entries come from places, and values.
macro_rules! books {
    ($($(#[$doc:meta])* $book:ident: [$entry:ty; $len:literal] = $entries:ident of $values:expr;)*) => {$(
        $(#[$doc])*
        pub const $book: Book<$entry> = {
            static ENTRIES: [$entry; $len] = $entries(&grids::$book, $values);
            Book { entries: &ENTRIES, places: &grids::$book, values: &$values }
        };
    )*};
}

books! {
    /// The codebook of IQ2_XXS.
    IQ2_XXS: [u64; 256] = eights of OF_IQ2;
    /// The codebook of IQ2_XS.
    IQ2_XS: [u64; 512] = eights of OF_IQ2;
    /// The codebook of IQ2_S.
    IQ2_S: [u64; 1024] = eights of OF_IQ2;
    /// The codebook of IQ3_XXS.
    IQ3_XXS: [u32; 256] = fours of [4, 12, 20, 28, 36, 44, 52, 62];
    /// The codebook of IQ3_S.
    IQ3_S: [u32; 512] = fours of [1, 3, 5, 7, 9, 11, 13, 15];
    /// The codebook of IQ1_S and IQ1_M, in eighths, so that a shift of an eighth is 1.
    IQ1: [u64; 2048] = eights of [-8, 0, 8];
}

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

/// Bytes of one.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Eight magnitudes, none of which is zero, with signs of a bit each.
#[inline(always)]
fn negate(magnitudes: u64, signs: u8) -> u64 {
    let signs = SIGNS[usize::from(signs)];
    // −m is the complement of m, plus one, which only zero would carry on.
    (magnitudes ^ signs) + (signs & ONES)
}

/// Eight values, shifted up or down by one.
#[inline(always)]
fn shift(values: u64, down: bool) -> u64 {
    const TOP: u64 = 0x80 * ONES;
    let up = if down { 0 } else { 2 * ONES };
    // With the top bit turned over, bytes are numbers of 120 to 136: none carries.
    ((values ^ TOP) - ONES + up) ^ TOP
}

/// The signs of four times eight weights, of which each has the lower seven in `bits`, one
/// after the other, and an eighth that makes their number even.
#[inline(always)]
pub fn made_even(bits: u32) -> [u8; 4] {
    const SEVEN: u32 = 0x7f;
    let sevens =
        bits & SEVEN | bits << 1 & SEVEN << 8 | bits << 2 & SEVEN << 16 | bits << 3 & SEVEN << 24;
    even_bytes(sevens).to_le_bytes()
}

/// Bytes of seven bits, and an eighth that makes their number even.
#[inline(always)]
pub fn even_bytes(sevens: u32) -> u32 {
    // The lowest bit of each byte comes to be the sum of its bits; what comes into a byte
    // from the next one is above that.
    let odd = sevens ^ sevens >> 4;
    let odd = odd ^ odd >> 2;
    let odd = odd ^ odd >> 1;
    sevens | (odd & 0x0101_0101) << 7
}

/// The sub-scale that some bits of a number stand for: one more than twice as many.
#[inline(always)]
pub fn odd(bits: u32, range: Range<u32>) -> i8 {
    (2 * (bits >> range.start & ((1 << range.len()) - 1)) + 1) as i8
}

/// The sub-scales of both halves of a group, nibbles, the low one first.
#[inline(always)]
pub fn odd_nibbles(both: u8) -> [i8; 2] {
    [odd(both.into(), 0..4), odd(both.into(), 4..8)]
}
