//! The innermost loop for many tokens: a tile of four rows by two pairs of
//! tokens, or by the one pair that is left.
//!
//! In a step, two rows lie side by side in a vector, four quants of each of
//! their eight groups, and meet those of two tokens; then the rows change places
//! and meet them again. After eight steps each lane holds the sum of a whole
//! group:
//!
//! ```text
//! lane        0      1            7       8      9           15
//!         ┌──────┬──────┬ ┄ ┬────────┬──────┬──────┬ ┄ ┬────────┐
//! rows    │ a g0 │ a g1 │   │  a g7  │ b g0 │ b g1 │   │  b g7  │   and b beside a
//! tokens  │ s g0 │ s g1 │   │  s g7  │ t g0 │ t g1 │   │  t g7  │
//!         └──────┴──────┴ ┄ ┴────────┴──────┴──────┴ ┄ ┴────────┘
//! ```
//!
//! Nothing moves across lanes but rows that change places, once for all tokens.
//!
//! Two ports multiply, and per octet, two vectors of rows and a pair of tokens 32
//! of 36 operations that need them are VPDPBUSD; four are FMAs with the scales of
//! the rows (and four more for each minimum, or with halves apart). Scales of
//! tokens take additions, which other ports do, because they are sums of two
//! powers of two ([`scale_for`](crate::activation::scale_for)), `2ᵃ ± 2ᵇ`:
//! integer sums begin with the bits of the float `2ᵃ · 1.5 · 2²³`, whose last bit
//! counts `2ᵃ`, so they end as the bits of `2ᵃ · (1.5 · 2²³ + isum)`; and adding to
//! the exponent makes that `2ᵇ` instead of `2ᵃ`.
//!
//! ```text
//! (2ᵃ · (1.5 · 2²³ + isum) − d · 1.5 · 2²³) ± 2ᵇ · (1.5 · 2²³ + isum)  =  d · isum
//! ```
//!
//! Nothing rounds there: the bracket is an integer times `2ᵃ`, the whole one times
//! `2ᵇ`, both below 2²⁴. (Loads that broadcast would take the ports that move lanes,
//! one of which multiplies; that is why tokens lie in pairs.)
//!
//! This is assembly since the compiler, given the same as intrinsics, keeps
//! loads in registers and sums in memory.
//!
//! | registers | hold |
//! |---|---|
//! | 0–3, 4–7 | partial sums of the first and the second pair: rows a b, c d, b a, d c |
//! | 8–11, 12–15 | integer sums |
//! | 16, 17, 18, 19 | a step of the rows; scales or minimums |
//! | 20, 21 | a step of the pairs |
//! | 22–27 | what comes after the steps |

use super::octet::PerLane;
use crate::activation::{OfTwo, Pair};
use bytemuck::{Pod, Zeroable};
use std::arch::asm;
use std::arch::x86_64::__m512;
use std::mem::offset_of;

/// Rows of a tile.
pub const ROWS: usize = 4;
/// Pairs of rows, side by side.
pub const ROW_PAIRS: usize = ROWS / 2;
/// Tokens of a tile.
pub const TOKENS: usize = 4;
/// Pairs of tokens, side by side.
pub const TOKEN_PAIRS: usize = TOKENS / 2;

/// Quants of an octet of two rows, by step: four of each group.
pub type Quants = [[u8; 64]; 8];
/// The eight partial sums of each pair of tokens with two rows: as they lie, of
/// both pairs of rows, then with places changed.
pub type Sums = [[__m512; 2 * ROW_PAIRS]; TOKEN_PAIRS];
/// Sums that wait in memory.
pub type WaitingSums = [[PerLane<f32>; 2 * ROW_PAIRS]; TOKEN_PAIRS];

/// Octets of a tile's rows.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    /// Quants, unsigned.
    pub q: &'a [[Quants; ROW_PAIRS]],
    /// Scales: for each octet one, or two if halves are apart.
    pub d: &'a [[PerLane<f32>; ROW_PAIRS]],
    /// Minimums: for each octet as many as the format has.
    pub m: &'a [[PerLane<f32>; ROW_PAIRS]],
}

/// Octets of a tile's tokens.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// The second pair is the first again if there is only one.
    pub pairs: [&'a [Pair]; TOKEN_PAIRS],
    /// How many there are: one or two.
    pub count: usize,
    /// What goes with octets of this format: for each octet, of all pairs.
    pub beside: &'a [[Beside; TOKEN_PAIRS]],
    /// Where two streams begin that are asked for, a line of each for each octet.
    pub ahead: [*const u8; 2],
}

/// What goes with an octet of a pair of tokens where weights have this format.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Beside {
    /// What integer sums begin with: [`Pair::bits`], and what undoes that weights
    /// were raised; of groups, or of first and last halves.
    pub begin: [OfTwo<i32>; 2],
    /// What minimums are multiplied with.
    pub minimums: [OfTwo<f32>; 2],
}

const _: () = assert!(size_of::<Pair>() == 896 && size_of::<[Quants; ROW_PAIRS]>() == 1024);
const _: () = assert!(offset_of!(Pair, ones) == 512 && offset_of!(Pair, other) == 576);
const _: () = assert!(size_of::<Beside>() == 256);

// The pieces below write a register as its number. What is done for each pair of
// tokens is a piece that ends in the pair's own arguments: its pointer, where it
// begins in what is beside, the register of its quants, and its registers of
// integer and of partial sums.

/// A piece for each of two pairs of tokens.
#[rustfmt::skip]
macro_rules! two {
    ($piece:ident $($argument:literal)*) => {
        concat!(
            $piece!($($argument)* "{x}" 0,   20,  8  9  10 11,  0 1 2 3),
            $piece!($($argument)* "{y}" 256, 21,  12 13 14 15,  4 5 6 7),
        )
    };
}

/// A piece for one pair of tokens.
#[rustfmt::skip]
macro_rules! one {
    ($piece:ident $($argument:literal)*) => {
        $piece!($($argument)* "{x}" 0, 20,  8 9 10 11,  0 1 2 3)
    };
}

/// Begins the integer sums, of groups or half `$half`.
#[rustfmt::skip]
macro_rules! begin {
    ($half:literal $pair:literal $at:literal, $x:literal,
     $a:literal $b:literal $c:literal $d:literal, $($sum:literal)*) => {
        concat!(
            "vmovdqa64 zmm", $a, ", [{beside} + ", $at, " + 64*", $half, "]\n",
            "vmovdqa64 zmm", $b, ", [{beside} + ", $at, " + 64*", $half, "]\n",
            "vmovdqa64 zmm", $c, ", [{beside} + ", $at, " + 64*", $half, "]\n",
            "vmovdqa64 zmm", $d, ", [{beside} + ", $at, " + 64*", $half, "]\n",
        )
    };
}

/// Multiplies step `$step` with a pair of tokens.
#[rustfmt::skip]
macro_rules! dot {
    ($step:literal $pair:literal $at:literal, $x:literal,
     $a:literal $b:literal $c:literal $d:literal, $($sum:literal)*) => {
        concat!(
            "vmovdqa64 zmm", $x, ", [", $pair, " + 64*", $step, "]\n",
            "vpdpbusd zmm", $a, ", zmm16, zmm", $x, "\n",
            "vpdpbusd zmm", $b, ", zmm17, zmm", $x, "\n",
            "vpdpbusd zmm", $c, ", zmm18, zmm", $x, "\n",
            "vpdpbusd zmm", $d, ", zmm19, zmm", $x, "\n",
        )
    };
}

/// Loads vector `$index` of the first pair of rows and that of the second,
/// `$apart` bytes further on, and lets the rows of each change places.
#[rustfmt::skip]
macro_rules! rows {
    ($from:literal, $index:literal, $apart:literal) => {
        concat!(
            "vmovdqu64 zmm16, [", $from, " + 64*", $index, "]\n",
            "vmovdqu64 zmm17, [", $from, " + 64*", $index, " + ", $apart, "]\n",
            "vshufi64x2 zmm18, zmm16, zmm16, 78\n",
            "vshufi64x2 zmm19, zmm17, zmm17, 78\n",
        )
    };
}

/// Multiplies a step with all tokens.
#[rustfmt::skip]
macro_rules! step {
    ($tokens:ident, $step:literal) => {
        concat!(
            rows!("{q}", $step, 512),
            $tokens!(dot $step),
        )
    };
}

/// Makes `d · isum` of a pair's integer sums and adds their products with the
/// scales of the rows.
#[rustfmt::skip]
macro_rules! scale_pair {
    ($pair:literal $at:literal, $x:literal, $a:literal $b:literal $c:literal $d:literal,
     $sum_a:literal $sum_b:literal $sum_c:literal $sum_d:literal) => {
        concat!(
            "vmovaps zmm22, [", $pair, " + 512]\n",
            "vmovdqa64 zmm23, [", $pair, " + 576]\n",
            scale_sum!($a, 24, 16, $sum_a),
            scale_sum!($b, 25, 17, $sum_b),
            scale_sum!($c, 26, 18, $sum_c),
            scale_sum!($d, 27, 19, $sum_d),
        )
    };
}

/// The same, for one vector of them.
#[rustfmt::skip]
macro_rules! scale_sum {
    ($isum:literal, $other:literal, $scale:literal, $sum:literal) => {
        concat!(
            "vpaddd zmm", $other, ", zmm", $isum, ", zmm23\n",
            "vsubps zmm", $isum, ", zmm", $isum, ", zmm22\n",
            "vaddps zmm", $isum, ", zmm", $isum, ", zmm", $other, "\n",
            "vfmadd231ps zmm", $sum, ", zmm", $scale, ", zmm", $isum, "\n",
        )
    };
}

/// Adds what minimums contribute for a pair, with half `$half` of what is beside
/// its scales.
#[rustfmt::skip]
macro_rules! minimum_of_pair {
    ($fma:literal $half:literal $pair:literal $at:literal, $x:literal, $($isum:literal)*,
     $sum_a:literal $sum_b:literal $sum_c:literal $sum_d:literal) => {
        concat!(
            "vmovaps zmm22, [{beside} + ", $at, " + 128 + 64*", $half, "]\n",
            $fma, " zmm", $sum_a, ", zmm22, zmm16\n",
            $fma, " zmm", $sum_b, ", zmm22, zmm17\n",
            $fma, " zmm", $sum_c, ", zmm22, zmm18\n",
            $fma, " zmm", $sum_d, ", zmm22, zmm19\n",
        )
    };
}

/// Adds the sums of all groups.
#[rustfmt::skip]
macro_rules! groups {
    ($tokens:ident) => {
        concat!(
            $tokens!(begin 0),
            step!($tokens, 0), step!($tokens, 1), step!($tokens, 2), step!($tokens, 3),
            step!($tokens, 4), step!($tokens, 5), step!($tokens, 6), step!($tokens, 7),
            rows!("{d}", 0, 64),
            $tokens!(scale_pair),
            "add {d}, 128\n",
        )
    };
}

/// What an octet of a kind of format takes.
#[rustfmt::skip]
macro_rules! octet {
    (plain $tokens:ident) => {
        groups!($tokens)
    };
    (halves $tokens:ident) => {
        concat!(
            $tokens!(begin 0),
            step!($tokens, 0), step!($tokens, 2), step!($tokens, 4), step!($tokens, 6),
            rows!("{d}", 0, 64),
            $tokens!(scale_pair),
            $tokens!(begin 1),
            step!($tokens, 1), step!($tokens, 3), step!($tokens, 5), step!($tokens, 7),
            rows!("{d}", 2, 64),
            $tokens!(scale_pair),
            "add {d}, 256\n",
        )
    };
    (minimum $tokens:ident) => {
        concat!(
            groups!($tokens),
            rows!("{m}", 0, 64),
            $tokens!(minimum_of_pair "vfmadd231ps" 0),
            "add {m}, 128\n",
        )
    };
    (minimums $tokens:ident) => {
        concat!(
            groups!($tokens),
            rows!("{m}", 0, 64),
            $tokens!(minimum_of_pair "vfnmadd231ps" 0),
            rows!("{m}", 2, 64),
            $tokens!(minimum_of_pair "vfnmadd231ps" 1),
            "add {m}, 256\n",
        )
    };
}

/// The loop over octets around what a kind of format does, for as many pairs of
/// tokens as there are.
#[rustfmt::skip]
macro_rules! octets {
    ($kind:ident, $weights:ident, $x:ident, $sums:ident) => {
        match $x.count {
            1 => octets!($kind one, $weights, $x, $sums),
            _ => octets!($kind two, $weights, $x, $sums),
        }
    };
    ($kind:ident $tokens:ident, $weights:ident, $x:ident, $sums:ident) => {
        asm!(
            // Not all tiles use these.
            "/* {m} {y} */",
            "2:",
            "prefetcht1 [{ahead}]",
            "prefetcht1 [{after}]",
            octet!($kind $tokens),
            "add {q}, 1024",
            "add {x}, 896",
            "add {y}, 896",
            "add {beside}, 512",
            "add {ahead}, 64",
            "add {after}, 64",
            "dec {octets}",
            "jnz 2b",
            q = inout(reg) $weights.q.as_ptr() => _,
            d = inout(reg) $weights.d.as_ptr() => _,
            m = inout(reg) $weights.m.as_ptr() => _,
            x = inout(reg) $x.pairs[0].as_ptr() => _,
            y = inout(reg) $x.pairs[1].as_ptr() => _,
            beside = inout(reg) $x.beside.as_ptr() => _,
            ahead = inout(reg) $x.ahead[0] => _,
            after = inout(reg) $x.ahead[1] => _,
            octets = inout(reg) $weights.q.len() => _,
            inout("zmm0") $sums[0][0], inout("zmm1") $sums[0][1],
            inout("zmm2") $sums[0][2], inout("zmm3") $sums[0][3],
            inout("zmm4") $sums[1][0], inout("zmm5") $sums[1][1],
            inout("zmm6") $sums[1][2], inout("zmm7") $sums[1][3],
            out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
            out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
            out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
            out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
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
pub fn tile<const HALVES: bool, const MINIMUMS: usize>(
    weights: Weights<'_>,
    x: Tokens<'_>,
    mut sums: Sums,
) -> Sums {
    let octets = weights.q.len();
    assert!(octets > 0, "nothing to multiply");
    assert!(x.pairs.iter().all(|pair| pair.len() == octets) && x.beside.len() == octets);
    assert_eq!(weights.d.len(), octets * (1 + usize::from(HALVES)));
    assert_eq!(weights.m.len(), octets * MINIMUMS);
    match (HALVES, MINIMUMS) {
        // SAFETY: the loop reads `octets` elements of `q` and `d`, which need no
        // alignment, and of both pairs and of `beside`, which have theirs. What it asks
        // for may lie anywhere.
        (false, 0) => unsafe { octets!(plain, weights, x, sums) },
        // SAFETY: as before; one element of `m` per octet.
        (false, 1) => unsafe { octets!(minimum, weights, x, sums) },
        // SAFETY: as before; two elements of `m` per octet.
        (false, 2) => unsafe { octets!(minimums, weights, x, sums) },
        // SAFETY: as in the first case; two elements of `d` per octet.
        (true, 0) => unsafe { octets!(halves, weights, x, sums) },
        _ => unreachable!("no panel has {MINIMUMS} minimums, halves apart: {HALVES}"),
    }
    sums
}
