//! Block formats on 64-bit ARM.
//!
//! A format says how one *octet* of a row, eight groups or 256 weights, comes
//! from its blocks into registers ([`octet::Octets`]); a *level* says how bytes
//! are multiplied and added ([`level::Level`]). All else is shared. Few tokens
//! are multiplied with octets as they come ([`in_place`]); for many, a strip is
//! unpacked once, four rows side by side ([`panel`]).
//!
//! | level   | instructions       | products of an instruction          |
//! |---------|--------------------|-------------------------------------|
//! | plain   | SMULL, SMLAL, SADALP | 8, into 16 bits, then pairs into 32 |
//! | dotprod | SDOT               | 16, by fours into 32 bits           |
//! | i8mm    | SMMLA              | 32, two rows by two tokens          |
//!
//! All of them multiply signed bytes, so quants are unpacked as the numbers
//! they stand for.

mod blocks_of_32;
mod few_bits;
mod in_place;
mod level;
mod octet;
mod panel;
mod super_blocks;
mod vector;

pub(super) use level::{Dotprod, I8mm, Plain};

use self::level::Level;
use self::octet::Octets;
use super::{Activations, Matrix, Scratch, panel::MIN_TOKENS};
use crate::team::TileMut;

/// The kernel of a format at a level.
pub(super) fn blocks<L: Level, B: Octets>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let l = L::new().expect("the registry runs a kernel only where its instructions are");
    if x.rows < MIN_TOKENS {
        in_place::strip::<L, B>(l, weight, x.int8, out);
    } else {
        panel::strip::<L, B>(l, weight, x.int8, out, &mut scratch.panel);
    }
}
