//! What the innermost loop for many tokens does: a tile of four rows by two pairs of
//! tokens, or by the one pair that is left. [`block`](super::block) has the loops.
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
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Sums(pub [[PerLane<f32>; 2 * ROW_PAIRS]; TOKEN_PAIRS]);

/// Products of a sheet with a tile: `[token][row]`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Folded(pub [[f32; ROWS]; TOKENS]);

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
            "vmovdqa64 zmm", $b, ", zmm", $a, "\n",
            "vmovdqa64 zmm", $c, ", zmm", $a, "\n",
            "vmovdqa64 zmm", $d, ", zmm", $a, "\n",
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

/// Loads a pair's partial sums.
#[rustfmt::skip]
macro_rules! load_sums {
    ($pair:literal $at:literal, $x:literal, $($isum:literal)*,
     $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "vmovaps zmm", $a, ", [{sums} + ", $at, "]\n",
            "vmovaps zmm", $b, ", [{sums} + ", $at, " + 64]\n",
            "vmovaps zmm", $c, ", [{sums} + ", $at, " + 128]\n",
            "vmovaps zmm", $d, ", [{sums} + ", $at, " + 192]\n",
        )
    };
}

/// Stores them.
#[rustfmt::skip]
macro_rules! store_sums {
    ($pair:literal $at:literal, $x:literal, $($isum:literal)*,
     $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "vmovaps [{sums} + ", $at, "], zmm", $a, "\n",
            "vmovaps [{sums} + ", $at, " + 64], zmm", $b, "\n",
            "vmovaps [{sums} + ", $at, " + 128], zmm", $c, "\n",
            "vmovaps [{sums} + ", $at, " + 192], zmm", $d, "\n",
        )
    };
}

/// Adds lanes of two vectors: what `$pick` takes with `$low` to what it takes with
/// `$high`.
#[rustfmt::skip]
macro_rules! add_picked {
    ($pick:literal $low:literal $high:literal, $a:literal $b:literal => $sum:literal) => {
        concat!(
            $pick, " zmm8, zmm", $a, ", zmm", $b, ", ", $low, "\n",
            $pick, " zmm9, zmm", $a, ", zmm", $b, ", ", $high, "\n",
            "vaddps zmm", $sum, ", zmm8, zmm9\n",
        )
    };
}

/// Folds the partial sums of a tile in halves and stores its products.
#[rustfmt::skip]
macro_rules! fold {
    () => {
        concat!(
            // Of each: two vectors, whose quarters belong to four halves of vectors before.
            add_picked!("vshuff64x2" 0x88 0xdd, 0 1 => 0),
            add_picked!("vshuff64x2" 0x88 0xdd, 2 3 => 2),
            add_picked!("vshuff64x2" 0x88 0xdd, 4 5 => 4),
            add_picked!("vshuff64x2" 0x88 0xdd, 6 7 => 6),
            add_picked!("vshufpd" 0x00 0xff, 0 2 => 0),
            add_picked!("vshufpd" 0x00 0xff, 4 6 => 4),
            add_picked!("vshufps" 0x88 0xdd, 0 4 => 0),
            "vmovdqa64 zmm8, [{between} + {of_sorted}]\n",
            "vpermps zmm0, zmm8, zmm0\n",
            "vmovaps [{folded}], zmm0\n",
            "add {folded}, 64\n",
        )
    };
}

pub(super) use {
    add_picked, begin, dot, fold, groups, load_sums, minimum_of_pair, octet, one, rows, scale_pair,
    scale_sum, step, store_sums, two,
};
