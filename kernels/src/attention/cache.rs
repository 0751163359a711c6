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
//! keys    [4 sixteens of positions][head_dim_k][16]     lanes are positions
//! values  [sixteens of head_dim_v][64 positions][16]    lanes are dimensions
//! ```
//!
//! So a step over a dimension of the keys is one load for sixteen scores, with
//! no sums across lanes, and so is a step over a position of the values. Where
//! `head_dim_v` is no multiple of 16 the last panel is padded with zeros.

use super::panel::Element;
use crate::format::F16;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::team::Region;
use bytemuck::Zeroable;

/// Positions in a chunk.
pub const CHUNK: usize = 64;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// As they come.
    F32,
    /// Rounded to binary16, to nearest even.
    F16,
}

impl KvFormat {
    /// Every format.
    pub const ALL: [KvFormat; 2] = [KvFormat::F32, KvFormat::F16];

    /// The name used on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            KvFormat::F32 => "f32",
            KvFormat::F16 => "f16",
        }
    }

    const fn value_bytes(self) -> usize {
        match self {
            KvFormat::F32 => 4,
            KvFormat::F16 => 2,
        }
    }
}

/// A cache line: what chunks are made of, for their alignment.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Shape of a layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    format: KvFormat,
    n_head_kv: usize,
    head_dim_k: usize,
    head_dim_v: usize,
}

impl Shape {
    fn key_bytes(&self) -> usize {
        CHUNK * self.head_dim_k * self.format.value_bytes()
    }

    fn head_bytes(&self) -> usize {
        let values = CHUNK * self.head_dim_v.next_multiple_of(LANES);
        (self.key_bytes() + values * self.format.value_bytes()).next_multiple_of(64)
    }
}

/// The keys and values of one sequence in one layer.
pub struct KvLayer {
    shape: Shape,
    chunks: Vec<Vec<Line>>,
    len: usize,
}

/// The keys and values of one head in one chunk.
pub(super) struct Panels<'a, E> {
    /// `[4][head_dim_k]`
    pub keys: &'a [[E; LANES]],
    /// `[sixteens of head_dim_v][CHUNK]`
    pub values: &'a [[E; LANES]],
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

    /// Bytes that `positions` positions of such a cache occupy.
    pub fn bytes_for(
        format: KvFormat,
        n_head_kv: usize,
        head_dim_k: usize,
        head_dim_v: usize,
        positions: usize,
    ) -> usize {
        KvLayer::new(format, n_head_kv, head_dim_k, head_dim_v).chunk_bytes()
            * positions.div_ceil(CHUNK)
    }

    fn chunk_bytes(&self) -> usize {
        self.shape.n_head_kv * self.shape.head_bytes()
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

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * self.chunk_bytes()
    }

    /// Allocates what `positions` positions need.
    pub fn reserve(&mut self, positions: usize) {
        let lines = self.chunk_bytes() / size_of::<Line>();
        while self.chunks.len() < positions.div_ceil(CHUNK) {
            self.chunks.push(vec![Line::zeroed(); lines]);
        }
    }

    /// Forgets all positions from `len` on and frees the chunks that leaves
    /// empty.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.chunks.truncate(self.len.div_ceil(CHUNK));
    }

    /// Adds the keys `[tokens, n_head_kv · head_dim_k]` and values `[tokens,
    /// n_head_kv · head_dim_v]` of the next positions.
    ///
    /// # Panics
    ///
    /// If the two are not of equally many tokens.
    pub fn append(&mut self, region: &Region<'_>, isa: Isa, k: &[f32], v: &[f32]) {
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
        if tokens == 0 {
            return;
        }
        let start = self.len;
        self.reserve(start + tokens);
        self.len += tokens;
        let first = start / CHUNK;
        region.chunks_mut(&mut self.chunks[first..], 1, |index, chunk| {
            let begin = (first + index) * CHUNK;
            let positions = start.max(begin)..(start + tokens).min(begin + CHUNK);
            if positions.is_empty() {
                return; // reserved for later
            }
            let rows = positions.start - start..positions.end - start;
            isa.run(Append {
                shape,
                chunk: bytemuck::cast_slice_mut(&mut chunk[0]),
                at: positions.start - begin,
                k: &k[rows.start * k_cols..rows.end * k_cols],
                v: &v[rows.start * v_cols..rows.end * v_cols],
            });
        });
    }

    /// A head's panels in a chunk.
    ///
    /// # Panics
    ///
    /// If `E` is not what the format is made of.
    #[inline(always)]
    pub(super) fn panels<E: Element>(&self, chunk: usize, head: usize) -> Panels<'_, E> {
        assert_eq!(size_of::<E>(), self.shape.format.value_bytes());
        let bytes: &[u8] = bytemuck::cast_slice(&self.chunks[chunk]);
        let head_bytes = self.shape.head_bytes();
        let head = &bytes[head * head_bytes..][..head_bytes];
        let (keys, values) = head.split_at(self.shape.key_bytes());
        let groups = self.shape.head_dim_v.div_ceil(LANES);
        let values = &values[..groups * CHUNK * LANES * size_of::<E>()];
        Panels {
            keys: bytemuck::cast_slice::<_, E>(keys).as_chunks().0,
            values: bytemuck::cast_slice::<_, E>(values).as_chunks().0,
        }
    }
}

/// Writes consecutive positions of one chunk.
struct Append<'a> {
    shape: Shape,
    chunk: &'a mut [u8],
    /// The first position in the chunk.
    at: usize,
    k: &'a [f32],
    v: &'a [f32],
}

impl Op for Append<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        match self.shape.format {
            KvFormat::F32 => self.write::<L, f32>(l),
            KvFormat::F16 => self.write::<L, F16>(l),
        }
    }
}

impl Append<'_> {
    #[inline(always)]
    fn write<L: Lanes, E: Narrow>(self, l: L) {
        let Shape {
            n_head_kv,
            head_dim_k,
            head_dim_v,
            ..
        } = self.shape;
        let key_bytes = self.shape.key_bytes();
        let heads = self.chunk.chunks_exact_mut(self.shape.head_bytes());
        for (head, bytes) in heads.enumerate() {
            let (keys, values) = bytes.split_at_mut(key_bytes);
            let keys: &mut [[E; LANES]] = bytemuck::cast_slice_mut::<_, E>(keys).as_chunks_mut().0;
            let groups = head_dim_v.div_ceil(LANES);
            let values = &mut values[..groups * CHUNK * LANES * size_of::<E>()];
            let values: &mut [[E; LANES]] =
                bytemuck::cast_slice_mut::<_, E>(values).as_chunks_mut().0;

            let rows = self.k.chunks_exact(n_head_kv * head_dim_k);
            for (at, row) in (self.at..).zip(rows) {
                let panel = &mut keys[at / LANES * head_dim_k..][..head_dim_k];
                let key = row[head * head_dim_k..][..head_dim_k].chunks(LANES);
                for (key, panel) in key.zip(panel.chunks_mut(LANES)) {
                    let narrow = E::narrow(l, l.load_part(key, 0.0));
                    for (narrow, panel) in narrow.into_iter().zip(panel) {
                        panel[at % LANES] = narrow;
                    }
                }
            }
            let rows = self.v.chunks_exact(n_head_kv * head_dim_v);
            for (at, row) in (self.at..).zip(rows) {
                let value = row[head * head_dim_v..][..head_dim_v].chunks(LANES);
                for (value, panel) in value.zip(values.chunks_exact_mut(CHUNK)) {
                    panel[at] = E::narrow(l, l.load_part(value, 0.0));
                }
            }
        }
    }
}

/// Elements that values are rounded to.
trait Narrow: Element {
    fn narrow<L: Lanes>(l: L, value: L::F) -> [Self; LANES];
}

impl Narrow for f32 {
    #[inline(always)]
    fn narrow<L: Lanes>(l: L, value: L::F) -> [f32; LANES] {
        let mut to = [0.0; LANES];
        l.store(value, &mut to);
        to
    }
}

impl Narrow for F16 {
    #[inline(always)]
    fn narrow<L: Lanes>(l: L, value: L::F) -> [F16; LANES] {
        let mut to = [F16::default(); LANES];
        l.store_f16(value, &mut to);
        to
    }
}
