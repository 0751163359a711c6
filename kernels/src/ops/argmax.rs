//! The index of the largest value.

use crate::isa::Isa;
use crate::lanes::{Lanes, Op};

struct Max<'a>(&'a [f32]);

impl Op for Max<'_> {
    type Out = f32;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> f32 {
        let lowest = l.splat(f32::NEG_INFINITY);
        let (body, tail) = self.0.as_chunks();
        let mut max = l.max(l.load_part(tail, f32::NEG_INFINITY), lowest);
        for x in body {
            max = l.max(l.load(x), max);
        }
        l.fold_max(max)
    }
}

/// The index of the largest value, the first of equal ones; NaNs do not count.
/// `None` if there are only NaNs, or nothing.
pub fn argmax(isa: Isa, x: &[f32]) -> Option<usize> {
    let max = isa.run(Max(x));
    x.iter().position(|&x| x == max)
}
