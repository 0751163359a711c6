//! Rows that are met in parts.

use crate::inlined;
use std::ops::Range;

/// Stretch `index` of `count` even ones.
#[inline]
pub fn nth(index: usize, count: usize, of: Range<usize>) -> Range<usize> {
    let [start, end] = inlined::map([index, index + 1], |index| {
        of.start + index * of.len() / count
    });
    start..end
}

/// How far ahead of a part of a row memory is asked for, where it would be `ahead` bytes
/// if rows were whole: what is read next is the same part of the rows that follow.
pub fn ahead_of_part(row_bytes: usize, part_bytes: usize, ahead: usize) -> usize {
    match part_bytes == row_bytes {
        true => ahead,
        false => row_bytes * ahead.div_ceil(part_bytes),
    }
}
