//! Block formats on AVX2.
//!
//! A format says how one *octet* of a row, eight groups or 256 weights, comes
//! from its blocks into registers ([`octet::Octets`]); all else is shared. Few
//! tokens are multiplied with octets as they come ([`in_place`]). For many, a
//! strip is unpacked once, eight rows side by side ([`panel`]).
//!
//! There is no instruction here that multiplies bytes into 32-bit sums.
//! `vpmaddubsw` multiplies unsigned by signed bytes and adds neighbours in 16
//! bits, which holds as many products as the weights are small:
//!
//! | weights     | largest | products that fit in 16 bits |
//! |-------------|---------|------------------------------|
//! | up to 4 bits| 15      | 16                           |
//! | 5 bits      | 31      | 8                            |
//! | 6 bits      | 63      | 4                            |
//! | 8 bits      | 128     | 2, as magnitude and sign     |
//!
//! (products of at most 127 times the weight, sums below 32768).

pub(super) mod blocks_of_32;
pub(super) mod in_place;
pub(super) mod octet;
mod panel;
pub(super) mod super_blocks;
pub(super) mod vector;

use self::octet::Octets;
use super::{Activations, Matrix, Scratch, panel::MIN_TOKENS};
use crate::team::TileMut;

/// The kernel of a format.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn blocks<B: Octets>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    if x.rows < MIN_TOKENS {
        in_place::strip::<B>(weight, x.int8, out);
    } else {
        panel::strip::<B>(weight, x.int8, out, &mut scratch.panel);
    }
}
