//! The innermost loop for many tokens: a tile of four rows by four tokens.
//!
//! In a step, two rows lie side by side in a vector, four quants of each of
//! their eight groups, and meet the same 32 bytes of activations, loaded into
//! both halves. After eight steps each lane holds the sum of a whole group:
//!
//! ```text
//! lane       0      1            7       8      9           15
//!        ┌──────┬──────┬ ┄ ┬────────┬──────┬──────┬ ┄ ┬────────┐
//! isum   │ a g0 │ a g1 │   │  a g7  │ b g0 │ b g1 │   │  b g7  │
//!        └──────┴──────┴ ┄ ┴────────┴──────┴──────┴ ┄ ┴────────┘
//! ```
//!
//! Nothing moves across lanes. Per octet, two rows and a token that is 8
//! VPDPBUSD, a conversion, a multiplication and an FMA; one or two FMA more if
//! there are minimums. With sub-scales, halves of groups are summed apart:
//! another of each.
//!
//! This is assembly since the compiler, given the same as intrinsics, keeps
//! loads in registers and sums in memory: it reached 235 GOP/s on a core of a
//! Zen 4 where this reaches 355 (of 464 that VPDPBUSD alone can).
//!
//! | registers | hold |
//! |---|---|
//! | 0–3, 4–7 | partial sums of the first and the second two rows, by token |
//! | 8–11, 12–15 | integer sums |
//! | 16, 17 | a step of the rows |
//! | 18, 19 | a step of a token; what comes after the steps |
//! | 20–23 | sub-scales, scales, minimums of the rows |
//! | 24–27, 28–31 | with sub-scales: integer sums of last halves |

use super::octet::PerLane;
use crate::activation::{OCTET, OCTET_LEN, TILE_ROWS};
use bytemuck::{Pod, Zeroable};
use std::arch::asm;
use std::arch::x86_64::__m512;

/// Rows of a tile.
pub const ROWS: usize = 4;
/// Pairs of rows, side by side.
pub const PAIRS: usize = ROWS / 2;
/// Tokens of a tile.
pub const TOKENS: usize = 4;

/// Quants of an octet of two rows, by step: four of each group.
pub type Quants = [[u8; 64]; 8];
/// The eight partial sums of two rows each, of a tile's rows, by token.
pub type Sums = [[__m512; PAIRS]; TOKENS];
/// Sums that wait in memory.
pub type WaitingSums = [[PerLane<f32>; PAIRS]; TOKENS];

/// Octets of a tile's rows.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    /// Quants, unsigned.
    pub q: &'a [[Quants; PAIRS]],
    /// Scales.
    pub d: &'a [[PerLane<f32>; PAIRS]],
    /// Minimums: for each octet as many as the format has.
    pub m: &'a [[PerLane<f32>; PAIRS]],
    /// Sub-scales of the first and the last halves of groups, if the format
    /// has them.
    pub s: &'a [[[PerLane<f32>; 2]; PAIRS]],
}

/// Octets of a tile's tokens.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// Quants of the first token, in lane order, and what follows.
    pub q: &'a [i8],
    /// From the quants of a token to those of the next.
    pub stride: usize,
    /// What goes with them.
    pub scales: &'a [[Scales; TOKENS]],
}

/// What goes with the quants of an octet of a token.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(32))]
pub struct Scales {
    /// Scales.
    pub d: [f32; OCTET],
    /// Without minimums, as `i32`: what integer sums begin with, to undo that
    /// weights were raised; of groups, or, with sub-scales, of their first and
    /// their last halves. With minimums, as `f32`: what they are multiplied
    /// with.
    pub beside: [[u32; OCTET]; 2],
}

const _: () = assert!(size_of::<Scales>() == 96 && size_of::<[Quants; PAIRS]>() == 1024);
const _: () = assert!(TOKENS == TILE_ROWS);

// The pieces below name registers by their numbers and a token by where its
// scales begin or, in steps, by where its quants do.

/// Begins two sums of a token with half `$half` of what is beside it.
#[rustfmt::skip]
macro_rules! begin {
    ($token:literal, $half:literal, $a:literal, $b:literal) => {
        concat!(
            "vbroadcasti64x4 zmm", $a, ", [{scales} + ", $token, " + 32 + 32*", $half, "]\n",
            "vmovdqa64 zmm", $b, ", zmm", $a, "\n",
        )
    };
}

/// Sets registers to zero.
#[rustfmt::skip]
macro_rules! zero {
    ($($zmm:literal)*) => {
        concat!($("vpxord zmm", $zmm, ", zmm", $zmm, ", zmm", $zmm, "\n"),*)
    };
}

/// Converts registers from `i32` to `f32`.
#[rustfmt::skip]
macro_rules! convert {
    ($($zmm:literal)*) => {
        concat!($("vcvtdq2ps zmm", $zmm, ", zmm", $zmm, "\n"),*)
    };
}

/// Multiplies a step with a token.
#[rustfmt::skip]
macro_rules! step_of_token {
    ($step:literal, $token:literal, $x:literal, $a:literal, $b:literal) => {
        concat!(
            "vbroadcasti64x4 zmm", $x, ", [{x}", $token, " + 32*", $step, "]\n",
            "vpdpbusd zmm", $a, ", zmm16, zmm", $x, "\n",
            "vpdpbusd zmm", $b, ", zmm17, zmm", $x, "\n",
        )
    };
}

/// Multiplies a step with all tokens.
#[rustfmt::skip]
macro_rules! step {
    ($step:literal, [$a0:literal $a1:literal $a2:literal $a3:literal
                     $b0:literal $b1:literal $b2:literal $b3:literal]) => {
        concat!(
            "vmovdqu64 zmm16, [{q} + 64*", $step, "]\n",
            "vmovdqu64 zmm17, [{q} + 512 + 64*", $step, "]\n",
            step_of_token!($step, "", 18, $a0, $b0),
            step_of_token!($step, " + {stride}", 19, $a1, $b1),
            step_of_token!($step, " + 2*{stride}", 18, $a2, $b2),
            step_of_token!($step, " + {three}", 19, $a3, $b3),
        )
    };
}

/// Sums of groups, as floats: eight steps.
#[rustfmt::skip]
macro_rules! groups {
    () => {
        concat!(
            step!(0, [8 9 10 11 12 13 14 15]),
            step!(1, [8 9 10 11 12 13 14 15]),
            step!(2, [8 9 10 11 12 13 14 15]),
            step!(3, [8 9 10 11 12 13 14 15]),
            step!(4, [8 9 10 11 12 13 14 15]),
            step!(5, [8 9 10 11 12 13 14 15]),
            step!(6, [8 9 10 11 12 13 14 15]),
            step!(7, [8 9 10 11 12 13 14 15]),
            convert!(8 12 9 13 10 14 11 15),
        )
    };
}

/// Multiplies the sums of a token's first halves with their sub-scales.
#[rustfmt::skip]
macro_rules! first_halves {
    ($a:literal, $b:literal) => {
        concat!(
            convert!($a $b),
            "vmulps zmm", $a, ", zmm", $a, ", zmm20\n",
            "vmulps zmm", $b, ", zmm", $b, ", zmm21\n",
        )
    };
}

/// Adds the sums of a token's last halves, multiplied with their sub-scales.
#[rustfmt::skip]
macro_rules! last_halves {
    ($last_a:literal, $last_b:literal, $a:literal, $b:literal) => {
        concat!(
            convert!($last_a $last_b),
            "vfmadd231ps zmm", $a, ", zmm", $last_a, ", zmm22\n",
            "vfmadd231ps zmm", $b, ", zmm", $last_b, ", zmm23\n",
        )
    };
}

/// Sums of groups, as floats, with sub-scales: four steps of first halves, then
/// four of last ones, in between which the former are scaled.
///
/// Floats are exact until the last addition: a half sums to less than 2¹⁷ and a
/// sub-scale has at most 7 bits. So this rounds once, as converting the integer
/// would. (VPMULLD takes as much of the ports that multiply, and its products
/// are added apart.)
#[rustfmt::skip]
macro_rules! groups_of_halves {
    () => {
        concat!(
            step!(0, [8 9 10 11 12 13 14 15]),
            step!(2, [8 9 10 11 12 13 14 15]),
            step!(4, [8 9 10 11 12 13 14 15]),
            step!(6, [8 9 10 11 12 13 14 15]),
            "vmovups zmm20, [{s}]\n",
            "vmovups zmm21, [{s} + 128]\n",
            step!(1, [24 25 26 27 28 29 30 31]),
            first_halves!(8, 12),
            step!(3, [24 25 26 27 28 29 30 31]),
            first_halves!(9, 13),
            step!(5, [24 25 26 27 28 29 30 31]),
            first_halves!(10, 14),
            step!(7, [24 25 26 27 28 29 30 31]),
            first_halves!(11, 15),
            "vmovups zmm22, [{s} + 64]\n",
            "vmovups zmm23, [{s} + 192]\n",
            "add {s}, 256\n",
            last_halves!(24, 28, 8, 12),
            last_halves!(25, 29, 9, 13),
            last_halves!(26, 30, 10, 14),
            last_halves!(27, 31, 11, 15),
        )
    };
}

/// Adds the sums of a token's groups, scaled, to its partial sums.
#[rustfmt::skip]
macro_rules! scale_token {
    ($token:literal, $isum_a:literal, $isum_b:literal, $a:literal, $b:literal) => {
        concat!(
            "vbroadcastf32x8 zmm18, [{scales} + ", $token, "]\n",
            "vmulps zmm19, zmm18, zmm20\n",
            "vmulps zmm18, zmm18, zmm21\n",
            "vfmadd231ps zmm", $a, ", zmm19, zmm", $isum_a, "\n",
            "vfmadd231ps zmm", $b, ", zmm18, zmm", $isum_b, "\n",
        )
    };
}

/// Adds the sums of all groups, scaled, to the partial sums.
#[rustfmt::skip]
macro_rules! scale {
    () => {
        concat!(
            "vmovups zmm20, [{d}]\n",
            "vmovups zmm21, [{d} + 64]\n",
            scale_token!(0, 8, 12, 0, 4),
            scale_token!(96, 9, 13, 1, 5),
            scale_token!(192, 10, 14, 2, 6),
            scale_token!(288, 11, 15, 3, 7),
        )
    };
}

/// Adds what minimums contribute for a token, with half `$half` of what is
/// beside it.
#[rustfmt::skip]
macro_rules! minimum_of_token {
    ($fma:literal, $half:literal, $token:literal, $a:literal, $b:literal) => {
        concat!(
            "vbroadcastf32x8 zmm18, [{scales} + ", $token, " + 32 + 32*", $half, "]\n",
            $fma, " zmm", $a, ", zmm18, zmm22\n",
            $fma, " zmm", $b, ", zmm18, zmm23\n",
        )
    };
}

/// Adds what minimums contribute.
#[rustfmt::skip]
macro_rules! minimum {
    ($fma:literal, $half:literal) => {
        concat!(
            "vmovups zmm22, [{m} + 128*", $half, "]\n",
            "vmovups zmm23, [{m} + 128*", $half, " + 64]\n",
            minimum_of_token!($fma, $half, 0, 0, 4),
            minimum_of_token!($fma, $half, 96, 1, 5),
            minimum_of_token!($fma, $half, 192, 2, 6),
            minimum_of_token!($fma, $half, 288, 3, 7),
        )
    };
}

/// The loop over octets around what a kind of format does.
#[rustfmt::skip]
macro_rules! octets {
    ($weights:ident, $x:ident, $sums:ident,
     [$($text:expr),*] $(, $name:ident = $pointer:expr)*) => {
        asm!(
            "2:",
            $($text,)*
            "add {q}, 1024",
            "add {d}, 128",
            "add {x}, 256",
            "add {scales}, 384",
            "dec {octets}",
            "jnz 2b",
            q = inout(reg) $weights.q.as_ptr() => _,
            d = inout(reg) $weights.d.as_ptr() => _,
            x = inout(reg) $x.q.as_ptr() => _,
            stride = in(reg) $x.stride,
            three = in(reg) 3 * $x.stride,
            scales = inout(reg) $x.scales.as_ptr() => _,
            octets = inout(reg) $x.scales.len() => _,
            $($name = inout(reg) $pointer => _,)*
            inout("zmm0") $sums[0][0], inout("zmm4") $sums[0][1],
            inout("zmm1") $sums[1][0], inout("zmm5") $sums[1][1],
            inout("zmm2") $sums[2][0], inout("zmm6") $sums[2][1],
            inout("zmm3") $sums[3][0], inout("zmm7") $sums[3][1],
            out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
            out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
            out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
            out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
            out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
            options(nostack),
        )
    };
}

/// Adds the products of octets of four rows with four tokens to `sums`.
///
/// # Panics
///
/// If lengths do not fit.
#[inline]
#[rustfmt::skip]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
pub fn tile<const SUBSCALES: bool, const MINIMUMS: usize>(
    weights: Weights<'_>,
    x: Tokens<'_>,
    mut sums: Sums,
) -> Sums {
    let octets = x.scales.len();
    assert!(octets > 0, "nothing to multiply");
    let last = (TOKENS - 1).checked_mul(x.stride).expect("a stride within the quants");
    assert!(x.q.len().saturating_sub(last) >= octets * OCTET_LEN);
    assert_eq!((weights.q.len(), weights.d.len()), (octets, octets));
    assert_eq!(weights.m.len(), octets * MINIMUMS);
    assert_eq!(weights.s.len(), octets * usize::from(SUBSCALES));
    match (SUBSCALES, MINIMUMS) {
        // SAFETY: the loop reads `octets` elements of `q`, `d` and `scales`, and
        // octets of four tokens of which the last was asserted to be in `x.q`;
        // it needs no alignment.
        (false, 0) => unsafe {
            octets!(weights, x, sums, [
                begin!(0, 0, 8, 12), begin!(96, 0, 9, 13),
                begin!(192, 0, 10, 14), begin!(288, 0, 11, 15),
                groups!(),
                scale!()
            ])
        },
        // SAFETY: as before; one element of `m` per octet.
        (false, 1) => unsafe {
            octets!(weights, x, sums, [
                zero!(8 9 10 11 12 13 14 15),
                groups!(),
                scale!(),
                minimum!("vfmadd231ps", 0),
                "add {m}, 128"
            ], m = weights.m.as_ptr())
        },
        // SAFETY: as before; one element of `s` per octet.
        (true, 0) => unsafe {
            octets!(weights, x, sums, [
                begin!(0, 0, 8, 12), begin!(96, 0, 9, 13),
                begin!(192, 0, 10, 14), begin!(288, 0, 11, 15),
                begin!(0, 1, 24, 28), begin!(96, 1, 25, 29),
                begin!(192, 1, 26, 30), begin!(288, 1, 27, 31),
                groups_of_halves!(),
                scale!()
            ], s = weights.s.as_ptr())
        },
        // SAFETY: as before; two elements of `m` per octet.
        (false, 2) => unsafe {
            octets!(weights, x, sums, [
                zero!(8 9 10 11 12 13 14 15),
                groups!(),
                scale!(),
                minimum!("vfnmadd231ps", 0),
                minimum!("vfnmadd231ps", 1),
                "add {m}, 256"
            ], m = weights.m.as_ptr())
        },
        _ => unreachable!("no panel has {MINIMUMS} minimums, sub-scales: {SUBSCALES}"),
    }
    sums
}
