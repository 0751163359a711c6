//! What the levels of 256-bit vectors differ in: how bytes are multiplied and
//! added.

use super::octet::{Octet, Octets};
use super::pages::{Pages, Step, Sums};
use super::tokens::{Beside, Tokens};
use crate::activation::OCTET_LEN;
use crate::isa::Isa;
use std::arch::x86_64::*;
use std::ops::Range;

/// The ways of a level, and the proof that the processor has its instructions.
///
/// All functions are compiled for AVX2, FMA and F16C, so that one source makes
/// the code around them for every level. What a level needs beyond these, it
/// writes in assembly.
///
/// # Safety
///
/// Of all methods: the processor has AVX2, FMA and F16C, as it does where there
/// is a token; the compiler does not know.
pub trait Level: Copy + 'static {
    /// The instruction set.
    const ISA: Isa;

    /// The token, if the processor has the instructions.
    fn new() -> Option<Self>;

    /// An octet as [`Level::dot`] takes it.
    unsafe fn prepare<B: Octets>(self, octet: Octet) -> Octet;

    /// The integer sums of the eight groups of an octet and `x`, in their order;
    /// `sums` are those of the halves of `x`.
    unsafe fn dot<B: Octets>(self, w: &Octet, x: &[i8; OCTET_LEN], sums: __m256i) -> __m256i;

    /// The same of the first and of the last halves of groups, for formats whose
    /// halves are apart.
    unsafe fn halves(self, w: &Octet, x: &[i8; OCTET_LEN]) -> [__m256i; 2];

    /// Steps of a group in a panel.
    fn steps<B: Octets>() -> usize;

    /// Whether sub-scales stand in a panel: pairs of `i16` of each row.
    fn has_subscales<B: Octets>() -> bool;

    /// Whether quants are multiplied as `i16`, in a panel.
    fn multiplies_words<B: Octets>() -> bool;

    /// Whether a tile takes half the tokens, because registers hold more than their sums.
    fn takes_half<B: Octets>() -> bool;

    /// An octet as it goes into a panel.
    unsafe fn prepare_for_panel<B: Octets>(self, octet: Octet) -> Octet;

    /// Stores four weights of eight rows as step `index` of a group.
    unsafe fn store_step<B: Octets>(self, group: &mut [Step], index: usize, step: __m256i);

    /// What stands beside the quants of a token for formats without minimums;
    /// `sums` are those of the halves of groups.
    unsafe fn beside<B: Octets>(self, sums: __m256i, to: &mut [Beside; 2]);

    /// Adds the products of octets of `S` sheets with `T` tokens, from `sheet`
    /// and `token` on.
    unsafe fn tile<B: Octets, const S: usize, const T: usize>(
        self,
        pages: &Pages<'_>,
        sheet: usize,
        octets: Range<usize>,
        x: &Tokens<'_>,
        token: usize,
        sums: &mut [[Sums; S]; T],
    );
}
