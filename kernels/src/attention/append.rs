//! Writing keys and values to a chunk.

use super::cache::{CHUNK, Head, KvFormat, Shape};
use super::panel::{Element, panels_mut};
use crate::format::{F16, FloatWeight, GROUP};
use crate::inlined::zip;
use crate::lanes::{LANES, Lanes, Op};
use half::f16;

/// Writes consecutive positions of one chunk.
pub struct Append<'a> {
    pub shape: Shape,
    pub chunk: &'a mut [u8],
    /// The first position in the chunk.
    pub at: usize,
    /// `[positions][heads · head_dim_k]`
    pub k: &'a [f32],
    /// `[positions][heads · head_dim_v]`
    pub v: &'a [f32],
}

impl Op for Append<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Shape {
            format,
            n_head_kv,
            head_dim_k,
            head_dim_v,
        } = self.shape;
        let heads = self.chunk.chunks_exact_mut(self.shape.head_bytes());
        for (index, bytes) in heads.enumerate() {
            let mut head = self.shape.head_mut(bytes);
            let k = self.k.chunks_exact(n_head_kv * head_dim_k);
            let v = self.v.chunks_exact(n_head_kv * head_dim_v);
            for (at, (k, v)) in zip(self.at.., zip(k, v)) {
                let k = &k[index * head_dim_k..][..head_dim_k];
                let v = &v[index * head_dim_v..][..head_dim_v];
                match format {
                    KvFormat::F32 => float::<L, f32>(l, &mut head, at, k, v),
                    KvFormat::F16 => float::<L, F16>(l, &mut head, at, k, v),
                    KvFormat::Q8_0 => int8(l, &mut head, at, k, v),
                }
            }
        }
    }
}

/// Writes position `at` of a head.
#[inline(always)]
fn float<L: Lanes, E: Narrow>(l: L, head: &mut Head<&mut [u8]>, at: usize, k: &[f32], v: &[f32]) {
    let keys = panels_mut::<E>(head.keys);
    let keys = &mut keys[at / LANES * k.len()..][..k.len()];
    for (k, keys) in zip(k.chunks(LANES), keys.chunks_mut(LANES)) {
        let narrow = E::narrow(l, l.load_part(k, 0.0));
        for (narrow, keys) in zip(narrow, keys) {
            keys[at % LANES] = narrow;
        }
    }
    let values = panels_mut::<E>(head.values);
    for (v, values) in zip(v.chunks(LANES), values.chunks_exact_mut(CHUNK)) {
        values[at] = E::narrow(l, l.load_part(v, 0.0));
    }
}

/// Writes position `at` of a head.
#[inline(always)]
fn int8<L: Lanes>(l: L, head: &mut Head<&mut [u8]>, at: usize, k: &[f32], v: &[f32]) {
    let (panel, lane) = (at / LANES, at % LANES);
    let blocks = k.len().div_ceil(GROUP);
    let keys: &mut [[[i8; 4]; LANES]] = bytemuck::cast_slice_mut(head.keys);
    let key_scales: &mut [[F16; LANES]] = bytemuck::cast_slice_mut(head.key_scales);
    for (block, k) in k.chunks(GROUP).enumerate() {
        let (scale, quants) = quantize(l, k);
        let block = panel * blocks + block;
        key_scales[block][lane] = scale;
        let quants = quants.as_flattened().as_chunks().0;
        for (quants, keys) in zip(quants.iter(), &mut keys[block * 8..]) {
            keys[lane] = *quants;
        }
    }
    let values = panels_mut::<i8>(head.values);
    let value_scales: &mut [[F16; CHUNK]] = bytemuck::cast_slice_mut(head.value_scales);
    for (block, v) in v.chunks(GROUP).enumerate() {
        let (scale, quants) = quantize(l, v);
        value_scales[block][at] = scale;
        for (half, quants) in quants.into_iter().enumerate() {
            // The last block may be of one sixteen only.
            if half * LANES < v.len() {
                values[(2 * block + half) * CHUNK + at] = quants;
            }
        }
    }
}

/// A block as [`KvFormat::Q8_0`] has it.
#[inline(always)]
fn quantize<L: Lanes>(l: L, x: &[f32]) -> (F16, [[i8; LANES]; 2]) {
    let (low, high) = x.split_at(x.len().min(LANES));
    let x = [l.load_part(low, 0.0), l.load_part(high, 0.0)];
    let scale: F16 = {
        let amax = l.max_magnitude(x[0], x[1]);
        let scale = if amax.is_finite() {
            amax / 127.0
        } else {
            f32::NAN
        };
        bytemuck::cast(f16::from_f32(scale).to_le_bytes())
    };
    let d = scale.to_f32();
    let mut quants = [[0; LANES]; 2];
    if d.is_finite() && d > 0.0 {
        let inverse = l.splat(1.0 / d);
        for (x, quants) in zip(x, &mut quants) {
            let scaled = l.max(l.mul(x, inverse), l.splat(-127.0));
            l.store_i8(l.round(scaled), quants);
        }
    }
    (scale, quants)
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
