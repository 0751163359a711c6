//! The definitions, in portable Rust.
//!
//! Not meant to be fast, but to be read: every other kernel must give the same
//! bits.

use super::{Activations, Matrix, Scratch};
use crate::activation::{Int8Row, OCTET};
use crate::format::{self, BF16, Block, FloatWeight, GROUP, Group, Minimum};
use crate::inlined::{self, zip};
use crate::steps::{above_floor, round_to_bf16};
use crate::team::TileMut;

/// Sums the partial sums by folding halves.
#[inline(always)]
pub fn fold<const N: usize>(mut partial: [f32; N]) -> f32 {
    const { assert!(N.is_power_of_two()) }
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            partial[i] += partial[i + half];
        }
        half /= 2;
    }
    partial[0]
}

/// F32 and F16.
pub(super) unsafe fn float<W: format::FloatWeight>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    _: &mut Scratch,
) {
    each_float(weight, x, out, |weights: &[W], x| {
        let mut acc = [0.0_f32; 16];
        for (k, (w, x)) in zip(weights.iter(), x).enumerate() {
            acc[k % 16] = x.mul_add(w.to_f32(), acc[k % 16]);
        }
        fold(acc)
    });
}

/// BF16.
pub(super) unsafe fn bf16(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    _: &mut Scratch,
) {
    each_float(weight, x, out, |weights: &[BF16], x| {
        let mut acc = [0.0_f32; 16];
        for (weights, x) in zip(weights.chunks(2 * 16), x.chunks(2 * 16)) {
            for (i, (w, x)) in zip(weights.chunks(2), x.chunks(2)).enumerate() {
                for (w, x) in w.iter().zip(x).rev() {
                    let (w, x) = (above_floor(w.to_f32()), round_to_bf16(*x));
                    acc[i] = x.mul_add(w, acc[i]);
                }
            }
        }
        fold(acc)
    });
}

/// Every output is the product of a row of floats and one of activations.
fn each_float<W: format::FloatWeight>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    product: impl Fn(&[W], &[f32]) -> f32,
) {
    for token in 0..x.rows {
        let out_row = out.rows().start + token;
        for (n, out) in out.row(out_row).iter_mut().enumerate() {
            *out = product(bytemuck::cast_slice(weight.row(n)), x.float_row(token));
        }
    }
}

/// Block formats.
pub(super) unsafe fn blocks<B: Block>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    _: &mut Scratch,
) {
    for token in 0..x.rows {
        let out_row = out.rows().start + token;
        for (n, out) in out.row(out_row).iter_mut().enumerate() {
            *out = dot_blocks(format::blocks::<B>(weight.row(n)), x.int8.row(token));
        }
    }
}

fn dot_blocks<B: Block>(blocks: &[B], x: Int8Row<'_>) -> f32 {
    let mut acc = [0.0; OCTET];
    let groups_per_block = B::LEN / GROUP;
    for (b, block) in blocks.iter().enumerate() {
        for i in 0..groups_per_block {
            let g = b * groups_per_block + i;
            acc[g % OCTET] = add_group::<B>(&block.group(i), x, g, acc[g % OCTET]);
        }
    }
    fold(acc)
}

/// What group `g` contributes: see [`crate::format`].
pub fn add_group<B: Block>(group: &Group, x: Int8Row<'_>, g: usize, acc: f32) -> f32 {
    let half = |h: usize| -> i32 {
        zip(group.q[16 * h..][..16].iter(), x.half(2 * g + h))
            .map(|(&q, &x)| i32::from(q) * i32::from(x))
            .sum()
    };
    let add = |d: f32, isum: i32, acc: f32| d.mul_add(x.d[g] * isum as f32, acc);
    let acc = if B::HALVES_APART {
        let [first, last] = inlined::map(group.s, |s| group.d * f32::from(s));
        add(last, half(1), add(first, half(0), acc))
    } else {
        let [first, last] = inlined::map(group.s, i32::from);
        add(group.d, first * half(0) + last * half(1), acc)
    };
    let sum = |h: usize| x.d[g] * f32::from(x.sums[2 * g + h]);
    match B::MINIMUM {
        Minimum::None => acc,
        Minimum::Per32 => group.m[0].mul_add(x.xsum[g], acc),
        Minimum::Per16 => {
            let acc = group.m[0].mul_add(sum(0), acc);
            group.m[1].mul_add(sum(1), acc)
        }
    }
}
