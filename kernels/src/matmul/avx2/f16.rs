//! F16, whose panels keep the 16 bits of a weight.
//!
//! A tile of two rows by three tokens, which is what registers hold the sums of, reads a
//! vector of weights for each three multiplications from the second-level cache: more than a
//! Zen 3 gets from there. So weights are widened only then, which costs a conversion for three
//! multiplications. (Of BF16 that was slower.)
//!
//! A Zen 5 reads fast enough, and Intel's processors convert where they would multiply.

use super::super::float::{self, BLOCK_STEPS, Dot, Fused, Machine, Work};
use super::super::{Activations, Matrix, Scratch};
use crate::format::F16;
use crate::inlined::zip;
use crate::isa::{is_intel, is_zen_5_or_later};
use crate::lanes::{self, LANES, Lanes};
use crate::steps::{Step, UNIT};
use crate::team::TileMut;
use std::arch::x86_64::*;

/// The kernel.
pub(in super::super) fn f16(
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    if is_intel() || is_zen_5_or_later() {
        float::strip::<lanes::Avx2, F16>(weight, x, out, scratch);
    } else {
        narrow(weight, x, out, scratch);
    }
}

/// The same with weights of 16 bits, whatever the processor.
fn narrow(weight: Matrix<'_>, x: Activations<'_>, out: &mut TileMut<'_>, scratch: &mut Scratch) {
    let l = lanes::Avx2::new().expect("the registry runs a kernel only where its instructions are");
    float::multiply::<F16, _>(Narrow(l), weight, x, out, scratch);
}

/// Sixteen floats.
type F = <lanes::Avx2 as Lanes>::F;

/// The token of AVX2, FMA and F16C.
#[derive(Clone, Copy)]
struct Narrow(lanes::Avx2);

impl Machine<F16> for Narrow {
    #[inline]
    fn call(self, work: impl Work<F16>) {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn enabled(narrow: Narrow, work: impl Work<F16>) {
            work.run(narrow.0, narrow);
        }
        // SAFETY: a token of the lanes exists only where the processor has the features.
        unsafe { enabled(self, work) }
    }
}

impl Dot<lanes::Avx2, F16, 2> for Narrow {
    type Kept = [F16; LANES];
    // Of three tokens, 24 KB.
    const WHOLE: usize = 2 * BLOCK_STEPS;

    #[inline(always)]
    fn steps(self, l: lanes::Avx2, from: &[F16; UNIT]) -> [F; 2] {
        Fused.steps(l, from)
    }

    #[inline(always)]
    fn outer<const R: usize, const T: usize>(
        self,
        l: lanes::Avx2,
        acc: &mut [[F; R]; T],
        w: [F; R],
        x: [&Step; T],
    ) {
        l.outer(acc, w, x);
    }

    #[inline(always)]
    fn keep(self, _: lanes::Avx2, from: &[F16; UNIT]) -> [[F16; LANES]; 2] {
        bytemuck::cast(*from)
    }

    #[inline(always)]
    fn outer_kept<const R: usize, const T: usize>(
        self,
        l: lanes::Avx2,
        acc: &mut [[F; R]; T],
        w: &[[F16; LANES]; R],
        x: [&Step; T],
    ) {
        // First the lower lanes of all, then the upper ones: registers hold half of `w`.
        for half in 0..2 {
            let mut wide = [l.splat(0.0).0; R];
            for (wide, w) in zip(wide.iter_mut(), w) {
                let from: &[[F16; LANES / 2]] = w.as_chunks().0;
                // SAFETY: reads eight values; the processor has the features, as `l` proves.
                *wide = unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from[half].as_ptr().cast())) };
            }
            for (acc, x) in zip(acc.iter_mut(), x) {
                let from: &[[f32; LANES / 2]] = x.as_chunks().0;
                // SAFETY: as above.
                let x = unsafe { _mm256_loadu_ps(from[half].as_ptr()) };
                for (acc, wide) in zip(acc.iter_mut(), wide) {
                    let acc = if half == 0 { &mut acc.0 } else { &mut acc.1 };
                    // SAFETY: as above.
                    *acc = unsafe { _mm256_fmadd_ps(x, wide, *acc) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Forms, Job, Kernels, Store};
    use super::*;
    use crate::format::Format;
    use crate::isa::Isa;
    use crate::selftest::{Random, ordinary_weights};
    use crate::team::{MatMut, Team};

    /// What a kernel makes of a matrix and tokens.
    fn product(
        kernel: fn(Matrix<'_>, Activations<'_>, &mut TileMut<'_>, &mut Scratch),
        weight: Matrix<'_>,
        tokens: usize,
    ) -> Vec<u32> {
        let mut random = Random(2);
        let x: Vec<f32> = (0..tokens * weight.cols())
            .map(|_| random.float())
            .collect();
        let (mut forms, mut scratch) = (Forms::default(), Scratch::default());
        let mut out = vec![0.0; tokens * weight.rows()];
        Team::new(1).unwrap().region(|region| {
            let kernels = Kernels::new(Isa::Avx2).unwrap();
            let mut none = [];
            let job = Job {
                weight,
                out: MatMut::new(&mut none, 0),
                store: Store::Set,
            };
            let x = forms.fill(region, &kernels, &x, tokens, &[job]);
            let mut out = MatMut::new(&mut out, tokens);
            kernel(weight, x, &mut TileMut::whole(&mut out), &mut scratch);
        });
        out.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn narrow_panels_give_the_bits_of_scalar_ones() {
        if !Isa::Avx2.is_available() {
            return;
        }
        for (rows, cols) in [(1, 1), (5, 33), (2, 2048), (3, 2080), (7, 4170)] {
            let bytes = ordinary_weights(Format::F16, rows, cols, &mut Random(1));
            let weight = Matrix::new(Format::F16, rows, cols, &bytes).unwrap();
            for tokens in [3, 12, 13, 50] {
                let expected = product(float::strip::<lanes::Scalar, F16>, weight, tokens);
                let found = product(narrow, weight, tokens);
                assert!(found == expected, "{rows} by {cols}, {tokens} tokens");
            }
        }
    }
}
