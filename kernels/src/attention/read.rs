//! What a cache holds, as plain rows: for whoever keeps it elsewhere from then
//! on. Nothing that is computed goes through here.

use super::cache::{CHUNK, KvFormat, KvLayer};
use crate::format::GROUP;
use crate::lanes::LANES;
use half::f16;
use std::ops::Range;

impl KvLayer {
    /// Keys `[positions, n_head_kv · head_dim_k]` and values `[positions, n_head_kv ·
    /// head_dim_v]`: zeros where they were given back.
    ///
    /// # Panics
    ///
    /// If the cache has fewer.
    pub fn rows(&self, positions: Range<usize>) -> (Vec<f32>, Vec<f32>) {
        let len = positions.len();
        assert!(
            positions.end <= self.len(),
            "positions {positions:?} of {}",
            self.len()
        );
        let (dim_k, dim_v) = (self.head_dim_k(), self.head_dim_v());
        let format = self.format();
        let mut keys = Vec::with_capacity(len * self.n_head_kv() * dim_k);
        let mut values = Vec::with_capacity(len * self.n_head_kv() * dim_v);
        for position in positions {
            if !self.has(position..position + 1) {
                keys.resize(keys.len() + self.n_head_kv() * dim_k, 0.0);
                values.resize(values.len() + self.n_head_kv() * dim_v, 0.0);
                continue;
            }
            let at = position % CHUNK;
            let (panel, lane) = (at / LANES, at % LANES);
            for head in 0..self.n_head_kv() {
                let head = self.head(position / CHUNK, head);
                keys.extend((0..dim_k).map(|dim| {
                    if format != KvFormat::Q8_0 {
                        return number(format, head.keys, (panel * dim_k + dim) * LANES + lane);
                    }
                    let block = panel * dim_k.div_ceil(GROUP) + dim / GROUP;
                    let four = (block * (GROUP / 4) + dim % GROUP / 4) * LANES + lane;
                    let d = number(KvFormat::F16, head.key_scales, block * LANES + lane);
                    d * number(format, head.keys, four * 4 + dim % 4)
                }));
                values.extend((0..dim_v).map(|dim| {
                    let place = (dim / LANES * CHUNK + at) * LANES + dim % LANES;
                    let value = number(format, head.values, place);
                    match format {
                        KvFormat::Q8_0 => {
                            let scale = dim / GROUP * CHUNK + at;
                            value * number(KvFormat::F16, head.value_scales, scale)
                        }
                        _ => value,
                    }
                }));
            }
        }
        (keys, values)
    }
}

/// Element `index` of a part of a head.
fn number(format: KvFormat, bytes: &[u8], index: usize) -> f32 {
    match format {
        KvFormat::F32 => bytemuck::cast_slice::<_, f32>(bytes)[index],
        KvFormat::F16 => f16::from_bits(bytemuck::cast_slice::<_, u16>(bytes)[index]).to_f32(),
        KvFormat::Q8_0 => f32::from(bytes[index] as i8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::selftest::Random;
    use crate::team::Team;

    #[test]
    fn rows_are_what_was_appended() {
        let (heads, positions) = (3, 70);
        // Half a unit of eleven bits, or of 127 in the largest of a block.
        let bounds = [
            (KvFormat::F32, 0.0),
            (KvFormat::F16, 1.0 / 2048.0),
            (KvFormat::Q8_0, 1.0 / 250.0),
        ];
        for (format, bound) in bounds {
            for (dim_k, dim_v) in [(64, 64), (20, 36)] {
                let mut random = Random(1);
                let mut row = |width| (0..width).map(|_| random.float()).collect::<Vec<_>>();
                let k = row(positions * heads * dim_k);
                let v = row(positions * heads * dim_v);
                let mut layer = KvLayer::new(format, heads, dim_k, dim_v);
                Team::new(1)
                    .unwrap()
                    .region(|region| layer.append(region, Isa::Scalar, &k, &v, 0));
                let len = positions - 1;
                let (keys, values) = layer.rows(0..len);
                for (found, appended, width) in [(&keys, &k, dim_k), (&values, &v, dim_v)] {
                    assert_eq!(found.len(), len * heads * width);
                    for (index, (found, appended)) in found.iter().zip(appended).enumerate() {
                        let error = (found - appended).abs();
                        assert!(error <= bound, "{format}, {index}: {found} for {appended}");
                    }
                }
            }
        }
    }
}
