//! Block formats on AVX-512 with VNNI.
//!
//! VPDPBUSD multiplies four unsigned by four signed bytes and adds the products
//! to a 32-bit sum, exactly. Weights are the unsigned ones, raised by a power
//! of two where a format's are signed; what that adds is known from the sums of
//! the activations, and is what a sum begins with.
//!
//! Weights come into registers in *lane order*, in which the activations lie
//! already ([`crate::activation`]): a lane of 32 bits belongs to half a group,
//! and four VPDPBUSD later it holds that half's sum. Nothing has to be moved
//! across lanes for it, however many tokens there are; and since a group takes
//! its bits from whole 32-bit words of the file, one permutation of words and
//! one shift by lane bring most formats there ([`octet`]).
//!
//! Few tokens are multiplied with octets as they come from the file
//! ([`in_place`]). For many, a strip is unpacked once ([`pages`]) and
//! multiplied by one loop for all formats ([`panel`]), which differ there only
//! in what there is beside quants and scales.

mod bf16;
mod block;
mod blocks_of_32;
mod bundled;
mod codebooks;
mod few_bits;
mod in_place;
mod lookup;
mod octet;
mod pages;
mod panel;
mod parts;
mod quantize;
mod super_blocks;
mod tile;
mod token;
mod vector;

#[cfg(test)]
mod tests;

use super::avx2::Vectors;
use super::codebook::{self, ExpandFn};
use super::panel::Panel;
use super::{Activations, Matrix, Scratch};
use crate::activation::{Int8Rows, Order};
use crate::isa::Isa;
use crate::prefetch;
use crate::team::TileMut;
pub(super) use bf16::{bf16, form};
use codebooks::Unpacked;
use lookup::InRegisters;
use octet::Octets;

pub(crate) use quantize::{quantize, quantize_pair};

/// The kernel of a format.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn blocks<B: Octets>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let near = prefetch::prefers_first_level();
    let (x, panel) = (x.int8, &mut scratch.panel);
    match x.order {
        Order::TwoRows(scaling) => panel::strip::<B>(weight, x, scaling, near, out, panel),
        _ => in_place::strip::<B>(weight, x, near, prefetch::streams(), out, panel),
    }
}

/// The kernel of a codebook format, which multiplies one token, too few for a panel, as it
/// comes and more with what is unpacked.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn codebook<B: Vectors>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let (one_token, expand) = (codebooks::one_token::<B>, codebooks::expand::<B>);
    // SAFETY: this function has the features.
    unsafe { codebook_by(one_token, expand, weight, x, out, scratch) }
}

/// The same of a format that some processors look up in registers.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn small_codebook<B: InRegisters>(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    // SAFETY: this function has the features, and the processor those of what is chosen.
    unsafe {
        if !lookup::is_available() {
            return codebook::<B>(weight, x, out, scratch);
        }
        let (one_token, expand) = (lookup::one_token::<B>, lookup::expand::<B>);
        codebook_by(one_token, expand, weight, x, out, scratch);
    }
}

/// Multiplies a strip with one token.
type OneTokenFn = unsafe fn(Matrix<'_>, Int8Rows<'_>, bool, &mut TileMut<'_>, &mut Panel);

/// Runs one or the other.
///
/// # Safety
///
/// The processor has the features that they and [`blocks`] want.
unsafe fn codebook_by(
    one_token: OneTokenFn,
    expand: ExpandFn<Unpacked>,
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let isa = Isa::Avx512;
    // SAFETY: as the caller grants.
    unsafe {
        match x.rows {
            1 => {
                let near = prefetch::prefers_first_level();
                one_token(weight, x.int8, near, out, &mut scratch.panel);
            }
            _ => codebook::strip(isa, expand, blocks::<Unpacked>, weight, x, out, scratch),
        }
    }
}
