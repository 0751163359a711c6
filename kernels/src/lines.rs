//! Buffers that begin on a cache line.

use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Values in a buffer that begins on a cache line and keeps the memory it has
/// grown to.
///
/// A vector that straddles two cache lines costs two loads. New memory comes zeroed
/// from the system: what is large is not written here, by one thread, but becomes
/// present where it is first used.
pub struct Lines<T> {
    words: Vec<u64>,
    len: usize,
    _values: PhantomData<T>,
}

/// Bytes of a cache line.
pub const LINE_BYTES: usize = 64;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE_BYTES]);

impl<T: Pod> Lines<T> {
    const FITS: () = assert!(size_of::<Line>().is_multiple_of(size_of::<T>()));

    /// So many zeros.
    pub fn zeros(len: usize) -> Lines<T> {
        let mut lines = Lines::default();
        lines.resize(len);
        lines
    }

    /// Makes it `len` values long. What they are is left open: zeros, or what
    /// stood there before.
    pub fn resize(&mut self, len: usize) -> &mut [T] {
        const { Self::FITS }
        if self.capacity() < len {
            let lines = (len * size_of::<T>()).div_ceil(LINE_BYTES);
            // Whatever address it gets, so many lines fit in it.
            let words = (lines + 1) * LINE_BYTES / size_of::<u64>() - 1;
            self.words = Vec::new();
            self.words = vec![0; words];
        }
        self.len = len;
        self
    }

    /// Values it can hold before it takes other memory.
    pub fn capacity(&self) -> usize {
        self.all().len()
    }

    #[inline]
    fn all(&self) -> &[T] {
        let (_, lines, _) = bytemuck::pod_align_to::<u64, Line>(&self.words);
        bytemuck::cast_slice(lines)
    }
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Lines {
            words: Vec::new(),
            len: 0,
            _values: PhantomData,
        }
    }
}

impl<T: Pod> Deref for Lines<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.all()[..self.len]
    }
}

impl<T: Pod> DerefMut for Lines<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        let (_, lines, _) = bytemuck::pod_align_to_mut::<u64, Line>(&mut self.words);
        &mut bytemuck::cast_slice_mut(lines)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_alignment() {
        let mut lines = Lines::<[f32; 4]>::default();
        for len in [0, 1, 16, 5, 100, 100_000] {
            assert_eq!(lines.resize(len).len(), len);
            assert_eq!(lines.as_ptr().addr() % 64, 0);
            assert!(lines.capacity() >= len, "{} of {len}", lines.capacity());
        }
    }
}
