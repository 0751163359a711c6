//! Codebook formats: octets are looked up as [`avx2::codebooks`](crate::matmul::avx2) says,
//! or in [registers](super::lookup). One token meets them as rows are read; for more, and for
//! panels, they are kept in memory as they are in registers, so that no other kernel is
//! compiled for each of these formats.

use super::blocks_of_32::steps_of_bytes;
use super::octet::{Octet, Octets};
use super::super_blocks::by_half;
use super::vector::*;
use crate::format::{Block, Expanded, GROUP, Group, Minimum};
use crate::inlined::{from_fn, zip};
use crate::matmul::avx2::super_blocks::one;
use crate::matmul::avx2::vector::{load_half, store_half};
use crate::matmul::avx2::{Found, Reading, Vectors};
use bytemuck::{Pod, Zeroable};
use std::arch::x86_64::*;

/// An octet of a codebook format as it is in registers: an [`Expanded`] block in lane order.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Unpacked {
    /// Quants, raised.
    q: [[u8; 64]; 4],
    /// Sub-scales.
    s: [i8; 16],
    /// The scale, an `f32`.
    d: [u8; 4],
    /// All in whole cache lines.
    rest: [[u8; 4]; 11],
}

const _: () = assert!(size_of::<Unpacked>() == 320);

impl Block for Unpacked {
    const LEN: usize = Expanded::LEN;
    const OFFSET: u8 = Expanded::OFFSET;
    const MAX: u8 = Expanded::MAX;
    const SUBSCALES: bool = true;
    const MINIMUM: Minimum = Minimum::None;

    fn group(&self, index: usize) -> Group {
        let raised = |i: usize| self.q[i % 16 / 4][4 * (8 * (i / 16) + index) + i % 4];
        Group {
            q: from_fn::<_, GROUP>(|i| raised(i).wrapping_sub(Self::RAISED_BY as u8) as i8),
            s: [self.s[index], self.s[8 + index]],
            d: f32::from_le_bytes(self.d),
            m: [0.0; 2],
        }
    }
}

impl Octets for Unpacked {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
    unsafe fn octet(blocks: &[Self]) -> Octet {
        let b = one(blocks);
        let s = load_half(bytemuck::cast_ref(&b.s));
        let d = _mm256_set1_ps(f32::from_le_bytes(b.d));
        Octet::new(from_fn(|step| load(&b.q[step])), d).with_subscales(_mm512_cvtepi8_epi32(s))
    }
}

impl Unpacked {
    /// Keeps an octet, all of whose groups have one scale.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl")]
    pub fn keep(&mut self, octet: &Octet) {
        for (to, q) in zip(self.q.iter_mut(), octet.q) {
            store(to, q);
        }
        store_half(
            bytemuck::cast_mut(&mut self.s),
            _mm512_cvtepi32_epi8(octet.s),
        );
        self.d = _mm256_cvtss_f32(octet.d).to_le_bytes();
    }
}

/// The kernels of a module with `Blocks` of formats, for these instructions.
macro_rules! kernels {
    ($features:tt, $($formats:tt)*) => {
        /// Multiplies a strip with one token as blocks are looked up; `near`: where to have
        /// what is asked for, in the first-level cache or in the second.
        #[target_feature(enable = $features)]
        pub fn one_token<B: $($formats)*>(
            weight: crate::matmul::Matrix<'_>,
            x: crate::activation::Int8Rows<'_>,
            near: bool,
            out: &mut crate::team::TileMut<'_>,
            panel: &mut crate::matmul::panel::Panel,
        ) {
            use super::{codebooks::Unpacked, in_place::lay_out, token::InLanes};
            use crate::{format, matmul::avx2::vector::fold};
            let (octets, row) = (0..weight.cols() / B::LEN, out.rows().start);
            let x = lay_out::<Unpacked, 1>(x, 0, octets, &mut panel.x, InLanes::of);
            let mut blocks = Blocks::new(format::blocks::<B>(weight.bytes()));
            for out in out.row(row) {
                let mut acc = _mm256_setzero_ps();
                for [x] in x {
                    acc = x.add::<Unpacked>(&blocks.next(near), acc);
                }
                *out = fold(acc);
            }
        }

        /// Looks up blocks, as many as `out` holds.
        #[target_feature(enable = $features)]
        pub fn expand<B: $($formats)*>(bytes: &[u8], out: &mut [super::codebooks::Unpacked]) {
            let mut blocks = Blocks::new(crate::format::blocks::<B>(bytes));
            for out in out {
                out.keep(&blocks.next(false));
            }
        }
    };
}

pub(super) use kernels;

/// The octets of a matrix one after the other.
struct Blocks<'a, B: Vectors>(Reading<'a, B>);

impl<'a, B: Vectors> Blocks<'a, B> {
    /// From the first block on.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    fn new(all: &'a [B]) -> Self {
        Blocks(Reading::new(all))
    }

    /// Looks a block up; `near`: see [`Reading::next`].
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c,avx2,fma")]
    fn next(&mut self, near: bool) -> Octet {
        let (found, scales) = self.0.next(near);
        octet::<B>(found, scales)
    }
}

kernels! { "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c", Vectors }

/// Looks a block up.
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c,avx2,fma")]
fn octet<B: Vectors>(found: &Found<B::Entry>, (d, subscales): (f32, __m128i)) -> Octet {
    let raise = _mm512_set1_epi8(Unpacked::RAISED_BY as i8);
    let mut two = [raise; 4];
    for (pair, two) in two.iter_mut().enumerate() {
        // SAFETY: this function has AVX2.
        let [a, b] = unsafe { [found.group::<B>(2 * pair), found.group::<B>(2 * pair + 1)] };
        let values = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
        let signs = found.signs_of_two(pair);
        let raised = _mm512_add_epi8(values, raise);
        *two = match B::SHIFTED {
            true => {
                let up = _mm512_add_epi8(raised, _mm512_set1_epi8(1));
                _mm512_mask_sub_epi8(up, signs, up, _mm512_set1_epi8(2))
            }
            false => _mm512_mask_sub_epi8(raised, signs, raise, values),
        };
    }
    let s = _mm512_cvtepi8_epi32(by_half(subscales));
    Octet::new(steps_of_bytes(two), _mm256_set1_ps(d)).with_subscales(s)
}
