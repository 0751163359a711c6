//! The cache of keys and values of one sequence in one layer.
//!
//! # Layout
//!
//! Chunks of 64 positions, allocated one by one as the sequence grows. In a
//! chunk the heads lie one after the other, each with its keys and its values
//! in panels of sixteen lanes, in the order in which attention reads them:
//!
//! ```text
//! chunk   [heads] { keys, values }                      heads start on cache lines
//!
//! F32, F16
//! keys    [4 sixteens of positions][head_dim_k][16]     lanes are positions
//! values  [sixteens of head_dim_v][64 positions][16]    lanes are dimensions
//! ```
//!
//! So a step over a dimension of the keys is one load for sixteen scores, with
//! no sums across lanes, and so is a step over a position of the values. Where
//! `head_dim_v` is no multiple of 16 the last panel is padded with zeros.
//!
//! ```text
//! Q8_0
//! keys          i8   [4 sixteens of positions][blocks][8][16][4]
//! key scales    f16  [4 sixteens of positions][blocks][16]
//! values        i8   [sixteens of head_dim_v][64 positions][16]
//! value scales  f16  [blocks][64 positions]
//! ```
//!
//! A block is 32 dimensions, the last one padded with zeros. Four consecutive
//! dimensions of a key lie side by side, which is what integer dot products
//! take.
//!
//! Chunks that nobody will attend to any more can be given back ([`KvLayer::keep`]).

use super::append::Append;
use crate::format::GROUP;
use crate::isa::Isa;
use crate::lanes::LANES;
use crate::lines::{LINE_BYTES, Lines};
use crate::team::Region;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Positions in a chunk.
pub const CHUNK: usize = 64;

/// Panels of sixteen keys in a chunk.
pub(super) const KEY_PANELS: usize = CHUNK / LANES;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// As they come.
    F32,
    /// Rounded to binary16, to nearest even.
    F16,
    /// 8-bit integers with a binary16 scale for 32 dimensions: `d = amax / 127`
    /// rounded to binary16, `q = x · (1 / d)` rounded to nearest even and
    /// clamped to ±127. A block with an infinity or a NaN has the scale NaN;
    /// one whose scale overflows or vanishes has `q = 0`.
    Q8_0,
}

impl KvFormat {
    /// Every format.
    pub const ALL: [KvFormat; 3] = [KvFormat::F32, KvFormat::F16, KvFormat::Q8_0];

    /// The name used on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            KvFormat::F32 => "f32",
            KvFormat::F16 => "f16",
            KvFormat::Q8_0 => "q8_0",
        }
    }
}

impl fmt::Display for KvFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no cache format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown cache format {0:?}, expected f32, f16 or q8_0")]
pub struct UnknownKvFormat(String);

impl FromStr for KvFormat {
    type Err = UnknownKvFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        KvFormat::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| UnknownKvFormat(text.to_owned()))
    }
}

/// Shape of a layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub format: KvFormat,
    pub n_head_kv: usize,
    pub head_dim_k: usize,
    pub head_dim_v: usize,
}

/// One head in one chunk; see the module documentation. `B` is `&[u8]` or
/// `&mut [u8]`.
pub(super) struct Head<B> {
    pub keys: B,
    pub key_scales: B,
    pub values: B,
    pub value_scales: B,
}

impl Shape {
    /// Bytes of keys, their scales, values and theirs, of a head in a chunk.
    fn parts(&self) -> [usize; 4] {
        let keys = CHUNK * self.head_dim_k;
        let values = CHUNK * self.head_dim_v.next_multiple_of(LANES);
        match self.format {
            KvFormat::F32 => [keys * 4, 0, values * 4, 0],
            KvFormat::F16 => [keys * 2, 0, values * 2, 0],
            KvFormat::Q8_0 => {
                let scales = |dim: usize| CHUNK * dim.div_ceil(GROUP) * 2;
                let keys = CHUNK * self.head_dim_k.next_multiple_of(GROUP);
                [
                    keys,
                    scales(self.head_dim_k),
                    values,
                    scales(self.head_dim_v),
                ]
            }
        }
    }

    /// Bytes of a head in a chunk.
    #[inline]
    pub fn head_bytes(&self) -> usize {
        self.parts()
            .iter()
            .sum::<usize>()
            .next_multiple_of(LINE_BYTES)
    }

    fn chunk_bytes(&self) -> usize {
        self.n_head_kv * self.head_bytes()
    }

    /// Takes a head's bytes apart.
    #[inline(always)]
    fn head<'a>(&self, bytes: &'a [u8]) -> Head<&'a [u8]> {
        let [keys, key_scales, values, value_scales] = self.parts();
        let (keys, rest) = bytes.split_at(keys);
        let (key_scales, rest) = rest.split_at(key_scales);
        let (values, rest) = rest.split_at(values);
        Head {
            keys,
            key_scales,
            values,
            value_scales: &rest[..value_scales],
        }
    }

    /// Takes a head's bytes apart.
    pub fn head_mut<'a>(&self, bytes: &'a mut [u8]) -> Head<&'a mut [u8]> {
        let [keys, key_scales, values, value_scales] = self.parts();
        let (keys, rest) = bytes.split_at_mut(keys);
        let (key_scales, rest) = rest.split_at_mut(key_scales);
        let (values, rest) = rest.split_at_mut(values);
        Head {
            keys,
            key_scales,
            values,
            value_scales: &mut rest[..value_scales],
        }
    }
}

/// The keys and values of one sequence in one layer; the layout stands at the
/// top of this file.
pub struct KvLayer {
    shape: Shape,
    /// Empty where they have been given back.
    chunks: Vec<Lines<u8>>,
    len: usize,
}

impl KvLayer {
    /// An empty cache.
    ///
    /// # Panics
    ///
    /// If a dimension is zero.
    pub fn new(
        format: KvFormat,
        n_head_kv: usize,
        head_dim_k: usize,
        head_dim_v: usize,
    ) -> KvLayer {
        assert!(
            n_head_kv > 0 && head_dim_k > 0 && head_dim_v > 0,
            "{n_head_kv} heads of {head_dim_k} and {head_dim_v}"
        );
        KvLayer {
            shape: Shape {
                format,
                n_head_kv,
                head_dim_k,
                head_dim_v,
            },
            chunks: Vec::new(),
            len: 0,
        }
    }

    /// The format.
    pub fn format(&self) -> KvFormat {
        self.shape.format
    }

    /// Heads of keys and values.
    pub fn n_head_kv(&self) -> usize {
        self.shape.n_head_kv
    }

    /// Dimensions of a key.
    pub fn head_dim_k(&self) -> usize {
        self.shape.head_dim_k
    }

    /// Dimensions of a value.
    pub fn head_dim_v(&self) -> usize {
        self.shape.head_dim_v
    }

    /// Number of positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that a cache like this one takes for `positions` positions.
    pub fn bytes_for(&self, positions: usize) -> usize {
        positions.div_ceil(CHUNK) * self.shape.chunk_bytes()
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        let chunks = self.chunks.iter().filter(|chunk| !chunk.is_empty());
        chunks.count() * self.shape.chunk_bytes()
    }

    /// Whether these positions are there: held, and not given back.
    pub fn has(&self, positions: Range<usize>) -> bool {
        let chunks = positions.start / CHUNK..positions.end.div_ceil(CHUNK);
        positions.is_empty()
            || positions.end <= self.len
                && self.chunks[chunks].iter().all(|chunk| !chunk.is_empty())
    }

    /// Gives back the chunks that are full and have none of these positions: nobody may
    /// attend to what they held any more.
    pub fn keep(&mut self, positions: &[Range<usize>]) {
        for (index, chunk) in self.chunks[..self.len / CHUNK].iter_mut().enumerate() {
            let (begin, end) = (index * CHUNK, (index + 1) * CHUNK);
            if !positions
                .iter()
                .any(|kept| kept.start < end && begin < kept.end)
            {
                *chunk = Lines::default();
            }
        }
    }

    /// Allocates what `positions` positions need.
    pub fn reserve(&mut self, positions: usize) {
        while self.chunks.len() < positions.div_ceil(CHUNK) {
            self.chunks.push(Lines::zeros(self.shape.chunk_bytes()));
        }
    }

    /// Forgets all positions from `len` on and frees the chunks that leaves
    /// empty.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.chunks.truncate(self.len.div_ceil(CHUNK));
    }

    /// Writes the keys `[tokens, n_head_kv · head_dim_k]` and values `[tokens,
    /// n_head_kv · head_dim_v]` of the positions from `position` on, and
    /// forgets those after them.
    ///
    /// # Panics
    ///
    /// If the two are not of equally many tokens, or positions before
    /// `position` are missing.
    pub fn append(&mut self, region: &Region<'_>, isa: Isa, k: &[f32], v: &[f32], position: usize) {
        let shape = self.shape;
        let (k_cols, v_cols) = (
            shape.n_head_kv * shape.head_dim_k,
            shape.n_head_kv * shape.head_dim_v,
        );
        let tokens = k.len() / k_cols;
        assert_eq!(
            (k.len(), v.len()),
            (tokens * k_cols, tokens * v_cols),
            "rows of {k_cols} keys and {v_cols} values"
        );
        assert!(
            position <= self.len,
            "position {position} after {} positions",
            self.len
        );
        assert!(
            self.has(position / CHUNK * CHUNK..position),
            "position {position} in a chunk that was given back"
        );
        let end = position + tokens;
        self.reserve(end);
        self.len = end;
        let chunks = position / CHUNK..end.div_ceil(CHUNK);
        let first = chunks.start;
        region.chunks_mut(&mut self.chunks[chunks], 1, |index, chunk| {
            let begin = (first + index) * CHUNK;
            let positions = position.max(begin)..end.min(begin + CHUNK);
            let rows = positions.start - position..positions.end - position;
            isa.run(Append {
                shape,
                chunk: &mut chunk[0],
                at: positions.start - begin,
                k: &k[rows.start * k_cols..rows.end * k_cols],
                v: &v[rows.start * v_cols..rows.end * v_cols],
            });
        });
    }

    /// A head in a chunk.
    #[inline(always)]
    pub(super) fn head(&self, chunk: usize, head: usize) -> Head<&[u8]> {
        self.shape.head(self.head_bytes(chunk, head))
    }

    /// The same, not taken apart.
    #[inline(always)]
    pub(super) fn head_bytes(&self, chunk: usize, head: usize) -> &[u8] {
        let len = self.shape.head_bytes();
        &self.chunks[chunk][head * len..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for format in KvFormat::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        let error = "q4_0".parse::<KvFormat>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown cache format \"q4_0\", expected f32, f16 or q8_0"
        );
    }

    #[test]
    fn bytes_of_a_position() {
        for (format, dim_k, dim_v, expected) in [
            (KvFormat::F32, 64, 64, 2 * 64 * 4),
            (KvFormat::F16, 64, 64, 2 * 64 * 2),
            (KvFormat::Q8_0, 64, 64, 2 * 2 * (32 + 2)),
            (KvFormat::F16, 24, 20, (24 + 32) * 2),
            (KvFormat::Q8_0, 24, 20, 32 + 2 + 32 + 2),
        ] {
            let layer = KvLayer::new(format, 3, dim_k, dim_v);
            assert_eq!(layer.bytes_for(1), layer.bytes_for(CHUNK));
            assert_eq!(layer.bytes_for(2 * CHUNK), 2 * CHUNK * 3 * expected);
        }
    }
}
