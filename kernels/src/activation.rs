//! Activations as 8-bit integers: what block formats are multiplied with.
//!
//! # Definition
//!
//! A row of activations is cut into groups of 32. Per group:
//!
//! ```text
//! amax = max |x[i]|
//! d    = amax / 127                    q[i] = round(x[i] · (127 / amax))   to nearest even
//! xsum = d · Σ q[i]
//! ```
//!
//! * `amax < 1e-30` (zero and what would overflow the reciprocal): `d = 0` and
//!   all `q = 0`.
//! * a group that holds an infinity or a NaN: `d = NaN` and all `q = 0`, so
//!   that the result is NaN wherever the group takes part.
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
//! q     [rows][stride]        i8      in paired order, see below
//! d     [rows][padded / 32]   f32
//! xsum  [rows][padded / 32]   f32
//! sums  [rows][padded / 16]   i16     Σ q over each 16
//! ```
//!
//! In lane order, a row of quants begins 2 KB further on where it would begin a
//! multiple of 4 KB after the last, so that the same part of several rows does
//! not fall into the same sets of the first-level cache; and there is room for
//! whole tiles of four rows. Otherwise the stride is the padded length.
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
//! after four dot products of four bytes each lane has the sum of a half. The
//! negative sums of the halves, in the order of those lanes, lie beside:
//!
//! ```text
//! neg_sums   [rows][padded / 16]    i32   − Σ q over each 16; empty in paired order
//! ```

use crate::format::GROUP;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::lines::Lines;
use crate::team::Region;

/// Groups a kernel works through at a time.
pub const OCTET: usize = 8;

/// Values in an [`OCTET`] of groups.
pub const OCTET_LEN: usize = OCTET * GROUP;

/// Rows of quants that are there together in lane order.
pub const TILE_ROWS: usize = 4;

/// How the quants of an octet lie, see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In pieces of 16.
    Paired,
    /// In pieces of four.
    Lanes,
}

impl Order {
    /// The order that the kernels of an instruction set work on.
    pub const fn of(isa: Isa) -> Order {
        match isa {
            Isa::Avx512 => Order::Lanes,
            _ => Order::Paired,
        }
    }
}

/// Where half `index` has its lane among those of its octet, in lane order.
#[inline(always)]
const fn lane(index: usize) -> usize {
    let (group, half) = (index / 2 % OCTET, index % 2);
    OCTET * half + group
}

/// Where the first four quants of half `index` lie in lane order; the others
/// follow 64 bytes apart.
#[inline(always)]
const fn lane_offset(index: usize) -> usize {
    OCTET_LEN * (index / (2 * OCTET)) + 4 * lane(index)
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

/// Quantized activations: an owned buffer that is reused from step to step.
#[derive(Default)]
pub struct Int8Buffer {
    rows: usize,
    padded: usize,
    stride: usize,
    q: Lines<i8>,
    d: Lines<f32>,
    xsum: Lines<f32>,
    sums: Lines<i16>,
    neg_sums: Lines<i32>,
    order: Option<Order>,
}

/// Quantized rows, borrowed.
#[derive(Clone, Copy)]
pub struct Int8Rows<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Values per row, zero padding included: a multiple of [`OCTET_LEN`].
    pub padded: usize,
    /// From the quants of a row to those of the next.
    pub stride: usize,
    /// How quants lie.
    pub order: Order,
    /// Quants of all rows, in lane order of as many as make whole tiles.
    pub q: &'a [i8],
    /// Scales of all rows.
    pub d: &'a [f32],
    /// `d · Σ q` of all rows.
    pub xsum: &'a [f32],
    /// `Σ q` of each 16 values of all rows.
    pub sums: &'a [i16],
    /// `− Σ q` of each 16 values of all rows, in lane order, or nothing.
    pub neg_sums: &'a [i32],
}

/// One quantized row.
#[derive(Clone, Copy)]
pub struct Int8Row<'a> {
    /// How quants lie.
    pub order: Order,
    /// Quants, −127..=127.
    pub q: &'a [i8],
    /// Scale of each group.
    pub d: &'a [f32],
    /// `d · Σ q` of each group.
    pub xsum: &'a [f32],
    /// `Σ q` of each 16 values.
    pub sums: &'a [i16],
    /// `− Σ q` of each 16 values, in lane order, or nothing.
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
    /// The 16 quants of half `index`: half `index % 2` of group `index / 2`.
    #[inline(always)]
    pub fn half(&self, index: usize) -> [i8; 16] {
        let mut half = [0; 16];
        match self.order {
            Order::Paired => half.copy_from_slice(&self.q[half_offset(index)..][..16]),
            Order::Lanes => {
                for (i, four) in half.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    four.copy_from_slice(&self.q[lane_offset(index) + 64 * i..][..4]);
                }
            }
        }
        half
    }
}

impl Int8RowMut<'_> {
    /// Writes the quants of half `index` in paired order, and their sum.
    #[inline(always)]
    fn write(&mut self, index: usize, quants: &[i8; 16], sum: i16) {
        self.sums[index] = sum;
        self.q[half_offset(index)..][..16].copy_from_slice(quants);
    }
}

impl<'a> Int8Rows<'a> {
    /// Row `index`.
    #[inline]
    pub fn row(&self, index: usize) -> Int8Row<'a> {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        let groups = self.padded / GROUP;
        let neg_sums = match self.order {
            Order::Paired => &[],
            Order::Lanes => &self.neg_sums[index * groups * 2..][..groups * 2],
        };
        Int8Row {
            order: self.order,
            neg_sums,
            q: &self.q[index * self.stride..][..self.padded],
            d: &self.d[index * groups..][..groups],
            xsum: &self.xsum[index * groups..][..groups],
            sums: &self.sums[index * groups * 2..][..groups * 2],
        }
    }
}

impl Int8Buffer {
    /// Quantizes `rows` rows of `x`, spread over the team.
    ///
    /// # Panics
    ///
    /// If `x` does not hold `rows` rows of equal length.
    pub fn quantize(&mut self, region: &Region<'_>, isa: Isa, x: &[f32], rows: usize) {
        let cols = row_len(x, rows);
        let padded = cols.next_multiple_of(OCTET_LEN);
        let groups = padded / GROUP;
        self.rows = rows;
        self.padded = padded;
        let order = Order::of(isa);
        let (stride, rows_of_q) = match order {
            Order::Paired => (padded, rows),
            Order::Lanes => {
                let apart = if padded.is_multiple_of(4096) { 2048 } else { 0 };
                (padded + apart, rows.next_multiple_of(TILE_ROWS))
            }
        };
        self.stride = stride;
        self.q.resize(rows_of_q * stride);
        self.d.resize(rows * groups);
        self.xsum.resize(rows * groups);
        self.sums.resize(rows * groups * 2);
        self.order = Some(order);
        let neg_sums = match order {
            Order::Paired => 0,
            Order::Lanes => groups * 2,
        };
        self.neg_sums.resize(rows * neg_sums);
        if padded == 0 {
            return;
        }
        let quantize = quantizer(isa);
        let mut negatives = self.neg_sums.chunks_exact_mut(neg_sums.max(1));
        let mut work: Vec<_> = x
            .chunks_exact(cols)
            .zip(self.q.chunks_exact_mut(stride))
            .zip(self.d.chunks_exact_mut(groups))
            .zip(self.xsum.chunks_exact_mut(groups))
            .zip(self.sums.chunks_exact_mut(groups * 2))
            .map(|((((x, q), d), xsum), sums)| {
                let neg_sums = negatives.next().unwrap_or_default();
                let out = Int8RowMut {
                    q: &mut q[..padded],
                    d,
                    xsum,
                    sums,
                    neg_sums,
                };
                (x, out)
            })
            .collect();
        region.chunks_mut(&mut work, 1, |_, work| {
            for (x, out) in work {
                quantize(x, out);
            }
        });
    }

    /// The quantized rows.
    pub fn rows(&self) -> Int8Rows<'_> {
        Int8Rows {
            order: self.order.unwrap_or(Order::Paired),
            neg_sums: &self.neg_sums,
            rows: self.rows,
            padded: self.padded,
            stride: self.stride,
            q: &self.q,
            d: &self.d,
            xsum: &self.xsum,
            sums: &self.sums,
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
        let half = |index: usize| match halves.get(index) {
            Some(half) => l.load(half),
            None if index == halves.len() => l.load_part(tail, 0.0),
            None => l.splat(0.0),
        };
        for group in 0..out.d.len() {
            let (scale, quants) = quantize_group(l, [half(2 * group), half(2 * group + 1)]);
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

/// Scale and quants of a group in two halves, as the [module](self) defines
/// them.
#[inline(always)]
pub(crate) fn quantize_group<L: Lanes>(l: L, x: [L::F; 2]) -> (f32, [L::I; 2]) {
    let amax = l.max_magnitude(x[0], x[1]);
    let (d, inverse) = if amax < AMAX_FLOOR {
        (0.0, None)
    } else if !amax.is_finite() {
        (f32::NAN, None)
    } else {
        (amax / 127.0, Some(127.0 / amax))
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
        } else if !amax.is_finite() {
            f32::NAN
        } else {
            let inverse = 127.0 / amax;
            for (q, x) in quants.iter_mut().zip(x) {
                *q = (x * inverse).round_ties_even() as i8;
            }
            amax / 127.0
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
mod tests {
    use super::*;

    #[test]
    fn halves_fill_an_octet_and_pairs_lie_side_by_side() {
        let mut offsets: Vec<_> = (16..32).map(half_offset).collect();
        assert_eq!(
            offsets[8],
            offsets[0] + 16,
            "first halves of groups 0 and 4"
        );
        assert_eq!(
            offsets[15],
            offsets[7] + 16,
            "last halves of groups 3 and 7"
        );
        offsets.sort();
        assert_eq!(offsets, (0..16).map(|i| 256 + 16 * i).collect::<Vec<_>>());
    }

    #[test]
    fn steps_of_all_halves_lie_side_by_side_in_lane_order() {
        let mut offsets: Vec<_> = (16..32).map(lane_offset).collect();
        assert_eq!(offsets[2], offsets[0] + 4, "first halves of groups 0 and 1");
        assert_eq!(offsets[1], offsets[0] + 32, "halves of group 0");
        offsets.sort();
        assert_eq!(offsets, (0..16).map(|i| 256 + 4 * i).collect::<Vec<_>>());
    }

    #[test]
    fn every_set_quantizes_alike() {
        let mut random = crate::selftest::Random(11);
        let specials = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            1e-30,
            0.99e-30,
            1e-40,
            -0.0,
        ];
        for len in [0_usize, 1, 15, 16, 17, 31, 32, 33, 100, 255, 256, 257, 700] {
            for special in specials.map(Some).into_iter().chain([None]) {
                let scale = 10_f32.powi((len % 7) as i32 * 5 - 15);
                let mut x: Vec<f32> = (0..len).map(|_| random.float() * scale).collect();
                if let Some(special) = special {
                    x.iter_mut().step_by(45).for_each(|x| *x = special);
                }
                let run = |isa: Isa| {
                    let groups = len.next_multiple_of(OCTET_LEN) / GROUP;
                    let order = Order::of(isa);
                    let mut q = vec![1_i8; groups * GROUP];
                    let (mut d, mut xsum) = (vec![1.0; groups], vec![1.0; groups]);
                    let mut sums = vec![1_i16; groups * 2];
                    let mut neg_sums = vec![1_i32; groups * 2];
                    let mut out = Int8RowMut {
                        q: &mut q,
                        d: &mut d,
                        xsum: &mut xsum,
                        sums: &mut sums,
                        neg_sums: &mut neg_sums,
                    };
                    quantizer(isa)(&x, &mut out);
                    let row = Int8Row {
                        order,
                        q: &q,
                        d: &d,
                        xsum: &xsum,
                        sums: &sums,
                        neg_sums: &neg_sums,
                    };
                    let halves: Vec<_> = (0..groups * 2).map(|index| row.half(index)).collect();
                    if order == Order::Lanes {
                        for (index, sum) in sums.iter().enumerate() {
                            let at = index / 16 * 16 + lane(index);
                            assert_eq!(neg_sums[at], -i32::from(*sum), "{isa}, half {index}");
                        }
                    }
                    let bits = |v: Vec<f32>| -> Vec<u32> {
                        let one_nan = |v: f32| if v.is_nan() { f32::NAN } else { v };
                        v.into_iter().map(|v| one_nan(v).to_bits()).collect()
                    };
                    (halves, bits(d), bits(xsum), sums)
                };
                let expected = run(Isa::Scalar);
                for isa in Isa::available() {
                    let what = format!("{isa}, {len} values with {special:?}");
                    assert_eq!(expected, run(isa), "{what}");
                }
            }
        }
    }
}
