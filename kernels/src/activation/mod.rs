//! Activations as 8-bit integers: what block formats are multiplied with.
//!
//! # Definition
//!
//! A row of activations is cut into groups of 32. Per group:
//!
//! ```text
//! amax = max |x[i]|
//! d    = amax / 127, rounded up        q[i] = round(x[i] · (1 / d))   to nearest even
//! xsum = d · Σ q[i]
//! ```
//!
//! * `d` is rounded up to a sum or difference of two powers of two, see
//!   [`scale_for`].
//! * `amax < 1e-30` (zero and what would overflow the reciprocal): `d = 0` and
//!   all `q = 0`.
//! * `amax ≥ 2¹¹⁰`, or a group that holds an infinity or a NaN: `d = NaN` and all
//!   `q = 0`, so that the result is NaN wherever the group takes part.
//!
//! One scale for 32 values, kept as `f32`, is finer than what formats with
//! blocks of 256 are usually multiplied with: an outlier costs its 31
//! neighbours precision and nobody else.
//!
//! # Layout
//!
//! Rows are padded with zero groups to a multiple of eight groups (256
//! values), which is what kernels work through at a time. The arrays of a row
//! lie apart, so that eight scales are one vector load:
//!
//! ```text
//! q     [rows][padded]        i8      in paired order, see below
//! d     [rows][padded / 32]   f32
//! xsum  [rows][padded / 32]   f32
//! sums  [rows][padded / 16]   i16     Σ q over each 16
//! ```
//!
//! The quants of eight groups do not lie one group after the other. What suits
//! an instruction set is its [`Order`]. In *paired order* they lie in pieces of
//! 16, the halves of groups:
//!
//! ```text
//! byte 0        16       32       48       64       80              240     256
//!      ┌────────┬────────┬────────┬────────┬────────┬────────┬ ┄ ┬────────┐
//!      │ g0 low │ g4 low │ g0 high│ g4 high│ g1 low │ g5 low │   │ g7 high│
//!      └────────┴────────┴────────┴────────┴────────┴────────┴ ┄ ┴────────┘
//! ```
//!
//! A vector of 32 bytes then holds the same half of groups `g` and `g + 4` in
//! its two lanes of 16, which is how the nibbles of two blocks fall when they
//! are split in registers; one addition sums the halves of a group, and eight
//! sums end in their natural order. See [`half_offset`].
//!
//! In *lane order* they lie in pieces of four, step `i` of each half beside step
//! `i` of the others:
//!
//! ```text
//! byte 0     4     8          32       36                64    68
//!      ┌─────┬─────┬ ┄ ┬─────┬────────┬────────┬ ┄ ┬────────┬─────┬ ┄
//!      │g0 0┄│g1 0┄│   │g7 0┄│ g0 16┄ │ g1 16┄ │   │ g7 16┄ │g0 4┄│      4 in each
//!      └─────┴─────┴ ┄ ┴─────┴────────┴────────┴ ┄ ┴────────┴─────┴ ┄
//! ```
//!
//! A vector of 64 bytes then holds four quants of each half of each group, and
//! after four dot products of four bytes each lane has the sum of a half. What belongs
//! to halves lies in the order of those lanes; and so that it can be loaded as it is,
//! what belongs to groups lies there for both halves:
//!
//! ```text
//! d, xsum    [rows][padded / 16]    f32
//! neg_sums   [rows][padded / 16]    i32   − Σ q over each 16, in place of `sums`
//! ```
//!
//! For many tokens on AVX-512, *two rows* stand side by side, the same half of the
//! same step of each, and beside each octet what else is needed of it; see [`Pair`].
//! An odd last row is its own neighbour.
//!
//! ```text
//! pairs   [rows / 2][padded / 256]   Pair
//! ```

mod pair;

use crate::format::GROUP;
use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::lines::Lines;
use crate::matmul::min_tokens_avx512;
use crate::team::Region;
use std::ops::Range;

pub use pair::{ONES, OfTwo, Pair, Scaling};

/// Groups a kernel works through at a time.
pub const OCTET: usize = 8;

/// Values in an [`OCTET`] of groups.
pub const OCTET_LEN: usize = OCTET * GROUP;

/// How the quants of an octet lie, see the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// In pieces of 16.
    #[default]
    Paired,
    /// In pieces of four.
    Lanes,
    /// In pieces of four, of two rows, with what scales sums in this way.
    TwoRows(Scaling),
}

impl Order {
    /// The order that the kernels of an instruction set work on, with so many tokens,
    /// when they scale sums in this way.
    pub fn of(isa: Isa, scaling: Scaling, tokens: usize) -> Order {
        match isa {
            Isa::Avx512 if tokens < min_tokens_avx512() => Order::Lanes,
            Isa::Avx512 => Order::TwoRows(scaling),
            _ => Order::Paired,
        }
    }

    /// Scales, sums and negative sums of a row of so many groups.
    const fn per_row(self, groups: usize) -> [usize; 3] {
        match self {
            Order::Paired => [groups, 2 * groups, 0],
            Order::Lanes => [2 * groups, 0, 2 * groups],
            Order::TwoRows(_) => [0; 3],
        }
    }
}

/// Where half `index` (16 values: half `index % 2` of group `index / 2`) begins
/// in a row's quants, in paired order.
#[inline(always)]
pub const fn half_offset(index: usize) -> usize {
    let (octet, group, half) = (index / 16, index / 2 % 8, index % 2);
    OCTET_LEN * octet + 64 * (group % 4) + 32 * half + 16 * (group / 4)
}

/// Below this, a group's largest magnitude counts as zero.
pub const AMAX_FLOOR: f32 = 1e-30;

/// From here on, a group's largest magnitude counts as no number.
pub const AMAX_CEILING: f32 = 1.298_074_2e33; // 2¹¹⁰

/// The scale of a group, from its largest magnitude: `amax / 127`, rounded up to
/// 2ᵃ · 1, 9/8, 10/8, 12/8, 14/8 or 15/8.
///
/// These are the sums 2ᵃ + 2ᵇ with b ≥ a − 3 and the differences 2ᵃ − 2ᵇ with
/// b ≥ a − 4. With such a scale, an integer sum can be scaled by additions alone,
/// and the product with any sum of a group is an exact `f32`. It costs accuracy: quants are coarser by 7 % on average.
///
/// What is above such a number by less than 2⁻¹⁹ of it is rounded down, so that a
/// division that is not exact (a GPU's) finds the same number where it matters.
#[inline(always)]
pub fn scale_for(amax: f32) -> f32 {
    /// What is added to the eighths after the leading bit, by their number.
    const NEXT: u32 = 0b0010_1000;
    let bits = ((amax / 127.0).to_bits() + 0x000f_fff0) & 0xfff0_0000;
    f32::from_bits(bits + ((NEXT >> (bits >> 20 & 7) & 1) << 20))
}

/// Quantized activations: an owned buffer that is reused from step to step.
#[derive(Default)]
pub struct Int8Buffer {
    rows: usize,
    padded: usize,
    order: Order,
    q: Lines<i8>,
    d: Lines<f32>,
    xsum: Lines<f32>,
    sums: Lines<i16>,
    neg_sums: Lines<i32>,
    pairs: Lines<u8>,
}

/// Quantized rows, borrowed.
#[derive(Clone, Copy)]
pub struct Int8Rows<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Values per row, zero padding included: a multiple of [`OCTET_LEN`].
    pub padded: usize,
    /// How they lie.
    pub order: Order,
    q: &'a [i8],
    d: &'a [f32],
    xsum: &'a [f32],
    sums: &'a [i16],
    neg_sums: &'a [i32],
    pairs: &'a [Pair],
}

/// One quantized row, not in the order of two.
#[derive(Clone, Copy)]
pub struct Int8Row<'a> {
    /// Quants, −127..=127.
    pub q: &'a [i8],
    /// Scale of each group, in lane order of each half's.
    pub d: &'a [f32],
    /// `d · Σ q` of each group, in lane order of each half's.
    pub xsum: &'a [f32],
    /// `Σ q` of each 16 values, in paired order.
    pub sums: &'a [i16],
    /// `− Σ q` of each 16 values, in lane order.
    pub neg_sums: &'a [i32],
}

/// One quantized row being written.
pub struct Int8RowMut<'a> {
    /// See [`Int8Row::q`].
    pub q: &'a mut [i8],
    /// See [`Int8Row::d`].
    pub d: &'a mut [f32],
    /// See [`Int8Row::xsum`].
    pub xsum: &'a mut [f32],
    /// See [`Int8Row::sums`].
    pub sums: &'a mut [i16],
    /// See [`Int8Row::neg_sums`].
    pub neg_sums: &'a mut [i32],
}

/// Quantizes `x` into `out`, whose arrays are as long as the padded row.
///
/// Every instruction set has one, which writes in its [`Order`];
/// [`quantize_scalar`] defines the result.
pub type QuantizeFn = fn(x: &[f32], out: &mut Int8RowMut<'_>);

impl<'a> Int8Row<'a> {
    /// The 16 quants of half `index` (half `index % 2` of group `index / 2`), in
    /// paired order.
    #[inline(always)]
    pub fn half(&self, index: usize) -> &'a [i8; 16] {
        let half = self.q[half_offset(index)..].first_chunk();
        half.expect("a half within the row")
    }
}

impl Int8RowMut<'_> {
    /// Writes the quants of half `index` in paired order, and their sum.
    #[inline(always)]
    fn write(&mut self, index: usize, quants: &[i8; 16], sum: i16) {
        self.sums[index] = sum;
        let half = self.q[half_offset(index)..].first_chunk_mut();
        *half.expect("a half within the row") = *quants;
    }
}

impl<'a> Int8Rows<'a> {
    /// Row `index`.
    ///
    /// # Panics
    ///
    /// If rows lie two by two.
    #[inline]
    pub fn row(&self, index: usize) -> Int8Row<'a> {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        let [scales, sums, neg_sums] = self.order.per_row(self.padded / GROUP);
        Int8Row {
            q: &self.q[index * self.padded..][..self.padded],
            d: &self.d[index * scales..][..scales],
            xsum: &self.xsum[index * scales..][..scales],
            sums: &self.sums[index * sums..][..sums],
            neg_sums: &self.neg_sums[index * neg_sums..][..neg_sums],
        }
    }

    /// Pairs of rows, one after the other: pair `index` is rows `2 · index` and the one
    /// after, side by side.
    ///
    /// # Panics
    ///
    /// If rows do not lie two by two.
    #[inline]
    pub fn pairs(&self, range: Range<usize>) -> &'a [Pair] {
        let octets = self.padded / OCTET_LEN;
        &self.pairs[range.start * octets..range.end * octets]
    }
}

impl Int8Buffer {
    /// Quantizes `rows` rows of `x` in an order of the instruction set's, spread over the
    /// team.
    ///
    /// # Panics
    ///
    /// If `x` does not hold `rows` rows of equal length.
    pub fn quantize(
        &mut self,
        region: &Region<'_>,
        isa: Isa,
        order: Order,
        x: &[f32],
        rows: usize,
    ) {
        let cols = row_len(x, rows);
        self.rows = rows;
        self.padded = cols.next_multiple_of(OCTET_LEN);
        self.order = order;
        match order {
            Order::TwoRows(scaling) => self.quantize_pairs(region, scaling, x, cols),
            Order::Paired | Order::Lanes => self.quantize_rows(region, isa, x, cols),
        }
    }

    /// Quantizes each row.
    fn quantize_rows(&mut self, region: &Region<'_>, isa: Isa, x: &[f32], cols: usize) {
        let [scales, sums, neg_sums] = self.order.per_row(self.padded / GROUP);
        let mut all_sums = self.sums.resize(self.rows * sums);
        let mut all_neg_sums = self.neg_sums.resize(self.rows * neg_sums);
        let q = self.q.resize(self.rows * self.padded);
        let d = self.d.resize(self.rows * scales);
        let xsum = self.xsum.resize(self.rows * scales);
        if cols == 0 {
            return;
        }
        let mut work: Vec<_> = x
            .chunks_exact(cols)
            .zip(q.chunks_exact_mut(self.padded))
            .zip(d.chunks_exact_mut(scales))
            .zip(xsum.chunks_exact_mut(scales))
            .map(|(((x, q), d), xsum)| {
                let out = Int8RowMut {
                    q,
                    d,
                    xsum,
                    sums: all_sums.split_off_mut(..sums).unwrap_or_default(),
                    neg_sums: all_neg_sums.split_off_mut(..neg_sums).unwrap_or_default(),
                };
                (x, out)
            })
            .collect();
        let quantize = quantizer(isa);
        region.chunks_mut(&mut work, 1, |_, work| {
            for (x, out) in work {
                quantize(x, out);
            }
        });
    }

    /// Quantizes rows two by two.
    fn quantize_pairs(&mut self, region: &Region<'_>, scaling: Scaling, x: &[f32], cols: usize) {
        let octets = self.padded / OCTET_LEN;
        let pairs = self.rows.div_ceil(2) * octets;
        let pairs = self.pairs.resize(pairs * size_of::<Pair>());
        if cols == 0 {
            return;
        }
        let pairs: &mut [Pair] = bytemuck::cast_slice_mut(pairs);
        let mut work: Vec<_> = x
            .chunks(2 * cols)
            .zip(pairs.chunks_exact_mut(octets))
            .collect();
        region.chunks_mut(&mut work, 1, |_, work| {
            for (x, out) in work {
                let (a, b) = x.split_at(cols);
                let b = if b.is_empty() { a } else { b };
                quantize_pair([a, b], scaling, out);
            }
        });
    }

    /// The quantized rows.
    pub fn rows(&self) -> Int8Rows<'_> {
        Int8Rows {
            rows: self.rows,
            padded: self.padded,
            order: self.order,
            q: &self.q,
            d: &self.d,
            xsum: &self.xsum,
            sums: &self.sums,
            neg_sums: &self.neg_sums,
            pairs: match self.order {
                Order::TwoRows(_) => bytemuck::cast_slice(&self.pairs),
                _ => &[],
            },
        }
    }
}

/// Values in each of `rows` rows.
///
/// # Panics
///
/// If `x` does not hold `rows` rows of equal length.
pub(crate) fn row_len(x: &[f32], rows: usize) -> usize {
    let cols = x.len().checked_div(rows).unwrap_or(0);
    let len = x.len();
    assert_eq!(rows * cols, len, "{len} activations are not {rows} rows");
    cols
}

/// The quantizer of an instruction set.
pub fn quantizer(isa: Isa) -> QuantizeFn {
    match isa {
        Isa::Scalar => quantize_scalar,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => crate::matmul::avx512::quantize,
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx512 => |_, _| unreachable!("this is another architecture"),
        Isa::Avx2 | Isa::AvxVnni => |x, out| Isa::Avx2.run(Quantize { x, out }),
        Isa::Neon | Isa::NeonDotprod | Isa::NeonI8mm => |x, out| Isa::Neon.run(Quantize { x, out }),
    }
}

/// Quantizes two rows side by side.
fn quantize_pair(x: [&[f32]; 2], scaling: Scaling, out: &mut [Pair]) {
    #[cfg(target_arch = "x86_64")]
    crate::matmul::avx512::quantize_pair(x, scaling, out);
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!(
        "this is another architecture: {}, {scaling:?} and {} octets",
        x[0].len(),
        out.len()
    );
}

struct Quantize<'a, 'b> {
    x: &'a [f32],
    out: &'a mut Int8RowMut<'b>,
}

impl Op for Quantize<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Quantize { x, out } = self;
        let (halves, tail) = x.as_chunks();
        for group in 0..out.d.len() {
            let group_halves = [
                load_half(l, halves, tail, 2 * group),
                load_half(l, halves, tail, 2 * group + 1),
            ];
            let (scale, quants) = quantize_group(l, group_halves);
            out.d[group] = scale;
            for (i, quants) in quants.into_iter().enumerate() {
                let mut to = [0; LANES];
                l.store_i8(quants, &mut to);
                out.write(2 * group + i, &to, l.fold_int(quants) as i16);
            }
            out.xsum[group] = scale * f32::from(out.sums[2 * group] + out.sums[2 * group + 1]);
        }
    }
}

/// Half `index` of values in `halves` and a `tail` that is less than one, with zeros behind.
/// (A closure of the same is not inlined, and so not compiled for the instruction set.)
#[inline(always)]
fn load_half<L: Lanes>(l: L, halves: &[[f32; LANES]], tail: &[f32], index: usize) -> L::F {
    match halves.get(index) {
        Some(half) => l.load(half),
        None if index == halves.len() => l.load_part(tail, 0.0),
        None => l.splat(0.0),
    }
}

/// Scale and quants of a group in two halves, as the [module](self) defines
/// them.
#[inline(always)]
fn quantize_group<L: Lanes>(l: L, x: [L::F; 2]) -> (f32, [L::I; 2]) {
    quantize_with(l, x, |amax| {
        (amax < AMAX_CEILING).then(|| {
            let d = scale_for(amax);
            (d, 1.0 / d)
        })
    })
}

/// The same, with another scale and its reciprocal, of the largest magnitude if that
/// counts as a number.
#[inline(always)]
pub(crate) fn quantize_with<L: Lanes>(
    l: L,
    x: [L::F; 2],
    scale: impl Fn(f32) -> Option<(f32, f32)>,
) -> (f32, [L::I; 2]) {
    let amax = l.max_magnitude(x[0], x[1]);
    let (d, inverse) = if amax < AMAX_FLOOR {
        (0.0, None)
    } else {
        match scale(amax) {
            Some((d, inverse)) => (d, Some(inverse)),
            None => (f32::NAN, None),
        }
    };
    let quants = match inverse {
        // Not `x.map`: what is not inlined into code for the instruction set
        // calls every operation of it as a function.
        Some(inverse) => {
            let inverse = l.splat(inverse);
            [l.round(l.mul(x[0], inverse)), l.round(l.mul(x[1], inverse))]
        }
        None => [l.round(l.splat(0.0)); 2],
    };
    (d, quants)
}

/// The definition.
pub fn quantize_scalar(x: &[f32], out: &mut Int8RowMut<'_>) {
    for group in 0..out.d.len() {
        let start = (group * GROUP).min(x.len());
        let x = &x[start..x.len().min(start + GROUP)];
        // The bits of |x| order like integers, infinities and NaNs on top.
        let amax_bits = x
            .iter()
            .map(|x| x.to_bits() & 0x7fff_ffff)
            .max()
            .unwrap_or(0);
        let amax = f32::from_bits(amax_bits);
        let mut quants = [0_i8; GROUP];
        let d = if amax < AMAX_FLOOR {
            0.0
        } else if amax < AMAX_CEILING {
            let d = scale_for(amax);
            let inverse = 1.0 / d;
            for (q, x) in zip(quants.iter_mut(), x) {
                *q = (x * inverse).round_ties_even() as i8;
            }
            d
        } else {
            f32::NAN
        };
        let mut sum = 0;
        for (half, quants) in quants.as_chunks().0.iter().enumerate() {
            let half_sum = quants.iter().map(|&q| i16::from(q)).sum();
            out.write(2 * group + half, quants, half_sum);
            sum += half_sum;
        }
        out.d[group] = d;
        out.xsum[group] = d * f32::from(sum);
    }
}

#[cfg(test)]
mod tests;
