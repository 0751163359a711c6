//! Few tokens: rows are read as one stream, each octet is unpacked once and
//! multiplied with every token.
//!
//! The eight partial sums of an output are the lanes of two registers.

use super::level::{Level, Op};
use super::octet::{Octet, Octets, PerGroup, Row, minimums, zero_padded};
use super::vector::*;
use crate::activation::{Int8Rows, OCTET, half_offset};
use crate::format::{GROUP, blocks};
use crate::inlined::{self, zip};
use crate::matmul::Matrix;
use crate::team::TileMut;
use std::arch::aarch64::*;
use std::marker::PhantomData;

/// Marks the use of an instruction.
macro_rules! simd {
    ($($body:tt)*) => {
        // SAFETY: the code runs on a level, whose token proves that the
        // processor has Advanced SIMD.
        unsafe { $($body)* }
    };
}

/// Computes a strip.
pub fn strip<L: Level, B: Octets>(
    l: L,
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    out: &mut TileMut<'_>,
) {
    let mut token = 0;
    while token < x.rows {
        token += match x.rows - token {
            1 => tokens::<L, B, 1>(l, weight, x, token, out),
            2 => tokens::<L, B, 2>(l, weight, x, token, out),
            3 => tokens::<L, B, 3>(l, weight, x, token, out),
            _ => tokens::<L, B, 4>(l, weight, x, token, out),
        }
    }
}

fn tokens<L: Level, B: Octets, const T: usize>(
    l: L,
    weight: Matrix<'_>,
    x: Int8Rows<'_>,
    token: usize,
    out: &mut TileMut<'_>,
) -> usize {
    l.call(Tokens::<B, T> {
        weight,
        x: inlined::from_fn(|t| Row::new(x.row(token + t))),
        token,
        out,
        _format: PhantomData,
    });
    T
}

/// Multiplies all rows with `T` tokens.
struct Tokens<'a, 't, 'o, B, const T: usize> {
    weight: Matrix<'a>,
    x: [Row<'a>; T],
    token: usize,
    out: &'t mut TileMut<'o>,
    _format: PhantomData<B>,
}

impl<B: Octets, const T: usize> Op for Tokens<'_, '_, '_, B, T> {
    #[inline(always)]
    fn run<L: Level>(self, l: L) {
        for n in 0..self.weight.rows() {
            let mut acc = [simd! { [vdupq_n_f32(0.0); 2] }; T];
            let mut octets = blocks::<B>(self.weight.row(n)).chunks_exact(B::BLOCKS);
            for (o, blocks) in octets.by_ref().enumerate() {
                let w = simd! { B::octet(blocks) };
                for (acc, x) in zip(acc.iter_mut(), &self.x) {
                    *acc = add::<L, B>(l, &w, x, o, *acc);
                }
            }
            let rest = octets.remainder();
            if !rest.is_empty() {
                let w = simd! { zero_padded(rest) };
                for (acc, x) in zip(acc.iter_mut(), &self.x) {
                    let sums = add::<L, B>(l, &w, x, x.q.len() - 1, *acc);
                    *acc = simd! { first_lanes(rest.len() * B::LEN / GROUP, sums, *acc) };
                }
            }
            for (t, acc) in acc.into_iter().enumerate() {
                let row = self.out.rows().start + self.token + t;
                self.out.row(row)[n] = simd! { fold(acc) };
            }
        }
    }
}

/// Adds the products of an octet with octet `o` of a row to its eight partial
/// sums.
#[inline(always)]
fn add<L: Level, B: Octets>(l: L, w: &Octet, x: &Row<'_>, o: usize, acc: PerGroup) -> PerGroup {
    let dx = simd! { load_eight(&x.d[o]) };
    let mut acc = acc;
    if B::HALVES_APART {
        let isums = halves(l, w, &x.q[o]);
        let scales = simd! { w.scales_of_halves() };
        for (isums, d) in zip(isums, scales) {
            acc = simd! { add_scaled(acc, d, dx, isums) };
        }
        return acc;
    }
    let isums = isums::<L, B>(l, w, &x.q[o]);
    simd! {
        acc = add_scaled(acc, w.d, dx, isums);
        if minimums::<B>() == 1 {
            let xsum = load_eight(&x.xsum[o]);
            for i in 0..2 {
                acc[i] = vfmaq_f32(acc[i], w.m[0][i], xsum[i]);
            }
        }
        if minimums::<B>() == 2 {
            let [low, high]: &[[i16; 8]; 2] = bytemuck::cast_ref(&x.sums[o]);
            let (low, high) = (load_i16(low), load_i16(high));
            let first = to_float(vuzp1q_s16(low, high));
            let last = to_float(vuzp2q_s16(low, high));
            for i in 0..2 {
                acc[i] = vfmaq_f32(acc[i], w.m[0][i], vmulq_f32(dx[i], first[i]));
                acc[i] = vfmaq_f32(acc[i], w.m[1][i], vmulq_f32(dx[i], last[i]));
            }
        }
        acc
    }
}

/// Adds integer sums, scaled.
#[inline]
#[target_feature(enable = "neon")]
fn add_scaled(mut acc: PerGroup, d: PerGroup, dx: PerGroup, isums: [int32x4_t; 2]) -> PerGroup {
    for i in 0..2 {
        let scaled = vmulq_f32(dx[i], vcvtq_f32_s32(isums[i]));
        acc[i] = vfmaq_f32(acc[i], d[i], scaled);
    }
    acc
}

/// The integer sums of the first and of the last halves of the eight groups.
#[inline(always)]
fn halves<L: Level>(l: L, w: &Octet, x: &[[i8; 16]; 2 * OCTET]) -> [[int32x4_t; 2]; 2] {
    let (a, b) = (two(l, w, x, 0), two(l, w, x, 2));
    let (c, d) = (two(l, w, x, 4), two(l, w, x, 6));
    simd! {
        [
            [vuzp1q_s32(a, b), vuzp1q_s32(c, d)],
            [vuzp2q_s32(a, b), vuzp2q_s32(c, d)],
        ]
    }
}

/// The integer sums of the eight groups.
#[inline(always)]
fn isums<L: Level, B: Octets>(l: L, w: &Octet, x: &[[i8; 16]; 2 * OCTET]) -> [int32x4_t; 2] {
    if B::FACTORS {
        let [first, last] = w.s;
        simd! {
            let a = vmulq_s32(two::<L>(l, w, x, 0), vmovl_s16(vget_low_s16(first)));
            let b = vmulq_s32(two::<L>(l, w, x, 2), vmovl_high_s16(first));
            let c = vmulq_s32(two::<L>(l, w, x, 4), vmovl_s16(vget_low_s16(last)));
            let d = vmulq_s32(two::<L>(l, w, x, 6), vmovl_high_s16(last));
            [vpaddq_s32(a, b), vpaddq_s32(c, d)]
        }
    } else {
        [four::<L>(l, w, x, 0), four::<L>(l, w, x, 4)]
    }
}

/// The sums of the halves of groups `g` and `g + 1`.
#[inline(always)]
fn two<L: Level>(l: L, w: &Octet, x: &[[i8; 16]; 2 * OCTET], g: usize) -> int32x4_t {
    simd! {
        let zero = vdupq_n_s32(0);
        sum_lanes(
            add_half(l, w, x, g, 0, zero),
            add_half(l, w, x, g, 1, zero),
            add_half(l, w, x, g + 1, 0, zero),
            add_half(l, w, x, g + 1, 1, zero),
        )
    }
}

/// The sums of groups `g..g + 4`.
#[inline(always)]
fn four<L: Level>(l: L, w: &Octet, x: &[[i8; 16]; 2 * OCTET], g: usize) -> int32x4_t {
    simd! {
        let zero = vdupq_n_s32(0);
        sum_lanes(
            add_half(l, w, x, g, 1, add_half(l, w, x, g, 0, zero)),
            add_half(l, w, x, g + 1, 1, add_half(l, w, x, g + 1, 0, zero)),
            add_half(l, w, x, g + 2, 1, add_half(l, w, x, g + 2, 0, zero)),
            add_half(l, w, x, g + 3, 1, add_half(l, w, x, g + 3, 0, zero)),
        )
    }
}

/// Adds the products of half a group.
#[inline(always)]
fn add_half<L: Level>(
    l: L,
    w: &Octet,
    x: &[[i8; 16]; 2 * OCTET],
    g: usize,
    half: usize,
    acc: int32x4_t,
) -> int32x4_t {
    let x = simd! { load_i8(&x[half_offset(2 * g + half) / 16]) };
    l.dot(acc, w.q[g][half], x)
}

/// `yes` in the first `count` lanes, `no` in the others.
#[inline]
#[target_feature(enable = "neon")]
fn first_lanes(count: usize, yes: PerGroup, no: PerGroup) -> PerGroup {
    const LANES: [[u32; 4]; 2] = [[0, 1, 2, 3], [4, 5, 6, 7]];
    let mut out = no;
    for i in 0..2 {
        // SAFETY: 4 aligned values are readable.
        let lanes = unsafe { vld1q_u32(LANES[i].as_ptr()) };
        let is_real = vcltq_u32(lanes, vdupq_n_u32(count as u32));
        out[i] = vbslq_f32(is_real, yes[i], no[i]);
    }
    out
}
