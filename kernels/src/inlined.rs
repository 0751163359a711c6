//! What loops over arrays and slices are written with, inlined in any case.
//!
//! The standard library has the same functions, but they go through generic ones that are
//! not marked to be inlined. The compiler makes one of each such function, in a part of the
//! crate of its own, and everything that is compiled elsewhere calls it: a closure of three
//! instructions becomes a chain of calls, and sums that belong in registers go through
//! memory. Optimizing across the parts would undo that, but takes a fifth of the time of a
//! whole build; so `lto` is off, and these are here. They also leave less behind: no function
//! of a closure that nobody calls, which was a quarter of this crate's code.
//!
//! Loops over slices of any length that the compiler is to make vectors of keep the standard
//! `zip`, which counts once for both.

use std::mem::{MaybeUninit, transmute_copy};

/// As [`std::array::from_fn`].
#[inline(always)]
pub fn from_fn<T: Copy, const N: usize>(mut f: impl FnMut(usize) -> T) -> [T; N] {
    let mut to = [MaybeUninit::uninit(); N];
    for (i, to) in to.iter_mut().enumerate() {
        to.write(f(i));
    }
    // SAFETY: all elements are written, and arrays of `MaybeUninit<T>` are laid out as
    // those of `T`.
    unsafe { transmute_copy(&to) }
}

/// As `map` of an array.
#[inline(always)]
pub fn map<T: Copy, U: Copy, const N: usize>(from: [T; N], mut f: impl FnMut(T) -> U) -> [U; N] {
    from_fn(|i| f(from[i]))
}

/// As [`std::iter::zip`].
#[inline(always)]
pub fn zip<A: IntoIterator, B: IntoIterator>(a: A, b: B) -> Zip<A::IntoIter, B::IntoIter> {
    Zip {
        a: a.into_iter(),
        b: b.into_iter(),
    }
}

/// Two iterators in step.
pub struct Zip<A, B> {
    a: A,
    b: B,
}

impl<A: Iterator, B: Iterator> Iterator for Zip<A, B> {
    type Item = (A::Item, B::Item);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.a.next()?, self.b.next()?))
    }

    #[inline(always)]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let ((low_a, high_a), (low_b, high_b)) = (self.a.size_hint(), self.b.size_hint());
        let high = match (high_a, high_b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        (low_a.min(low_b), high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_ones() {
        let squares: [usize; 5] = from_fn(|i| i * i);
        assert_eq!(squares, std::array::from_fn(|i| i * i));
        assert_eq!(map(squares, |x| x + 1), squares.map(|x| x + 1));
        for len in 0..5 {
            let (a, b) = (&squares[..len], &squares[..3]);
            assert!(zip(a, b).eq(std::iter::zip(a, b)));
            assert_eq!(zip(a, b).size_hint(), std::iter::zip(a, b).size_hint());
        }
        assert_eq!(zip(2.., 0..3).size_hint(), (3, Some(3)));
    }
}
