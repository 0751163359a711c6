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

/// An octet of a token.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Piece {
    /// Quants of each group, by steps of four.
    pub q: [[[i8; 4]; 8]; OCTET],
    /// Scale of each group.
    pub d: [f32; OCTET],
    /// The same times [`ONES`], which is what a level whose sums begin with those takes off.
    pub ones: [f32; OCTET],
    /// What minimums meet: `f32`, of groups or of their halves. For formats
    /// without, what the level's sums need to know: [`Level::beside`].
    beside: [Beside; 2],
}

const _: () = assert!(size_of::<Piece>().is_multiple_of(64));

impl Piece {
    /// The quants of group `g` of the first of consecutive tokens, in a pointer that leads to
    /// all of them.
    #[inline(always)]
    pub fn quants(tokens: &[Piece], g: usize) -> *const [[i8; 4]; 8] {
        assert!(g < OCTET && !tokens.is_empty());
        const { assert!(offset_of!(Piece, q) == 0) }
        tokens.as_ptr().cast::<[[i8; 4]; 8]>().wrapping_add(g)
    }

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
    /// By octet and token.
    pieces: &'a [Piece],
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
        let count = tokens.len();
        let len = x.padded / OCTET_LEN * count;
        let pieces: &mut [Piece] =
            bytemuck::cast_slice_mut(buffer.resize(size_of::<Piece>() * len));
        for (t, token) in tokens.enumerate() {
            let row = x.row(token);
            let (d, xsum) = (row.d.as_chunks::<OCTET>().0, row.xsum.as_chunks().0);
            let sums = row.sums.as_chunks().0;
            let pieces = pieces.iter_mut().skip(t).step_by(count);
            for (o, piece) in pieces.enumerate() {
                let halves: &mut [[i8; 16]; 2 * OCTET] = bytemuck::cast_mut(&mut piece.q);
                for (half, index) in zip(halves.iter_mut(), 2 * OCTET * o..) {
                    *half = *row.half(index);
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
        Tokens { pieces, count }
    }

    /// Octet `octet` of `T` tokens from `first` on.
    #[inline(always)]
    pub fn octet<const T: usize>(&self, octet: usize, first: usize) -> &'a [Piece; T] {
        let here = &self.pieces[octet * self.count + first..];
        here.first_chunk().expect("tokens of the stretch")
    }
}
