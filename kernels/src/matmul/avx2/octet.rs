//! Eight groups of a row in registers.

use super::level::Level;
use super::vector::*;
use crate::activation::{Int8Row, OCTET, OCTET_LEN, half_offset};
use crate::format::{Block, GROUP, Minimum};
use crate::inlined::zip;
use std::arch::x86_64::*;

/// Eight groups of a row, unpacked.
///
/// What a format does not have (minimums, sub-scales) is left zero and costs
/// nothing once inlined.
#[derive(Clone, Copy)]
pub struct Octet {
    /// Quants in the paired order of [`crate::activation`]: `q[2p]` holds the
    /// first halves of groups `p` and `p + 4`, `q[2p + 1]` the last halves.
    /// Unsigned, with the format's offset, up to 7 bits; signed beyond.
    pub q: [__m256i; 8],
    /// Scale of each group.
    pub d: __m256,
    /// Minimums of the first and the last halves of each group.
    pub m: [__m256; 2],
    /// Sub-scales as `i16`, in the order of the halves.
    pub s: __m256i,
}

impl Octet {
    /// Quants and scales; no minimums, no sub-scales.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn new(q: [__m256i; 8], d: __m256) -> Octet {
        Octet {
            q,
            d,
            m: [_mm256_setzero_ps(); 2],
            s: _mm256_setzero_si256(),
        }
    }

    /// With one minimum for each group.
    #[inline]
    pub fn with_minimum(self, m: __m256) -> Octet {
        Octet { m: [m; 2], ..self }
    }

    /// With minimums for the halves of each group.
    #[inline]
    pub fn with_minimums(self, m: [__m256; 2]) -> Octet {
        Octet { m, ..self }
    }

    /// With sub-scales.
    #[inline]
    pub fn with_subscales(self, s: __m256i) -> Octet {
        Octet { s, ..self }
    }
}

/// How the quants of a format are multiplied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Quants {
    /// Unsigned, at most 15.
    Bits4,
    /// Unsigned, at most 31.
    Bits5,
    /// Unsigned, at most 63.
    Bits6,
    /// Unsigned, at most 127; of formats whose halves are apart.
    Bits7,
    /// Signed bytes.
    Bits8,
}

/// A format whose blocks can be brought into registers.
pub trait Octets: Block {
    /// Blocks in an octet.
    const BLOCKS: usize = OCTET_LEN / Self::LEN;

    /// How the quants are multiplied.
    const QUANTS: Quants = match Self::MAX {
        0..=15 => Quants::Bits4,
        16..=31 => Quants::Bits5,
        32..=63 => Quants::Bits6,
        64..=127 if Self::HALVES_APART => Quants::Bits7,
        _ => Quants::Bits8,
    };

    /// Unpacks an octet; `blocks` holds [`Octets::BLOCKS`] of them.
    ///
    /// # Safety
    ///
    /// The processor has AVX2, FMA and F16C.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        octet_of_groups(blocks)
    }
}

/// Unpacks any format, by its definition; slow.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn octet_of_groups<B: Octets>(blocks: &[B]) -> Octet {
    let offset = if B::QUANTS == Quants::Bits8 {
        0
    } else {
        B::OFFSET
    };
    let (mut q, mut s) = ([0; OCTET_LEN], [0; 2 * OCTET]);
    let (mut d, mut m) = ([0.0; OCTET], [[0.0; OCTET]; 2]);
    let groups_per_block = B::LEN / GROUP;
    for g in 0..OCTET {
        let group = blocks[g / groups_per_block].group(g % groups_per_block);
        for (half, quants) in group.q.chunks_exact(16).enumerate() {
            let q = &mut q[half_offset(2 * g + half)..][..16];
            for (q, quant) in zip(q.iter_mut(), quants) {
                *q = quant.wrapping_add_unsigned(offset) as u8;
            }
            s[2 * g + half] = i16::from(group.s[half]);
            m[half][g] = group.m[half];
        }
        d[g] = group.d;
    }
    let mut vectors = [_mm256_setzero_si256(); 8];
    for (vector, bytes) in zip(vectors.iter_mut(), q.as_chunks().0) {
        *vector = load(bytes);
    }
    Octet {
        q: vectors,
        d: load_f32(&d),
        m: [load_f32(&m[0]), load_f32(&m[1])],
        s: load_i16(&s),
    }
}

/// Unpacks fewer blocks than make an octet, as if zero blocks followed.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn zero_padded<B: Octets>(rest: &[B]) -> Octet {
    let mut padded = [B::zeroed(); OCTET];
    padded[..rest.len()].copy_from_slice(rest);
    // SAFETY: this function has the features.
    unsafe { B::octet(&padded[..B::BLOCKS]) }
}

/// All bits set in the first `count` lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn first_lanes(count: usize) -> __m256 {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes))
}

/// Quantized activations of a row, cut into octets.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Quants in paired order.
    pub q: &'a [[i8; OCTET_LEN]],
    /// Scale of each group.
    pub d: &'a [[f32; OCTET]],
    /// `d · Σ q` of each group.
    pub xsum: &'a [[f32; OCTET]],
    /// `Σ q` of each half.
    pub sums: &'a [[i16; 2 * OCTET]],
}

impl<'a> Row<'a> {
    /// Cuts a row, which is a whole number of octets.
    #[inline]
    pub fn new(row: Int8Row<'a>) -> Row<'a> {
        Row {
            q: row.q.as_chunks().0,
            d: row.d.as_chunks().0,
            xsum: row.xsum.as_chunks().0,
            sums: row.sums.as_chunks().0,
        }
    }

    /// An empty row.
    pub const EMPTY: Row<'static> = Row {
        q: &[],
        d: &[],
        xsum: &[],
        sums: &[],
    };
}

/// Adds the products of an octet with octet `o` of a row to its eight partial
/// sums.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub fn add<L: Level, B: Octets>(l: L, w: &Octet, x: &Row<'_>, o: usize, acc: __m256) -> __m256 {
    if B::HALVES_APART {
        return add_halves::<L, B>(l, w, x, o, acc);
    }
    // SAFETY: this function has the features.
    let isums = unsafe { l.dot::<B>(w, &x.q[o], load_i16(&x.sums[o])) };
    add_sums::<B>(w, x, o, isums, acc)
}

/// The same, if halves are apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_halves<L: Level, B: Octets>(
    l: L,
    w: &Octet,
    x: &Row<'_>,
    o: usize,
    mut acc: __m256,
) -> __m256 {
    let dx = load_f32(&x.d[o]);
    // SAFETY: this function has the features.
    let isums = unsafe { l.halves(w, &x.q[o]) };
    let raised = halves_times(load_i16(&x.sums[o]), i16::from(B::OFFSET));
    let scales = scales_of_halves(w.d, w.s);
    for half in 0..2 {
        let isum = _mm256_cvtepi32_ps(_mm256_sub_epi32(isums[half], raised[half]));
        acc = _mm256_fmadd_ps(scales[half], _mm256_mul_ps(dx, isum), acc);
    }
    acc
}

/// The first and the last of pairs, times an offset.
#[inline]
#[target_feature(enable = "avx2")]
pub fn halves_times(pairs: __m256i, offset: i16) -> [__m256i; 2] {
    let offset = i32::from(offset);
    [
        _mm256_madd_epi16(pairs, _mm256_set1_epi32(offset & 0xffff)),
        _mm256_madd_epi16(pairs, _mm256_set1_epi32(offset << 16)),
    ]
}

/// Scales of the first and the last halves of groups, from pairs of sub-scales.
#[inline]
#[target_feature(enable = "avx2")]
pub fn scales_of_halves(d: __m256, pairs: __m256i) -> [__m256; 2] {
    let [first, last] = widen_pairs(pairs);
    [
        _mm256_mul_ps(d, _mm256_cvtepi32_ps(first)),
        _mm256_mul_ps(d, _mm256_cvtepi32_ps(last)),
    ]
}

/// Adds the integer sums of an octet, scaled, and what minimums contribute.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_sums<B: Octets>(w: &Octet, x: &Row<'_>, o: usize, isums: __m256i, acc: __m256) -> __m256 {
    let sums = load_i16(&x.sums[o]);
    let dx = load_f32(&x.d[o]);
    let acc = _mm256_fmadd_ps(w.d, _mm256_mul_ps(dx, _mm256_cvtepi32_ps(isums)), acc);
    match B::MINIMUM {
        Minimum::None => acc,
        Minimum::Per32 => _mm256_fmadd_ps(w.m[0], load_f32(&x.xsum[o]), acc),
        Minimum::Per16 => {
            let [low, high] = widen_pairs(sums);
            let acc = _mm256_fmadd_ps(w.m[0], _mm256_mul_ps(dx, _mm256_cvtepi32_ps(low)), acc);
            _mm256_fmadd_ps(w.m[1], _mm256_mul_ps(dx, _mm256_cvtepi32_ps(high)), acc)
        }
    }
}

/// The sums of the groups whose four sums each stand in the lanes of four
/// pairs, in their order.
#[inline]
#[target_feature(enable = "avx2")]
pub fn quad(pairs: [__m256i; 4]) -> __m256i {
    let low = halve_i32(pairs[0], pairs[1]);
    let high = halve_i32(pairs[2], pairs[3]);
    quarter_i32(low, high)
}

/// The sub-scales that `q[i]` of an octet is multiplied with.
#[inline]
#[target_feature(enable = "avx2")]
pub fn subscale(s: __m256i, i: usize) -> __m256i {
    let place = _mm256_set1_epi16((0x0202 * i + 0x0100) as i16);
    _mm256_shuffle_epi8(s, constant(place))
}
