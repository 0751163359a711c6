//! Eight groups of a row in registers, in lane order.
//!
//! ```text
//! lane     0        1            7        8        9           15
//!      ┌────────┬────────┬ ┄ ┬────────┬────────┬────────┬ ┄ ┬────────┐
//! q[0] │ g0 0┄3 │ g1 0┄3 │   │ g7 0┄3 │g0 16┄19│g1 16┄19│   │g7 16┄19│
//! q[1] │ g0 4┄7 │ g1 4┄7 │   │ g7 4┄7 │g0 20┄23│   ┄
//! q[2] │ g0 8┄11│   ┄
//! q[3] │g0 12┄15│   ┄                               weights of groups 0 to 7
//!      └────────┴
//! ```
//!
//! Lane `8h + g` of step `i` takes a word of 32 bits of the file, the same for
//! all formats but for which word and which bits of it: see [`Words`].
//!
//! Where nothing needs the halves of a group apart and their nibbles share bytes,
//! quants come in word order instead, which takes half as many permutations and
//! shifts: both halves of two steps are the nibbles of one vector.
//!
//! ```text
//!      ┌────────┬────────┬ ┄ ┬────────┬────────┬────────┬ ┄ ┬────────┐
//! q[0] │ g0 0┄3 │ g1 0┄3 │   │ g7 0┄3 │ g0 4┄7 │ g1 4┄7 │   │ g7 4┄7 │
//! q[1] │g0 16┄19│g1 16┄19│   │g7 16┄19│g0 20┄23│g1 20┄23│   │g7 20┄23│
//! q[2] │ g0 8┄11│   ┄
//! q[3] │g0 24┄27│   ┄
//!      └────────┴
//! ```

use super::vector::*;
use crate::activation::{OCTET, OCTET_LEN};
use crate::format::{Block, GROUP, Minimum};
use crate::inlined::{self, zip};
use crate::prefetch;
use std::arch::x86_64::*;

/// A value for each lane.
pub type PerLane<T> = [T; 16];

/// Eight groups of a row, unpacked.
///
/// What a format does not have (minimums, sub-scales) is left zero and costs
/// nothing once inlined.
#[derive(Clone, Copy)]
pub struct Octet {
    /// Quants in lane order, unsigned: raised by [`Octets::RAISED_BY`] if the format's
    /// are signed.
    pub q: [__m512i; 4],
    /// Scale of each group.
    pub d: __m256,
    /// Minimums of the first and the last halves of each group.
    pub m: [__m256; 2],
    /// Sub-scales as `i32`.
    pub s: __m512i,
}

impl Octet {
    /// Quants and scales; no minimums, no sub-scales.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn new(q: [__m512i; 4], d: __m256) -> Octet {
        Octet {
            q,
            d,
            m: [_mm256_setzero_ps(); 2],
            s: _mm512_setzero_si512(),
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
    pub fn with_subscales(self, s: __m512i) -> Octet {
        Octet { s, ..self }
    }

    /// With the groups from `groups` on as if they were not there.
    ///
    /// Their scales and minimums become −0, and so do their products with the
    /// zeros that activations are padded with; −0 is what can be added to any
    /// number without changing its bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    fn cut(self, groups: usize) -> Octet {
        let absent = !0_u8 << groups;
        let nothing = _mm256_set1_ps(-0.0);
        let mut m = self.m;
        for m in &mut m {
            *m = _mm256_mask_mov_ps(*m, absent, nothing);
        }
        let d = _mm256_mask_mov_ps(self.d, absent, nothing);
        Octet { d, m, ..self }
    }
}

/// The lower halves of two vectors side by side, and the upper halves.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn halves_beside(a: __m512i, b: __m512i) -> [__m512i; 2] {
    [
        _mm512_inserti64x4(a, _mm512_castsi512_si256(b), 1),
        _mm512_shuffle_i64x2(a, b, 0b11_10_11_10),
    ]
}

/// A format whose blocks can be brought into registers in lane order.
pub trait Octets: Block {
    /// Blocks in an octet.
    const BLOCKS: usize = OCTET_LEN / Self::LEN;

    /// Whether quants come in word order.
    const BY_WORDS: bool = false;

    /// Quants are raised by this, a power of two; 0 if they are unsigned.
    const RAISED_BY: i32 = match Self::OFFSET {
        0 => 0,
        offset => offset.next_power_of_two() as i32,
    };

    /// Minimums of a group.
    const MINIMUMS: usize = match Self::MINIMUM {
        Minimum::None => 0,
        Minimum::Per32 => 1,
        Minimum::Per16 => 2,
    };

    /// What is added to the quants, or products, of panels.
    const PANEL_OFFSET: i32 = match Self::PRODUCT_OFFSET {
        Some(offset) => offset as i32,
        None => Self::RAISED_BY,
    };

    /// Unpacks an octet; `blocks` holds [`Octets::BLOCKS`] of them.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512 F, BW, DQ, VL and F16C.
    unsafe fn octet(blocks: &[Self]) -> Octet;
}

/// How far ahead of the blocks in hand memory is asked for. Measured on Zen 4, one page
/// is too near (a third slower on one core) and four are no better than two; on Zen 5,
/// one is up to a tenth slower.
pub const AHEAD: usize = 8192;

/// Unpacks an octet of rows that are read one after the other, and asks for what
/// is read later.
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
pub fn next_octet<B: Octets>(blocks: &[B], near: bool) -> Octet {
    octet_and_ask(blocks, AHEAD, near)
}

/// Unpacks an octet, and asks for what lies so many bytes ahead, to be in the first-level
/// cache (`near`) or in the second: see [`prefetch::prefers_first_level`]. (To find that
/// out here, each time, made reading from a cache an eighth slower for one token, and 8 %
/// for eight of Q6_K. Where several tokens meet bundles and where panels are unpacked it
/// costs up to 3 %, and the code that would be compiled twice is an eighth of this crate's.)
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
pub fn octet_and_ask<B: Octets>(blocks: &[B], ahead: usize, near: bool) -> Octet {
    prefetch::all_to_level(near, blocks, ahead);
    // SAFETY: this function has the features.
    unsafe { B::octet(blocks) }
}

/// Unpacks the last octet of a row, `count` blocks that are fewer than an octet
/// has.
///
/// What follows them in `blocks` fills the octet up and is cut off; at the end
/// of the matrix, zero blocks do.
#[inline]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,f16c")]
pub fn last_octet<B: Octets>(blocks: &[B], count: usize) -> Octet {
    let mut zeros;
    let blocks = match blocks.get(..B::BLOCKS) {
        Some(blocks) => blocks,
        None => {
            zeros = [B::zeroed(); OCTET];
            zero_padded(&blocks[..count], &mut zeros)
        }
    };
    // SAFETY: this function has the features.
    let octet = unsafe { B::octet(blocks) };
    octet.cut(count * B::LEN / GROUP)
}

/// Fewer blocks than make an octet, and the zero blocks after them.
#[cold]
#[inline(never)]
fn zero_padded<'a, B: Octets>(blocks: &[B], zeros: &'a mut [B; OCTET]) -> &'a [B] {
    zeros[..blocks.len()].copy_from_slice(blocks);
    &zeros[..B::BLOCKS]
}

/// Which word of the file each lane of the four steps takes.
///
/// Step `i` takes the `i`th word after that of step 0, in every format.
pub struct Words(PerLane<u32>);

impl Words {
    /// Word `of_group[g] + h · of_half` for half `h` of group `g`.
    pub const fn new(of_group: [u32; OCTET], of_half: u32) -> Words {
        Words(per_lane(of_group, [0, of_half]))
    }

    /// From 16 words.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn of(&self, words: __m512i) -> [__m512i; 4] {
        let mut steps = [words; 4];
        for (i, step) in steps.iter_mut().enumerate() {
            *step = _mm512_permutexvar_epi32(self.step(i), words);
        }
        steps
    }

    /// From 32 words.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn of_pair(&self, low: __m512i, high: __m512i) -> [__m512i; 4] {
        let mut steps = [low; 4];
        for (i, step) in steps.iter_mut().enumerate() {
            *step = _mm512_permutex2var_epi32(low, self.step(i), high);
        }
        steps
    }

    /// Steps 0 and 2 of 32 words.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn even_of_pair(&self, low: __m512i, high: __m512i) -> [__m512i; 2] {
        inlined::map([0, 2], |i| {
            _mm512_permutex2var_epi32(low, self.step(i), high)
        })
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn step(&self, i: usize) -> __m512i {
        _mm512_add_epi32(load_u32(&self.0), _mm512_set1_epi32(i as i32))
    }
}

/// `of_group[g] + of_half[h]` for each lane.
pub const fn per_lane(of_group: [u32; OCTET], of_half: [u32; 2]) -> PerLane<u32> {
    let mut lanes = [0; 16];
    let mut lane = 0;
    while lane < lanes.len() {
        lanes[lane] = of_group[lane % OCTET] + of_half[lane / OCTET];
        lane += 1;
    }
    lanes
}

/// Shifts each lane of all steps right and keeps the bits of `mask` in bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn bits(steps: [__m512i; 4], shift: &PerLane<u32>, mask: u8) -> [__m512i; 4] {
    let mask = _mm512_set1_epi8(mask as i8);
    let mut bits = steps;
    for bits in &mut bits {
        *bits = _mm512_and_si512(_mm512_srlv_epi32(*bits, load_u32(shift)), mask);
    }
    bits
}

/// The lower and the upper nibbles of words 0 and 1 of all groups, then those of
/// words 2 and 3: quants in word order, if each half has nibbles of its own.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn nibbles_of(words: [__m512i; 2]) -> [__m512i; 4] {
    let low = _mm512_set1_epi8(15);
    let [first, last] = inlined::map(words, |words| {
        let upper = _mm512_srli_epi32(words, 4);
        [_mm512_and_si512(words, low), _mm512_and_si512(upper, low)]
    });
    [first[0], first[1], last[0], last[1]]
}

/// Rotates each lane of all steps left and adds the bits of `mask` in bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn add_bits(
    q: [__m512i; 4],
    steps: [__m512i; 4],
    rotate: &PerLane<u32>,
    mask: u8,
) -> [__m512i; 4] {
    let mask = _mm512_set1_epi8(mask as i8);
    let mut sum = q;
    for (sum, step) in zip(sum.iter_mut(), steps) {
        let rotated = _mm512_rolv_epi32(step, load_u32(rotate));
        // sum | (rotated & mask)
        *sum = _mm512_ternarylogic_epi32(*sum, rotated, mask, 0b1111_1000);
    }
    sum
}

/// Replaces nibbles by the values they stand for, raised by `raise`.
#[inline]
#[target_feature(enable = "avx512bw")]
pub fn look_up(values: &[i8; 16], raise: u8, q: [__m512i; 4]) -> [__m512i; 4] {
    let values = load_four_times(bytemuck::cast_ref(values));
    let values = _mm512_add_epi8(values, _mm512_set1_epi8(raise as i8));
    let mut found = q;
    for found in &mut found {
        *found = _mm512_shuffle_epi8(values, *found);
    }
    found
}

/// The scales of the first and the last halves of two rows side by side, if halves
/// are apart.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
pub fn scales_of_halves(a: &Octet, b: &Octet) -> [__m512; 2] {
    let d = beside(a.d, b.d);
    inlined::map(halves_beside(a.s, b.s), |s| {
        _mm512_mul_ps(d, _mm512_cvtepi32_ps(s))
    })
}

/// The lower and the upper eight lanes.
#[inline]
#[target_feature(enable = "avx512dq")]
pub fn split(both: __m512) -> [__m256; 2] {
    [
        _mm512_castps512_ps256(both),
        _mm512_extractf32x8_ps(both, 1),
    ]
}

/// Two rows side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
pub fn beside(a: __m256, b: __m256) -> __m512 {
    _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1)
}
