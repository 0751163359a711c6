//! Activations as tiles read them: what belongs to an octet of a token in one
//! piece, and those of consecutive tokens behind each other, so that one
//! pointer leads to all of a tile.

use super::level::Level;
use super::octet::{Octets, halves_times};
use super::vector::*;
use crate::activation::{Int8Rows, OCTET, OCTET_LEN, ONES};
use crate::format::Minimum;
use crate::inlined::{self, zip};
use crate::lines::Lines;
use bytemuck::{Pod, Zeroable};
use std::arch::x86_64::*;
use std::mem::offset_of;
use std::ops::Range;

/// A value for each group, as bits.
pub type Beside = [u32; OCTET];

/// The quants of an octet as tiles read them.
pub trait Arranged: Pod {
    /// Puts the 32 quants of group `g`.
    fn put(&mut self, g: usize, quants: __m256i);
}

/// Of each group, steps of four.
pub type AsBytes = [[[i8; 4]; 8]; OCTET];

impl Arranged for AsBytes {
    #[inline(always)]
    fn put(&mut self, g: usize, quants: __m256i) {
        self[g] = bytemuck::cast(quants);
    }
}

/// Of each group, steps of two: [`words`].
pub type AsWords = [[[i16; 2]; 16]; OCTET];

impl Arranged for AsWords {
    #[inline(always)]
    fn put(&mut self, g: usize, quants: __m256i) {
        // SAFETY: there are tokens only where there is a level, which has AVX2.
        self[g] = bytemuck::cast(unsafe { words(quants) });
    }
}

/// Signed bytes as `i16`: of each four the first and the third, then the second and the fourth.
#[inline]
#[target_feature(enable = "avx2")]
pub fn words(bytes: __m256i) -> [__m256i; 2] {
    let first = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
    [first, _mm256_srai_epi16(bytes, 8)]
}

/// An octet of a token.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
pub struct Piece<Q> {
    /// Quants.
    pub q: Q,
    /// Scale of each group.
    pub d: [f32; OCTET],
    /// The same times [`ONES`], which is what a level whose sums begin with those takes off.
    pub ones: [f32; OCTET],
    /// What minimums meet: `f32`, of groups or of their halves. For formats
    /// without, what the level's sums need to know: [`Level::beside`].
    beside: [Beside; 2],
}

// SAFETY: `repr(C)`, its fields hold any bits, and there is no padding between or after them:
// their sizes add up to its own, which is whole lines.
unsafe impl<Q: Arranged> Pod for Piece<Q> {}

const _: () = {
    let beside_quants = 2 * size_of::<[f32; OCTET]>() + size_of::<[Beside; 2]>();
    assert!(size_of::<Piece<AsBytes>>() == size_of::<AsBytes>() + beside_quants);
    assert!(size_of::<Piece<AsWords>>() == size_of::<AsWords>() + beside_quants);
    assert!(size_of::<Piece<AsBytes>>().is_multiple_of(64));
    assert!(size_of::<Piece<AsWords>>().is_multiple_of(64));
};

impl Piece<AsWords> {
    /// The quants of group `g` of the first of consecutive tokens, in a pointer that leads to
    /// all of them.
    #[inline(always)]
    pub fn quants(tokens: &[Self], g: usize) -> *const [[i16; 2]; 16] {
        assert!(g < OCTET && !tokens.is_empty());
        const { assert!(offset_of!(Self, q) == 0) }
        tokens.as_ptr().cast::<[[i16; 2]; 16]>().wrapping_add(g)
    }
}

impl<Q> Piece<Q> {
    /// What minimum `half` of group `g` is multiplied with.
    #[inline(always)]
    pub fn xsum(&self, half: usize, g: usize) -> f32 {
        f32::from_bits(self.beside[half][g])
    }

    /// What [`Level::beside`] said of group `g`.
    #[inline(always)]
    pub fn beside(&self, index: usize, g: usize) -> i32 {
        self.beside[index][g].cast_signed()
    }
}

/// The bits of [`ONES`], to which integers may be added that count ones.
#[inline]
#[target_feature(enable = "avx2")]
pub fn ones() -> __m256i {
    _mm256_castps_si256(_mm256_set1_ps(ONES))
}

/// What integer sums of groups, or of halves that are apart, begin with or have added to them:
/// what quants raised by `offset` add to them, negative, and [`ones`]. So they end as the bits of
/// floats, of which one multiply-add makes their exact product with a scale.
#[inline]
#[target_feature(enable = "avx2")]
pub fn begin<B: Octets>(sums: __m256i, offset: u8) -> [__m256i; 2] {
    let offset = -i16::from(offset);
    let raised = if B::HALVES_APART {
        halves_times(sums, offset)
    } else {
        [_mm256_madd_epi16(sums, _mm256_set1_epi16(offset)); 2]
    };
    inlined::map(raised, |raised| _mm256_add_epi32(raised, ones()))
}

/// A stretch of tokens.
pub struct Tokens<'a> {
    /// Pieces, by octet and token.
    pieces: &'a [u8],
    count: usize,
}

impl<'a> Tokens<'a> {
    /// Arranges the activations of `tokens`.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub fn arrange<L: Level, B: Octets>(
        l: L,
        x: Int8Rows<'_>,
        tokens: Range<usize>,
        buffer: &'a mut Lines<u8>,
    ) -> Tokens<'a> {
        match L::multiplies_words::<B>() {
            false => Self::arrange_as::<L, B, AsBytes>(l, x, tokens, buffer),
            true => Self::arrange_as::<L, B, AsWords>(l, x, tokens, buffer),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn arrange_as<L: Level, B: Octets, Q: Arranged>(
        l: L,
        x: Int8Rows<'_>,
        tokens: Range<usize>,
        buffer: &'a mut Lines<u8>,
    ) -> Tokens<'a> {
        let count = tokens.len();
        let len = x.padded / OCTET_LEN * count;
        let bytes = buffer.resize(size_of::<Piece<Q>>() * len);
        let pieces: &mut [Piece<Q>] = bytemuck::cast_slice_mut(bytes);
        for (t, token) in tokens.enumerate() {
            let row = x.row(token);
            let (d, xsum) = (row.d.as_chunks::<OCTET>().0, row.xsum.as_chunks().0);
            let sums = row.sums.as_chunks().0;
            let pieces = pieces.iter_mut().skip(t).step_by(count);
            for (o, piece) in pieces.enumerate() {
                for g in 0..OCTET {
                    let index = 2 * (OCTET * o + g);
                    let [first, last] = [row.half(index), row.half(index + 1)];
                    let quants = load_pair(bytemuck::cast_ref(first), bytemuck::cast_ref(last));
                    piece.q.put(g, quants);
                }
                piece.d = d[o];
                let ones = _mm256_mul_ps(load_f32(&d[o]), _mm256_set1_ps(ONES));
                store_f32(&mut piece.ones, ones);
                let sums = load_i16(&sums[o]);
                match B::MINIMUM {
                    // SAFETY: this function has the features.
                    Minimum::None => unsafe { l.beside::<B>(sums, &mut piece.beside) },
                    Minimum::Per32 => piece.beside[0] = bytemuck::cast::<[f32; OCTET], _>(xsum[o]),
                    Minimum::Per16 => {
                        for (beside, sums) in zip(piece.beside.iter_mut(), widen_pairs(sums)) {
                            let sums = _mm256_cvtepi32_ps(sums);
                            let xsum = _mm256_mul_ps(load_f32(&d[o]), sums);
                            store_f32(bytemuck::cast_mut(beside), xsum);
                        }
                    }
                }
            }
        }
        Tokens {
            pieces: bytes,
            count,
        }
    }

    /// Octet `octet` of `T` tokens from `first` on.
    #[inline(always)]
    pub fn octet<Q: Arranged, const T: usize>(
        &self,
        octet: usize,
        first: usize,
    ) -> &'a [Piece<Q>; T] {
        let pieces: &[Piece<Q>] = bytemuck::cast_slice(self.pieces);
        let here = &pieces[octet * self.count + first..];
        here.first_chunk().expect("tokens of the stretch")
    }
}
