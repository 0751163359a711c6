//! The innermost loop for many tokens: a tile of four rows by four tokens, or by
//! the one or two that are left after the fours.
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
    /// How many there are: one, two, or more, which takes as long as four. Sums
    /// of others are left open.
    pub count: usize,
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

// The pieces below write a register as its number. What is done for each token
// is a piece that ends in the token's own arguments: where its scales begin,
// where its quants do, a register for them, and registers of the first and the
// second two rows: integer sums, those of last halves, partial sums.

/// A piece for each token of a full tile.
#[rustfmt::skip]
macro_rules! four {
    ($piece:ident $($argument:literal)*) => {
        concat!(
            $piece!($($argument)* 0,   "",              18,  8 12,  24 28,  0 4),
            $piece!($($argument)* 96,  " + {stride}",   19,  9 13,  25 29,  1 5),
            $piece!($($argument)* 192, " + 2*{stride}", 18,  10 14,  26 30,  2 6),
            $piece!($($argument)* 288, " + {three}",    19,  11 15,  27 31,  3 7),
        )
    };
}

/// A piece for each token of a tile of two.
#[rustfmt::skip]
macro_rules! two {
    ($piece:ident $($argument:literal)*) => {
        concat!(
            $piece!($($argument)* 0,  "",            18,  8 12,  24 28,  0 4),
            $piece!($($argument)* 96, " + {stride}", 19,  9 13,  25 29,  1 5),
        )
    };
}

/// A piece for the token of a tile of one.
#[rustfmt::skip]
macro_rules! one {
    ($piece:ident $($argument:literal)*) => {
        $piece!($($argument)* 0, "", 18,  8 12,  24 28,  0 4)
    };
}

/// Begins the integer sums with half `$half` of what is beside the scales.
#[rustfmt::skip]
macro_rules! begin {
    ($half:literal $scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        concat!(
            "vbroadcasti64x4 zmm", $a, ", [{scales} + ", $scales, " + 32 + 32*", $half, "]\n",
            "vmovdqa64 zmm", $b, ", zmm", $a, "\n",
        )
    };
}

/// Begins the integer sums of last halves in the same way.
#[rustfmt::skip]
macro_rules! begin_last {
    ($half:literal $scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        begin!($half $scales, $q, $x, $last_a $last_b, $last_a $last_b, $sum_a $sum_b)
    };
}

/// Begins the integer sums with zero.
#[rustfmt::skip]
macro_rules! zero {
    ($scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        concat!(
            "vpxord zmm", $a, ", zmm", $a, ", zmm", $a, "\n",
            "vpxord zmm", $b, ", zmm", $b, ", zmm", $b, "\n",
        )
    };
}

/// Multiplies step `$step` with a token.
#[rustfmt::skip]
macro_rules! dot {
    ($step:literal $scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        concat!(
            "vbroadcasti64x4 zmm", $x, ", [{x}", $q, " + 32*", $step, "]\n",
            "vpdpbusd zmm", $a, ", zmm16, zmm", $x, "\n",
            "vpdpbusd zmm", $b, ", zmm17, zmm", $x, "\n",
        )
    };
}

/// Multiplies step `$step`, of last halves, with a token.
#[rustfmt::skip]
macro_rules! dot_last {
    ($step:literal $scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        dot!($step $scales, $q, $x, $last_a $last_b, $last_a $last_b, $sum_a $sum_b)
    };
}

/// Multiplies a step with all tokens.
#[rustfmt::skip]
macro_rules! step {
    ($tokens:ident, $dot:ident, $step:literal) => {
        concat!(
            "vmovdqu64 zmm16, [{q} + 64*", $step, "]\n",
            "vmovdqu64 zmm17, [{q} + 512 + 64*", $step, "]\n",
            $tokens!($dot $step),
        )
    };
}

/// Converts a token's sums of groups from `i32` to `f32`.
#[rustfmt::skip]
macro_rules! convert {
    ($scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        concat!(
            "vcvtdq2ps zmm", $a, ", zmm", $a, "\n",
            "vcvtdq2ps zmm", $b, ", zmm", $b, "\n",
        )
    };
}

/// Sums of groups, as floats: eight steps.
#[rustfmt::skip]
macro_rules! groups {
    ($tokens:ident) => {
        concat!(
            step!($tokens, dot, 0),
            step!($tokens, dot, 1),
            step!($tokens, dot, 2),
            step!($tokens, dot, 3),
            step!($tokens, dot, 4),
            step!($tokens, dot, 5),
            step!($tokens, dot, 6),
            step!($tokens, dot, 7),
            $tokens!(convert),
        )
    };
}

/// Multiplies the sums of a token's first halves with their sub-scales.
#[rustfmt::skip]
macro_rules! first_halves {
    ($scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        concat!(
            convert!($scales, $q, $x, $a $b, $last_a $last_b, $sum_a $sum_b),
            "vmulps zmm", $a, ", zmm", $a, ", zmm20\n",
            "vmulps zmm", $b, ", zmm", $b, ", zmm21\n",
        )
    };
}

/// Adds the sums of a token's last halves, multiplied with their sub-scales.
#[rustfmt::skip]
macro_rules! last_halves {
    ($scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        concat!(
            convert!($scales, $q, $x, $last_a $last_b, $last_a $last_b, $sum_a $sum_b),
            "vfmadd231ps zmm", $a, ", zmm", $last_a, ", zmm22\n",
            "vfmadd231ps zmm", $b, ", zmm", $last_b, ", zmm23\n",
        )
    };
}

/// Sums of groups, as floats, with sub-scales: four steps of first halves, four
/// of last ones.
///
/// Floats are exact until the last addition: a half sums to less than 2¹⁷ and a
/// sub-scale has at most 7 bits. So this rounds once, as converting the integer
/// would. (VPMULLD takes as much of the ports that multiply, and its products
/// are added apart.)
#[rustfmt::skip]
macro_rules! groups_of_halves {
    ($tokens:ident) => {
        concat!(
            step!($tokens, dot, 0),
            step!($tokens, dot, 2),
            step!($tokens, dot, 4),
            step!($tokens, dot, 6),
            "vmovups zmm20, [{s}]\n",
            "vmovups zmm21, [{s} + 128]\n",
            step!($tokens, dot_last, 1),
            step!($tokens, dot_last, 3),
            $tokens!(first_halves),
            step!($tokens, dot_last, 5),
            step!($tokens, dot_last, 7),
            "vmovups zmm22, [{s} + 64]\n",
            "vmovups zmm23, [{s} + 192]\n",
            "add {s}, 256\n",
            $tokens!(last_halves),
        )
    };
}

/// Adds the sums of a token's groups, scaled, to its partial sums.
#[rustfmt::skip]
macro_rules! scale_token {
    ($scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        concat!(
            "vbroadcastf32x8 zmm18, [{scales} + ", $scales, "]\n",
            "vmulps zmm19, zmm18, zmm20\n",
            "vmulps zmm18, zmm18, zmm21\n",
            "vfmadd231ps zmm", $sum_a, ", zmm19, zmm", $a, "\n",
            "vfmadd231ps zmm", $sum_b, ", zmm18, zmm", $b, "\n",
        )
    };
}

/// Adds the sums of all groups, scaled, to the partial sums.
#[rustfmt::skip]
macro_rules! scale {
    ($tokens:ident) => {
        concat!(
            "vmovups zmm20, [{d}]\n",
            "vmovups zmm21, [{d} + 64]\n",
            $tokens!(scale_token),
        )
    };
}

/// Adds what minimums contribute for a token, with half `$half` of what is
/// beside its scales.
#[rustfmt::skip]
macro_rules! minimum_of_token {
    ($fma:literal $half:literal $scales:literal, $q:literal, $x:literal, $a:literal $b:literal,
     $last_a:literal $last_b:literal, $sum_a:literal $sum_b:literal) => {
        concat!(
            "vbroadcastf32x8 zmm18, [{scales} + ", $scales, " + 32 + 32*", $half, "]\n",
            $fma, " zmm", $sum_a, ", zmm18, zmm22\n",
            $fma, " zmm", $sum_b, ", zmm18, zmm23\n",
        )
    };
}

/// Adds what minimums contribute.
#[rustfmt::skip]
macro_rules! minimum {
    ($tokens:ident, $fma:literal, $half:literal) => {
        concat!(
            "vmovups zmm22, [{m} + 128*", $half, "]\n",
            "vmovups zmm23, [{m} + 128*", $half, " + 64]\n",
            $tokens!(minimum_of_token $fma $half),
        )
    };
}

/// What an octet of a kind of format takes.
#[rustfmt::skip]
macro_rules! octet {
    (plain $tokens:ident) => {
        concat!($tokens!(begin 0), groups!($tokens), scale!($tokens))
    };
    (minimum $tokens:ident) => {
        concat!(
            $tokens!(zero),
            groups!($tokens),
            scale!($tokens),
            minimum!($tokens, "vfmadd231ps", 0),
            "add {m}, 128\n",
        )
    };
    (minimums $tokens:ident) => {
        concat!(
            $tokens!(zero),
            groups!($tokens),
            scale!($tokens),
            minimum!($tokens, "vfnmadd231ps", 0),
            minimum!($tokens, "vfnmadd231ps", 1),
            "add {m}, 256\n",
        )
    };
    (subscales $tokens:ident) => {
        concat!(
            $tokens!(begin 0),
            $tokens!(begin_last 1),
            groups_of_halves!($tokens),
            scale!($tokens),
        )
    };
}

/// The loop over octets around what a kind of format does, for as many tokens
/// as there are.
#[rustfmt::skip]
macro_rules! octets {
    ($kind:ident, $weights:ident, $x:ident, $sums:ident) => {
        match $x.count {
            1 => octets!($kind one, $weights, $x, $sums),
            2 => octets!($kind two, $weights, $x, $sums),
            _ => octets!($kind four, $weights, $x, $sums),
        }
    };
    ($kind:ident $tokens:ident, $weights:ident, $x:ident, $sums:ident) => {
        asm!(
            // Not all tiles use all of these.
            "/* {m} {s} {stride} {three} */",
            "2:",
            octet!($kind $tokens),
            "add {q}, 1024",
            "add {d}, 128",
            "add {x}, 256",
            "add {scales}, 384",
            "dec {octets}",
            "jnz 2b",
            q = inout(reg) $weights.q.as_ptr() => _,
            d = inout(reg) $weights.d.as_ptr() => _,
            m = inout(reg) $weights.m.as_ptr() => _,
            s = inout(reg) $weights.s.as_ptr() => _,
            x = inout(reg) $x.q.as_ptr() => _,
            stride = in(reg) $x.stride,
            three = in(reg) 3 * $x.stride,
            scales = inout(reg) $x.scales.as_ptr() => _,
            octets = inout(reg) $x.scales.len() => _,
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

/// Adds the products of octets of four rows with the tokens of a tile to `sums`.
///
/// # Panics
///
/// If lengths do not fit.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
pub fn tile<const SUBSCALES: bool, const MINIMUMS: usize>(
    weights: Weights<'_>,
    x: Tokens<'_>,
    mut sums: Sums,
) -> Sums {
    let octets = x.scales.len();
    assert!(octets > 0, "nothing to multiply");
    let last = (TOKENS - 1)
        .checked_mul(x.stride)
        .expect("a stride within the quants");
    assert!(x.q.len().saturating_sub(last) >= octets * OCTET_LEN);
    assert_eq!((weights.q.len(), weights.d.len()), (octets, octets));
    assert_eq!(weights.m.len(), octets * MINIMUMS);
    assert_eq!(weights.s.len(), octets * usize::from(SUBSCALES));
    match (SUBSCALES, MINIMUMS) {
        // SAFETY: the loop reads `octets` elements of `q`, `d` and `scales`, and
        // octets of up to four tokens, of which a fourth was asserted to be in
        // `x.q`; it needs no alignment.
        (false, 0) => unsafe { octets!(plain, weights, x, sums) },
        // SAFETY: as before; one element of `m` per octet.
        (false, 1) => unsafe { octets!(minimum, weights, x, sums) },
        // SAFETY: as before; two elements of `m` per octet.
        (false, 2) => unsafe { octets!(minimums, weights, x, sums) },
        // SAFETY: as before; one element of `s` per octet.
        (true, 0) => unsafe { octets!(subscales, weights, x, sums) },
        _ => unreachable!("no panel has {MINIMUMS} minimums, sub-scales: {SUBSCALES}"),
    }
    sums
}
