//! How rows of weights lie on the device.
//!
//! Blocks of most formats are 17 to 210 bytes long and begin anywhere; a lane that
//! reads 16 bytes of one would take five loads and shifts, where one load does that
//! begins at a multiple of 16. So each field of a row's blocks has a plane of its
//! own, in which the fields of all blocks follow each other:
//!
//! ```text
//! in the file      | d qs | d qs | d qs | …
//! on the device    | qs qs qs … | d d d … |
//! ```
//!
//! Planes begin at multiples of [`VECTOR_BYTES`], so that rows do, too. What blocks
//! hold stays as it is, to the bit. Formats that have a codebook find it in the last bytes
//! of the buffer, as `u16`s.

use gguf::TensorType;
use std::ops::Range;

/// Bytes of what a lane loads at once.
pub const VECTOR_BYTES: usize = 16;

/// How the rows of a format lie on the device.
#[derive(Debug)]
pub struct Layout {
    block_bytes: usize,
    /// The bytes of a block that each plane has.
    planes: &'static [Range<usize>],
}

/// The layouts of the formats whose blocks are taken apart.
#[allow(clippy::single_range_in_vec_init)] // one plane is meant, not all numbers in the range
const LAYOUTS: &[(TensorType, Layout)] = &[
    layout(TensorType::Q4_0, &[2..18, 0..2]),
    layout(TensorType::Q4_1, &[4..20, 0..4]),
    layout(TensorType::Q5_0, &[6..22, 2..6, 0..2]),
    layout(TensorType::Q5_1, &[8..24, 4..8, 0..4]),
    layout(TensorType::Q8_0, &[2..18, 18..34, 0..2]),
    layout(TensorType::Q2_K, &[16..80, 0..16, 80..84]),
    layout(TensorType::Q3_K, &[32..96, 0..32, 96..108, 108..110]),
    layout(TensorType::Q4_K, &[0..144]),
    layout(TensorType::Q5_K, &[0..176]),
    layout(TensorType::Q6_K, &[0..128, 128..192, 192..208, 208..210]),
    layout(TensorType::IQ4_NL, &[2..18, 0..2]),
    layout(TensorType::IQ4_XS, &[8..136, 0..8]),
    layout(TensorType::IQ1_S, &[2..34, 34..50, 0..2]),
    layout(TensorType::IQ1_M, &[0..32, 32..48, 48..56]),
    layout(TensorType::IQ2_XXS, &[2..66, 0..2]),
    layout(TensorType::IQ2_XS, &[2..66, 66..74, 0..2]),
    layout(TensorType::IQ2_S, &[2..34, 34..66, 66..74, 74..82, 0..2]),
    layout(TensorType::IQ3_XXS, &[2..66, 66..98, 0..2]),
    layout(TensorType::IQ3_S, &[2..66, 66..74, 74..106, 106..110, 0..2]),
    layout(TensorType::MXFP4, &[1..17, 0..1]),
    layout(TensorType::Q1_0, &[2..18, 0..2]),
    layout(TensorType::Q2_0, &[2..18, 0..2]),
    layout(TensorType::TQ1_0, &[0..48, 48..52, 52..54]),
    layout(TensorType::TQ2_0, &[0..64, 64..66]),
    layout(TensorType::F16, &[0..2]),
    layout(TensorType::BF16, &[0..2]),
    layout(TensorType::F32, &[0..4]),
];

const fn layout(ty: TensorType, planes: &'static [Range<usize>]) -> (TensorType, Layout) {
    let layout = Layout {
        block_bytes: ty.block_bytes(),
        planes,
    };
    (ty, layout)
}

/// The layout of a format that has a shader.
pub fn layout_of(ty: TensorType) -> Option<&'static Layout> {
    LAYOUTS
        .iter()
        .find(|(of, _)| *of == ty)
        .map(|(_, layout)| layout)
}

impl Layout {
    /// Bytes of a row of so many blocks.
    pub fn row_bytes(&self, blocks: usize) -> usize {
        let plane = |field: &Range<usize>| (blocks * field.len()).next_multiple_of(VECTOR_BYTES);
        self.planes.iter().map(plane).sum()
    }

    /// Whether rows of so many blocks lie as in the file.
    pub fn is_as_in_file(&self, blocks: usize) -> bool {
        self.planes.len() == 1 && self.row_bytes(blocks) == blocks * self.block_bytes
    }

    /// Arranges rows of so many blocks, as the file has them, for the device.
    ///
    /// # Panics
    ///
    /// If `from` is no whole rows, or `to` no room for exactly these.
    pub fn arrange(&self, blocks: usize, from: &[u8], to: &mut [u8]) {
        let from = from.chunks_exact(blocks * self.block_bytes);
        let to = to.chunks_exact_mut(self.row_bytes(blocks));
        assert!(from.remainder().is_empty(), "whole rows");
        assert_eq!(from.len(), to.len(), "rows");
        for (from, mut to) in from.zip(to) {
            for field in self.planes {
                let len = blocks * field.len();
                let (plane, rest) = to.split_at_mut(len.next_multiple_of(VECTOR_BYTES));
                let (plane, padding) = plane.split_at_mut(len);
                self.take_field(field, from, plane);
                padding.fill(0);
                to = rest;
            }
        }
    }

    fn take_field(&self, field: &Range<usize>, from: &[u8], plane: &mut [u8]) {
        if field.len() == self.block_bytes {
            return plane.copy_from_slice(from);
        }
        // A length that the compiler knows makes moves of these.
        match field.len() {
            1 => self.take::<1>(field.start, from, plane),
            2 => self.take::<2>(field.start, from, plane),
            4 => self.take::<4>(field.start, from, plane),
            8 => self.take::<8>(field.start, from, plane),
            12 => self.take::<12>(field.start, from, plane),
            16 => self.take::<16>(field.start, from, plane),
            32 => self.take::<32>(field.start, from, plane),
            48 => self.take::<48>(field.start, from, plane),
            64 => self.take::<64>(field.start, from, plane),
            128 => self.take::<128>(field.start, from, plane),
            other => unreachable!("no format has a field of {other} bytes"),
        }
    }

    fn take<const LEN: usize>(&self, start: usize, from: &[u8], plane: &mut [u8]) {
        let (fields, _) = plane.as_chunks_mut::<LEN>();
        for (field, block) in fields.iter_mut().zip(from.chunks_exact(self.block_bytes)) {
            field.copy_from_slice(&block[start..start + LEN]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_block_is_in_one_plane() {
        for (ty, layout) in LAYOUTS {
            let mut fields = layout.planes.to_vec();
            fields.sort_by_key(|field| field.start);
            let ends = fields.iter().scan(0, |end, field| {
                let begins_there = field.start == *end;
                *end = field.end;
                Some((begins_there, field.end))
            });
            let ends: Vec<_> = ends.collect();
            assert!(ends.iter().all(|(begins_there, _)| *begins_there), "{ty:?}");
            assert_eq!(ends.last().unwrap().1, ty.block_bytes(), "{ty:?}");
        }
    }

    #[test]
    fn fields_follow_each_other() {
        for (ty, layout) in LAYOUTS {
            for blocks in [1, 3, 8] {
                let row = blocks * ty.block_bytes();
                let from: Vec<u8> = (0..2 * row).map(|i| (i * 7 + i / 256) as u8).collect();
                let row_bytes = layout.row_bytes(blocks);
                assert_eq!(row_bytes % VECTOR_BYTES, 0, "{ty:?}");
                let mut to = vec![0xaa; 2 * row_bytes];
                layout.arrange(blocks, &from, &mut to);
                if layout.is_as_in_file(blocks) {
                    assert_eq!(from, to, "{ty:?}");
                }
                let mut expected = Vec::new();
                for row in from.chunks(row) {
                    for field in layout.planes {
                        for block in row.chunks(ty.block_bytes()) {
                            expected.extend_from_slice(&block[field.clone()]);
                        }
                        expected.resize(expected.len().next_multiple_of(VECTOR_BYTES), 0);
                    }
                }
                assert_eq!(to, expected, "{ty:?}, {blocks} blocks");
            }
        }
    }
}
