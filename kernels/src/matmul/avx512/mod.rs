//! Block formats on AVX-512 with VNNI.
//!
//! VPDPBUSD multiplies four unsigned by four signed bytes and adds the products
//! to a 32-bit sum, exactly. Weights are the unsigned ones, with the format's
//! offset; what the offset adds is known from the sums of the activations.
//!
//! How a format's octets come from its blocks is the business of
//! [`super::avx2::octet`], whose 256-bit unpacking serves here too. Few tokens
//! are multiplied with octets as they come ([`in_place`]). For many, a strip is
//! unpacked once, sixteen rows side by side ([`pages`]), and multiplied by one
//! loop for all formats ([`panel`]): in a panel they differ only in what there
//! is beside quants and scales.

mod in_place;
mod pages;
mod panel;
mod vector;

use super::avx2::octet::{Octets, Quants};
use super::{Activations, Matrix, Scratch, panel::MIN_TOKENS};
use crate::team::TileMut;
use std::arch::x86_64::*;

/// The kernel of a format.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
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

/// The quants of an octet, unsigned.
#[inline]
#[target_feature(enable = "avx2")]
fn unsigned<B: Octets>(mut q: [__m256i; 8]) -> [__m256i; 8] {
    if B::QUANTS == Quants::Bits8 {
        for q in &mut q {
            *q = _mm256_add_epi8(*q, _mm256_set1_epi8(B::OFFSET as i8));
        }
    }
    q
}
