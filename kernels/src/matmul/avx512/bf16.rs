//! BF16 on AVX-512.
//!
//! VDPBF16PS multiplies 32 pairs of bf16 and adds the products to sixteen sums,
//! two to each: first that of the upper halves of a lane, then that of the lower
//! halves, each product exact and each sum rounded to nearest even, as a fused
//! multiply-add would. It takes subnormal numbers for zeros, of which there are
//! none ([`crate::steps`] says why). (On a Zen 4, two million random sums of each
//! of five kinds agreed, infinities and NaNs among them; Intel's manual describes
//! the same.) It is as fast as a multiply-add of half as many products.
//!
//! A processor without it has the same products from multiply-adds.

use super::super::float::{self, Dot, Machine, Work};
use super::super::{Activations, Matrix, Scratch};
use crate::format::BF16;
use crate::inlined::zip;
use crate::lanes::{self, Lanes};
use crate::steps::{Step, StepForm, UNIT};
use crate::team::TileMut;
use std::arch::x86_64::*;

/// The kernel of BF16: multiplies activations in the form they have.
pub(in super::super) fn bf16(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    match x.rounded.form() {
        StepForm::Pairs => {
            let pairs = Pairs::new().expect("activations are pairs where they can be multiplied");
            float::multiply(pairs, weight, x, out, scratch);
        }
        _ => float::strip::<lanes::Avx512, BF16>(weight, x, out, scratch),
    }
}

/// The form of activations that the kernel prefers.
pub(in super::super) fn form() -> StepForm {
    match Pairs::new() {
        Some(_) => StepForm::Pairs,
        None => StepForm::Rounded,
    }
}

/// The token of AVX-512 with BF16.
#[derive(Clone, Copy)]
struct Pairs(lanes::Avx512);

impl Pairs {
    fn new() -> Option<Pairs> {
        let lanes = lanes::Avx512::new()?;
        is_x86_feature_detected!("avx512bf16").then_some(Pairs(lanes))
    }
}

impl Machine<BF16> for Pairs {
    #[inline]
    fn call(self, work: impl Work<BF16>) {
        #[inline(never)]
        #[target_feature(
            enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16"
        )]
        fn enabled(pairs: Pairs, work: impl Work<BF16>) {
            work.run(pairs.0, pairs);
        }
        // SAFETY: a `Pairs` exists only where the processor has AVX-512 and BF16
        // (`new`).
        unsafe { enabled(self, work) }
    }
}

impl Dot<lanes::Avx512, BF16, 1> for Pairs {
    #[inline(always)]
    fn steps(self, l: lanes::Avx512, from: &[BF16; UNIT]) -> [__m512; 1] {
        // SAFETY: the processor has AVX-512 (`Pairs::new`).
        [unsafe { _mm512_castsi512_ps(l.pairs_above_floor(from)) }]
    }

    #[inline(always)]
    fn outer<const R: usize, const T: usize>(
        self,
        l: lanes::Avx512,
        acc: &mut [[__m512; R]; T],
        w: [__m512; R],
        x: [&Step; T],
    ) {
        for (acc, x) in zip(acc.iter_mut(), x) {
            let x = l.load(x);
            for (acc, w) in zip(acc.iter_mut(), w) {
                // SAFETY: the processor has the instruction (`Pairs::new`).
                *acc = unsafe { _mm512_dpbf16_ps(*acc, pairs(w), pairs(x)) };
            }
        }
    }
}

/// The bits of a step as pairs.
#[inline(always)]
fn pairs(step: __m512) -> __m512bh {
    // SAFETY: both are 64 bytes of which every value is one.
    unsafe { std::mem::transmute(step) }
}
