//! Block formats on 256-bit vectors.
//!
//! A format says how one *octet* of a row, eight groups or 256 weights, comes
//! from its blocks into registers ([`octet::Octets`]); a *level* says how bytes
//! are multiplied and added ([`level::Level`]). All else is shared. Few tokens
//! are multiplied with octets as they come ([`in_place`]). For many, a strip is
//! unpacked once, eight rows side by side ([`panel`]).
//!
//! | level           | instructions               | products of an instruction     |
//! |-----------------|----------------------------|--------------------------------|
//! | [`plain::Plain`]| VPMADDUBSW, VPMADDWD, adds | 32, by twos into 16 bits       |
//! | [`vnni::Vnni`]  | VPDPBUSD                   | 32, by fours into 32-bit sums  |

pub(super) mod blocks_of_32;
mod codebook_blocks;
mod codebooks;
pub(super) mod few_bits;
mod halves;
mod in_place;
mod level;
pub(super) mod octet;
mod pages;
mod panel;
mod plain;
pub(super) mod super_blocks;
mod tokens;
pub(super) mod vector;
mod vnni;

#[cfg(test)]
pub(super) use vnni::Evex;
pub(super) use {
    codebooks::{Found, Reading, Vectors, expand},
    halves::{floats, prefers_halves},
    plain::Plain,
    vnni::{Vex, Vnni},
};

use self::level::Level;
use self::octet::Octets;
use super::codebook::{self, expander};
use super::{Activations, Matrix, Scratch, panel::min_tokens};
use crate::format::Expanded;
use crate::team::TileMut;

/// The kernel of a format at a level.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn blocks<L: Level, B: Octets>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let l = L::new().expect("the registry runs a kernel only where its instructions are");
    if x.rows < min_tokens(L::ISA, weight.format()) {
        in_place::strip::<L, B>(l, weight, x.int8, out, &mut scratch.panel);
    } else {
        panel::strip::<L, B>(l, weight, x.int8, out, &mut scratch.panel);
    }
}

/// The kernel of a codebook format at a level, which multiplies one token as rows are looked
/// up, and more with what is spelled out.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn codebook<L: Level, B: Vectors>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    if x.rows == 1 {
        let l = L::new().expect("the registry runs a kernel only where its instructions are");
        return codebooks::one_token::<L, B>(l, weight, x.int8, out);
    }
    let (expand, kernel) = (expander::<B>(L::ISA), blocks::<L, Expanded>);
    // SAFETY: this function has the features.
    unsafe { codebook::strip(L::ISA, expand, kernel, weight, x, out, scratch) }
}
