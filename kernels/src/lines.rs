//! Buffers that begin on a cache line.

use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Values in a buffer that begins on a cache line and keeps the memory it has
/// grown to.
///
/// A vector that straddles two cache lines costs two loads.
pub struct Lines<T> {
    lines: Vec<Line>,
    len: usize,
    _values: PhantomData<T>,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl<T: Pod> Lines<T> {
    const FITS: () = assert!(size_of::<Line>().is_multiple_of(size_of::<T>()));

    /// Makes it `len` values long. What they are is left open: zeros, or what
    /// stood there before.
    pub fn resize(&mut self, len: usize) -> &mut [T] {
        const { Self::FITS }
        let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        if self.lines.len() < lines {
            self.lines.resize(lines, Line::zeroed());
        }
        self.len = len;
        self
    }
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Lines {
            lines: Vec::new(),
            len: 0,
            _values: PhantomData,
        }
    }
}

impl<T: Pod> Deref for Lines<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl<T: Pod> DerefMut for Lines<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_alignment() {
        let mut lines = Lines::<[f32; 4]>::default();
        for len in [0, 1, 16, 5, 100] {
            assert_eq!(lines.resize(len).len(), len);
            assert_eq!(lines.as_ptr().addr() % 64, 0);
        }
    }
}
