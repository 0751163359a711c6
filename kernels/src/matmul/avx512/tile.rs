//! What the innermost loop for many tokens does: a tile of four rows by some pairs of
//! tokens, or by those that are left. [`block`](super::block) has the loops.
//!
//! In a step, two rows lie side by side in a vector, four quants of each of
//! their eight groups, and meet those of two tokens. After eight steps each lane holds the
//! sum of a whole group:
//!
//! ```text
//! lane        0      1            7       8      9           15
//!         ┌──────┬──────┬ ┄ ┬────────┬──────┬──────┬ ┄ ┬────────┐
//! rows    │ a g0 │ a g1 │   │  a g7  │ b g0 │ b g1 │   │  b g7  │   and b beside a
//! tokens  │ s g0 │ s g1 │   │  s g7  │ t g0 │ t g1 │   │  t g7  │
//!         └──────┴──────┴ ┄ ┴────────┴──────┴──────┴ ┄ ┴────────┘
//! ```
//!
//! Integer sums begin with the bits of a float with some last bit, so they end as the bits of
//! one; what makes of that the exact `d · isum` depends on what ports do ([`Scaling`]), and
//! so does all else:
//!
//! * **Adding.** Two ports multiply, others add. Scales are `2ᵃ ± 2ᵇ`, sums begin with
//!   `2ᵃ · 1.5 · 2²³`, whose last bit counts `2ᵃ`, and adding to the exponent makes what they
//!   end as count `2ᵇ`:
//!
//!   ```text
//!   (2ᵃ · (1.5 · 2²³ + isum) − d · 1.5 · 2²³) ± 2ᵇ · (1.5 · 2²³ + isum)  =  d · isum
//!   ```
//!
//!   Nothing rounds there: the bracket is an integer times `2ᵃ`, the whole one times `2ᵇ`,
//!   both below 2²⁴. A load that broadcasts takes a port that moves lanes, one of which
//!   multiplies; so the rows change places, once for all tokens, and meet both of a pair as
//!   it lies. Two pairs take eight integer sums, and of 36 operations on the ports
//!   that multiply, for an octet, two vectors of rows and a pair, 32 are VPDPBUSD.
//! * **Multiplying.** All operations on 512 bits share two ports. Sums begin with
//!   `1.5 · 2²³`, and one multiply-add undoes that and scales them:
//!
//!   ```text
//!   (1.5 · 2²³ + isum) · d − d · 1.5 · 2²³  =  d · isum
//!   ```
//!
//!   Loads that broadcast take none of the two, so each token of a pair comes into both
//!   halves of a vector. Of 40 operations 32 are VPDPBUSD; these take five cycles, so that
//!   eight sums would have them wait for each other: three pairs take twelve.
//!
//! In both, four more operations of 36 or 40 are for each minimum, or halves apart.
//!
//! This is assembly since the compiler, given the same as intrinsics, keeps
//! loads in registers and sums in memory.
//!
//! | registers | hold |
//! |---|---|
//! | 0–3, 4–7, 8–11 | partial sums of each pair; adding: rows a b, c d, b a, d c |
//! | 12–15, 16–19, 20–23 | integer sums |
//! | 24–27 | a step of the rows, scales or minimums; multiplying: only 24 and 25 |
//! | 26–31 | a step of the pairs, what comes after the steps |

use super::octet::PerLane;
use crate::activation::{OfTwo, Pair, Scaling};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;

/// Rows of a tile.
pub const ROWS: usize = 4;
/// Pairs of rows, side by side.
pub const ROW_PAIRS: usize = ROWS / 2;

/// Pairs of tokens of a tile.
pub const fn token_pairs(scaling: Scaling) -> usize {
    match scaling {
        Scaling::Adding => 2,
        Scaling::Multiplying => 3,
    }
}

/// Quants of an octet of two rows, by step: four of each group.
pub type Quants = [[u8; 64]; 8];

/// What a pair of tokens and a tile's rows have of partial sums.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Sums(pub [PerLane<f32>; ROWS]);

/// Tokens whose products lie side by side.
pub const FOLDED_TOKENS: usize = 4;

/// Products of a sheet with two pairs of tokens: `[token][row]`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Folded(pub [[f32; ROWS]; FOLDED_TOKENS]);

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
const _: () = assert!(offset_of!(Pair, ones) == 512 && offset_of!(Pair, by) == 576);
const _: () = assert!(size_of::<Beside>() == 256);

// The pieces below write a register as its number. What is done for each pair of
// tokens is a piece that ends in how sums are scaled and the pair's own arguments: its
// pointer, where it begins in what is beside, and its registers: of two vectors of its
// tokens, of the rows that its four sums are of, of the integer sums, of the partial ones.
// The first two sums are of the first vector of tokens, the others of the second. When
// adding, that is the same one.

/// A piece for one pair of tokens.
#[rustfmt::skip]
macro_rules! one {
    (adding $piece:ident $($argument:literal)*) => {
        $piece!($($argument)* adding "{x}" 0, 28 28, 24 25 26 27, 12 13 14 15, 0 1 2 3)
    };
    (multiplying $piece:ident $($argument:literal)*) => {
        $piece!($($argument)* multiplying "{x}" 0, 26 27, 24 25 24 25, 12 13 14 15, 0 1 2 3)
    };
}

/// A piece for each of two pairs of tokens.
#[rustfmt::skip]
macro_rules! two {
    (adding $piece:ident $($argument:literal)*) => {
        concat!(
            one!(adding $piece $($argument)*),
            $piece!($($argument)* adding "{x} + {pair}" 256,
                    29 29, 24 25 26 27, 16 17 18 19, 4 5 6 7),
        )
    };
    (multiplying $piece:ident $($argument:literal)*) => {
        concat!(
            one!(multiplying $piece $($argument)*),
            $piece!($($argument)* multiplying "{x} + {pair}" 256,
                    28 29, 24 25 24 25, 16 17 18 19, 4 5 6 7),
        )
    };
}

/// A piece for each of three pairs of tokens.
#[rustfmt::skip]
macro_rules! three {
    (multiplying $piece:ident $($argument:literal)*) => {
        concat!(
            two!(multiplying $piece $($argument)*),
            $piece!($($argument)* multiplying "{x} + 2*{pair}" 512,
                    30 31, 24 25 24 25, 20 21 22 23, 8 9 10 11),
        )
    };
}

/// Loads what lies at an address for a pair of tokens: when adding, as it lies; when
/// multiplying, that of each token into both halves of a register.
#[rustfmt::skip]
macro_rules! of_tokens {
    (adding $x:literal $y:literal, $($address:expr),*) => {
        concat!("vmovdqa64 zmm", $x, ", [", $($address,)* "]\n")
    };
    (multiplying $x:literal $y:literal, $($address:expr),*) => {
        concat!(
            "vbroadcasti64x4 zmm", $x, ", [", $($address,)* "]\n",
            "vbroadcasti64x4 zmm", $y, ", [", $($address,)* " + 32]\n",
        )
    };
}

/// Begins the integer sums, of groups or half `$half`.
#[rustfmt::skip]
macro_rules! begin {
    ($half:literal adding $pair:literal $at:literal, $($tokens:literal)*, $($rows:literal)*,
     $a:literal $b:literal $c:literal $d:literal, $($sum:literal)*) => {
        concat!(
            of_tokens!(adding $a $a, "{beside} + ", $at, " + 64*", $half),
            "vmovdqa64 zmm", $b, ", zmm", $a, "\n",
            "vmovdqa64 zmm", $c, ", zmm", $a, "\n",
            "vmovdqa64 zmm", $d, ", zmm", $a, "\n",
        )
    };
    ($half:literal multiplying $pair:literal $at:literal, $($tokens:literal)*, $($rows:literal)*,
     $a:literal $b:literal $c:literal $d:literal, $($sum:literal)*) => {
        concat!(
            of_tokens!(multiplying $a $c, "{beside} + ", $at, " + 64*", $half),
            "vmovdqa64 zmm", $b, ", zmm", $a, "\n",
            "vmovdqa64 zmm", $d, ", zmm", $c, "\n",
        )
    };
}

/// Multiplies step `$step` with a pair of tokens.
#[rustfmt::skip]
macro_rules! dot {
    ($step:literal $scaling:ident $pair:literal $at:literal, $x:literal $y:literal,
     $p:literal $q:literal $r:literal $s:literal,
     $a:literal $b:literal $c:literal $d:literal, $($sum:literal)*) => {
        concat!(
            of_tokens!($scaling $x $y, $pair, " + 64*", $step),
            "vpdpbusd zmm", $a, ", zmm", $p, ", zmm", $x, "\n",
            "vpdpbusd zmm", $b, ", zmm", $q, ", zmm", $x, "\n",
            "vpdpbusd zmm", $c, ", zmm", $r, ", zmm", $y, "\n",
            "vpdpbusd zmm", $d, ", zmm", $s, ", zmm", $y, "\n",
        )
    };
}

/// Loads vector `$index` of the first pair of rows and that of the second,
/// `$apart` bytes further on; when adding, lets the rows of each change places.
#[rustfmt::skip]
macro_rules! rows {
    (adding $from:literal, $index:literal, $apart:literal) => {
        concat!(
            rows!(multiplying $from, $index, $apart),
            "vshufi64x2 zmm26, zmm24, zmm24, 78\n",
            "vshufi64x2 zmm27, zmm25, zmm25, 78\n",
        )
    };
    (multiplying $from:literal, $index:literal, $apart:literal) => {
        concat!(
            "vmovdqu64 zmm24, [", $from, " + 64*", $index, "]\n",
            "vmovdqu64 zmm25, [", $from, " + 64*", $index, " + ", $apart, "]\n",
        )
    };
}

/// Multiplies a step with all tokens.
#[rustfmt::skip]
macro_rules! step {
    ($scaling:ident $tokens:ident, $step:literal) => {
        concat!(
            rows!($scaling "{q}", $step, 512),
            $tokens!($scaling dot $step),
        )
    };
}

/// Makes `d · isum` of a pair's integer sums and adds their products with the
/// scales of the rows.
#[rustfmt::skip]
macro_rules! scale_pair {
    (adding $pair:literal $at:literal, $($tokens:literal)*,
     $p:literal $q:literal $r:literal $s:literal, $a:literal $b:literal $c:literal $d:literal,
     $sum_a:literal $sum_b:literal $sum_c:literal $sum_d:literal) => {
        concat!(
            of_tokens!(adding 30 30, $pair, " + 512"),
            of_tokens!(adding 31 31, $pair, " + 576"),
            add_sum!($a, $p, $sum_a),
            add_sum!($b, $q, $sum_b),
            add_sum!($c, $r, $sum_c),
            add_sum!($d, $s, $sum_d),
        )
    };
    (multiplying $pair:literal $at:literal, $($tokens:literal)*,
     $p:literal $q:literal $r:literal $s:literal, $a:literal $b:literal $c:literal $d:literal,
     $sum_a:literal $sum_b:literal $sum_c:literal $sum_d:literal) => {
        concat!(
            of_tokens!(multiplying 26 27, $pair, " + 512"),
            of_tokens!(multiplying 28 29, $pair, " + 576"),
            multiply_sum!($a, 26, 28, $p, $sum_a),
            multiply_sum!($b, 26, 28, $q, $sum_b),
            multiply_sum!($c, 27, 29, $r, $sum_c),
            multiply_sum!($d, 27, 29, $s, $sum_d),
        )
    };
}

/// The same by additions, for one vector of them, with what is in 30 and 31.
#[rustfmt::skip]
macro_rules! add_sum {
    ($isum:literal, $scale:literal, $sum:literal) => {
        concat!(
            "vpaddd zmm28, zmm", $isum, ", zmm31\n",
            "vsubps zmm", $isum, ", zmm", $isum, ", zmm30\n",
            "vaddps zmm", $isum, ", zmm", $isum, ", zmm28\n",
            "vfmadd231ps zmm", $sum, ", zmm", $scale, ", zmm", $isum, "\n",
        )
    };
}

/// The same by a multiplication.
#[rustfmt::skip]
macro_rules! multiply_sum {
    ($isum:literal, $ones:literal, $by:literal, $scale:literal, $sum:literal) => {
        concat!(
            "vfmsub213ps zmm", $isum, ", zmm", $by, ", zmm", $ones, "\n",
            "vfmadd231ps zmm", $sum, ", zmm", $scale, ", zmm", $isum, "\n",
        )
    };
}

/// Adds what minimums contribute for a pair, with half `$half` of what is beside
/// its scales.
#[rustfmt::skip]
macro_rules! minimum_of_pair {
    ($fma:literal $half:literal $scaling:ident $pair:literal $at:literal, $x:literal $y:literal,
     $p:literal $q:literal $r:literal $s:literal, $($isum:literal)*,
     $sum_a:literal $sum_b:literal $sum_c:literal $sum_d:literal) => {
        concat!(
            of_tokens!($scaling $x $y, "{beside} + ", $at, " + 128 + 64*", $half),
            $fma, " zmm", $sum_a, ", zmm", $x, ", zmm", $p, "\n",
            $fma, " zmm", $sum_b, ", zmm", $x, ", zmm", $q, "\n",
            $fma, " zmm", $sum_c, ", zmm", $y, ", zmm", $r, "\n",
            $fma, " zmm", $sum_d, ", zmm", $y, ", zmm", $s, "\n",
        )
    };
}

/// Adds the sums of all groups.
#[rustfmt::skip]
macro_rules! groups {
    ($scaling:ident $tokens:ident) => {
        concat!(
            $tokens!($scaling begin 0),
            step!($scaling $tokens, 0), step!($scaling $tokens, 1),
            step!($scaling $tokens, 2), step!($scaling $tokens, 3),
            step!($scaling $tokens, 4), step!($scaling $tokens, 5),
            step!($scaling $tokens, 6), step!($scaling $tokens, 7),
            rows!($scaling "{d}", 0, 64),
            $tokens!($scaling scale_pair),
            "add {d}, 128\n",
        )
    };
}

/// What an octet of a kind of format takes.
#[rustfmt::skip]
macro_rules! octet {
    (plain $scaling:ident $tokens:ident) => {
        groups!($scaling $tokens)
    };
    (halves $scaling:ident $tokens:ident) => {
        concat!(
            $tokens!($scaling begin 0),
            step!($scaling $tokens, 0), step!($scaling $tokens, 2),
            step!($scaling $tokens, 4), step!($scaling $tokens, 6),
            rows!($scaling "{d}", 0, 64),
            $tokens!($scaling scale_pair),
            $tokens!($scaling begin 1),
            step!($scaling $tokens, 1), step!($scaling $tokens, 3),
            step!($scaling $tokens, 5), step!($scaling $tokens, 7),
            rows!($scaling "{d}", 2, 64),
            $tokens!($scaling scale_pair),
            "add {d}, 256\n",
        )
    };
    (minimum $scaling:ident $tokens:ident) => {
        concat!(
            groups!($scaling $tokens),
            rows!($scaling "{m}", 0, 64),
            $tokens!($scaling minimum_of_pair "vfmadd231ps" 0),
            "add {m}, 128\n",
        )
    };
    (minimums $scaling:ident $tokens:ident) => {
        concat!(
            groups!($scaling $tokens),
            rows!($scaling "{m}", 0, 64),
            $tokens!($scaling minimum_of_pair "vfnmadd231ps" 0),
            rows!($scaling "{m}", 2, 64),
            $tokens!($scaling minimum_of_pair "vfnmadd231ps" 1),
            "add {m}, 256\n",
        )
    };
}

/// Loads a pair's partial sums.
#[rustfmt::skip]
macro_rules! load_sums {
    ($scaling:ident $pair:literal $at:literal, $($tokens:literal)*, $($rows:literal)*,
     $($isum:literal)*, $a:literal $b:literal $c:literal $d:literal) => {
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
    ($scaling:ident $pair:literal $at:literal, $($tokens:literal)*, $($rows:literal)*,
     $($isum:literal)*, $a:literal $b:literal $c:literal $d:literal) => {
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
            $pick, " zmm12, zmm", $a, ", zmm", $b, ", ", $low, "\n",
            $pick, " zmm13, zmm", $a, ", zmm", $b, ", ", $high, "\n",
            "vaddps zmm", $sum, ", zmm12, zmm13\n",
        )
    };
}

/// Folds the partial sums of a pair in halves, but for the last time.
#[rustfmt::skip]
macro_rules! fold_pair {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            // Of each two vectors, whose quarters belong to four halves of vectors before.
            add_picked!("vshuff64x2" 0x88 0xdd, $a $b => $a),
            add_picked!("vshuff64x2" 0x88 0xdd, $c $d => $c),
            add_picked!("vshufpd" 0x00 0xff, $a $c => $a),
        )
    };
}

/// Folds what is left of two pairs, and stores their products `$at` bytes on.
#[rustfmt::skip]
macro_rules! fold_last {
    ($a:literal $b:literal, $at:literal) => {
        concat!(
            add_picked!("vshufps" 0x88 0xdd, $a $b => $a),
            "vpermps zmm", $a, ", zmm14, zmm", $a, "\n",
            "vmovaps [{folded} + ", $at, "], zmm", $a, "\n",
        )
    };
}

/// Folds the partial sums of a tile and stores its products.
#[rustfmt::skip]
macro_rules! fold {
    (adding) => {
        concat!(
            "vmovdqa64 zmm14, [{between} + {of_sorted}]\n",
            fold_pair!(0 1 2 3),
            fold_pair!(4 5 6 7),
            fold_last!(0 4, 0),
        )
    };
    (multiplying) => {
        concat!(
            fold!(adding),
            fold_pair!(8 9 10 11),
            fold_last!(8 8, 64),
        )
    };
}

pub(super) use {
    add_picked, add_sum, begin, dot, fold, fold_last, fold_pair, groups, load_sums,
    minimum_of_pair, multiply_sum, octet, of_tokens, one, rows, scale_pair, step, store_sums,
    three, two,
};
