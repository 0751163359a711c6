//! What octets of weights, read in place, meet of a token.

use super::octet::{Octet, Octets, PerLane, beside, halves_beside, scales_of_halves, split};
use super::vector::*;
use crate::activation::{Int8Row, OCTET};
use crate::format::Minimum;
use crate::inlined::zip;
use crate::lines::Lines;
use crate::matmul::avx2::vector::load_f32 as load_eight_f32;
use bytemuck::{Pod, Zeroable};
use std::arch::x86_64::*;

/// An octet of quantized activations, in lane order.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct InLanes {
    q: [[i8; 64]; 4],
    /// The scale of each half's group.
    d: PerLane<f32>,
    /// `d · Σ q` of each half's group.
    xsum: PerLane<f32>,
    /// `− Σ q` of each half.
    neg_sums: PerLane<i32>,
}

/// Its vectors.
type Vectors = [PerLane<u32>; size_of::<InLanes>() / 64];

impl InLanes {
    /// Octet `o` of a row, which lies in lane order.
    pub fn of(row: Int8Row<'_>, o: usize) -> InLanes {
        InLanes {
            q: row.q.as_chunks().0.as_chunks().0[o],
            d: row.d.as_chunks().0[o],
            xsum: row.xsum.as_chunks().0[o],
            neg_sums: row.neg_sums.as_chunks().0[o],
        }
    }

    /// As vectors, each a value per lane.
    pub fn vectors(self) -> Vectors {
        bytemuck::cast(self)
    }

    /// From vectors.
    pub fn of_vectors(vectors: Vectors) -> InLanes {
        bytemuck::cast(vectors)
    }
}

/// An octet of a token, as a format needs it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct OfToken {
    /// Quants in the order of the weights'.
    q: [[i8; 64]; 4],
    /// The scale of each half's group.
    d: PerLane<f32>,
    /// What sums of products begin with, by lane: what undoes that weights are raised.
    begin: PerLane<i32>,
    /// What minimums are multiplied with: `d · Σ q` of each half's group, or `− d · Σ q`
    /// of each half.
    sums: PerLane<f32>,
}

impl OfToken {
    /// Room for so many.
    #[inline]
    pub fn all(lines: &mut Lines<u8>, count: usize) -> &mut [OfToken] {
        bytemuck::cast_slice_mut(lines.resize(count * size_of::<OfToken>()))
    }

    /// Puts an octet here.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub fn put<B: Octets>(&mut self, x: &InLanes) {
        self.q = x.q;
        if B::BY_WORDS {
            for [a, b] in self.q.as_chunks_mut::<2>().0 {
                let [first, last] = halves_beside(load_i8(a), load_i8(b));
                store(bytemuck::cast_mut(a), first);
                store(bytemuck::cast_mut(b), last);
            }
        }
        self.d = x.d;
        let neg_sums = load_i32(&x.neg_sums);
        if B::RAISED_BY > 0 {
            let raise = _mm512_set1_epi32(B::RAISED_BY.ilog2() as i32);
            let begin = _mm512_sllv_epi32(neg_sums, raise);
            store(bytemuck::cast_mut(&mut self.begin), begin);
        }
        match B::MINIMUM {
            Minimum::None => {}
            Minimum::Per32 => self.sums = x.xsum,
            Minimum::Per16 => {
                let sums = _mm512_mul_ps(load_f32(&x.d), _mm512_cvtepi32_ps(neg_sums));
                store_f32(&mut self.sums, sums);
            }
        }
    }

    /// What minimums of the first and of the last halves are multiplied with.
    #[inline]
    fn sums_of_halves(&self) -> &[[f32; OCTET]; 2] {
        bytemuck::cast_ref(&self.sums)
    }

    /// The sums of the products with an octet, by lane: of halves of groups, or of what
    /// together makes a group.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub fn dot<B: Octets>(&self, w: &Octet) -> __m512i {
        let mut sums = match B::RAISED_BY {
            0 => _mm512_setzero_si512(),
            _ => load_i32(&self.begin),
        };
        for (q, x) in zip(w.q.iter(), &self.q) {
            sums = _mm512_dpbusd_epi32(sums, *q, load_i8(x));
        }
        if B::FACTORS {
            sums = _mm512_mullo_epi32(sums, w.s);
        }
        sums
    }

    /// Adds the products with an octet to its row's eight partial sums.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    pub fn add<B: Octets>(&self, w: &Octet, acc: __m256) -> __m256 {
        let isums = self.dot::<B>(w);
        if B::HALVES_APART {
            let scaled = _mm512_mul_ps(load_f32(&self.d), _mm512_cvtepi32_ps(isums));
            let d = _mm512_mul_ps(beside(w.d, w.d), _mm512_cvtepi32_ps(w.s));
            let [d, scaled] = [split(d), split(scaled)];
            return _mm256_fmadd_ps(d[1], scaled[1], _mm256_fmadd_ps(d[0], scaled[0], acc));
        }
        let isums = _mm256_cvtepi32_ps(add_halves(isums));
        let scaled = _mm256_mul_ps(load_lower(&self.d), isums);
        let acc = _mm256_fmadd_ps(w.d, scaled, acc);
        match B::MINIMUM {
            Minimum::None => acc,
            Minimum::Per32 => _mm256_fmadd_ps(w.m[0], load_lower(&self.sums), acc),
            Minimum::Per16 => {
                let [first, last] = self.sums_of_halves();
                let acc = _mm256_fnmadd_ps(w.m[0], load_eight_f32(first), acc);
                _mm256_fnmadd_ps(w.m[1], load_eight_f32(last), acc)
            }
        }
    }

    /// The same for two rows side by side.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub fn add_two<B: Octets, const MINIMUMS: usize>(
        &self,
        w: &Two<MINIMUMS>,
        mut acc: __m512,
    ) -> __m512 {
        let x_d = load_f32(&self.d);
        let scaled = |isums| _mm512_mul_ps(x_d, _mm512_cvtepi32_ps(isums));
        let [first, last] = halves_beside(self.dot::<B>(&w.rows[0]), self.dot::<B>(&w.rows[1]));
        if B::HALVES_APART {
            acc = _mm512_fmadd_ps(w.d[0], scaled(first), acc);
            acc = _mm512_fmadd_ps(w.d[1], scaled(last), acc);
        } else {
            acc = _mm512_fmadd_ps(w.d[0], scaled(_mm512_add_epi32(first, last)), acc);
        }
        match w.m[..] {
            [] => acc,
            [m] => _mm512_fmadd_ps(m, load_f32(&self.sums), acc),
            [first, last, ..] => {
                let [x_first, x_last] = self.sums_of_halves();
                let acc = _mm512_fnmadd_ps(first, load_f32_twice(x_first), acc);
                _mm512_fnmadd_ps(last, load_f32_twice(x_last), acc)
            }
        }
    }
}

/// An octet of two rows side by side.
pub struct Two<const MINIMUMS: usize> {
    rows: [Octet; 2],
    /// Scales of both, or of their first and last halves.
    d: [__m512; 2],
    m: [__m512; MINIMUMS],
}

impl<const MINIMUMS: usize> Two<MINIMUMS> {
    /// Puts them side by side.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub fn new<B: Octets>(rows: [Octet; 2]) -> Self {
        let mut m = [_mm512_setzero_ps(); MINIMUMS];
        for (half, m) in m.iter_mut().enumerate() {
            *m = beside(rows[0].m[half], rows[1].m[half]);
        }
        let d = match B::HALVES_APART {
            true => scales_of_halves(&rows[0], &rows[1]),
            false => [beside(rows[0].d, rows[1].d); 2],
        };
        Two { rows, d, m }
    }

    /// Adds the products with the same octet of all tokens.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub fn add_all<B: Octets, const T: usize>(&self, x: &[OfToken; T], acc: &mut [__m512; T]) {
        for (acc, x) in zip(acc.iter_mut(), x) {
            *acc = x.add_two::<B, MINIMUMS>(self, *acc);
        }
    }
}

/// Loads the lower eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn load_lower(values: &PerLane<f32>) -> __m256 {
    let [lower, _]: &[[f32; OCTET]; 2] = bytemuck::cast_ref(values);
    load_eight_f32(lower)
}
