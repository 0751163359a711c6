//! Random blocks whose weights have a sane size.
//!
//! All bits of a block are random but for its scales: those are set so that the
//! weights have the standard deviation that models are initialized with. With
//! norms of 1, activations then stay near 1 through any number of layers.

use gguf::TensorType;
use kernels::Format;
use kernels::format::BlockIQ1_M;

/// Standard deviation of the weights.
const DEVIATION: f32 = 0.02;

/// Where the binary16 scales of a block are, each with its size relative to the
/// first. The second, where there is one, makes up for quants that are all
/// positive: the middle quant then stands for zero.
fn scales(ty: TensorType) -> &'static [(usize, f32)] {
    match ty {
        TensorType::Q4_0 | TensorType::Q5_0 | TensorType::Q8_0 => &[(0, 1.0)],
        TensorType::IQ4_NL | TensorType::IQ4_XS => &[(0, 1.0)],
        TensorType::IQ1_S | TensorType::IQ3_XXS | TensorType::IQ3_S => &[(0, 1.0)],
        TensorType::IQ2_XXS | TensorType::IQ2_XS | TensorType::IQ2_S => &[(0, 1.0)],
        TensorType::Q4_1 => &[(0, 1.0), (2, -7.5)],
        TensorType::Q5_1 => &[(0, 1.0), (2, -15.5)],
        TensorType::Q2_K => &[(80, 1.0), (82, 1.5)],
        TensorType::Q3_K => &[(108, 1.0)],
        TensorType::Q4_K => &[(0, 1.0), (2, 7.5)],
        TensorType::Q5_K => &[(0, 1.0), (2, 15.5)],
        TensorType::Q6_K => &[(208, 1.0)],
        TensorType::Q1_0 | TensorType::Q2_0 => &[(0, 1.0)],
        TensorType::TQ1_0 => &[(52, 1.0)],
        TensorType::TQ2_0 => &[(64, 1.0)],
        _ => &[],
    }
}

/// Random blocks of a type, `len_bytes` of them or a little less.
pub fn random(ty: TensorType, len_bytes: usize) -> Vec<u8> {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let block = ty.block_bytes();
    let mut bytes = vec![0; len_bytes / block * block];
    let mut values = std::iter::repeat_with(|| dice.uniform());
    match ty {
        TensorType::F32 => {
            for (to, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&mut values) {
                *to = value.to_le_bytes();
            }
        }
        TensorType::F16 => {
            for (to, value) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(&mut values) {
                *to = half::f16::from_f32(value).to_le_bytes();
            }
        }
        TensorType::BF16 => {
            for (to, value) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(&mut values) {
                *to = half::bf16::from_f32(value).to_le_bytes();
            }
        }
        _ => {
            for to in bytes.as_chunks_mut::<8>().0 {
                *to = dice.next().to_le_bytes();
            }
            for block in bytes.chunks_exact_mut(block) {
                leave_three_values(ty, block);
            }
            let set = |bytes: &mut [u8], scale: f32| {
                for block in bytes.chunks_exact_mut(block) {
                    set_scales(ty, block, scale);
                }
            };
            // With a scale of 1 the weights show what it takes.
            set(&mut bytes, 1.0);
            let scale = DEVIATION / deviation(ty, &bytes[..bytes.len().min(64 * block)]);
            set(&mut bytes, scale);
        }
    }
    bytes
}

/// Of the four values of two bits, real models have three.
fn leave_three_values(ty: TensorType, block: &mut [u8]) {
    let quants = match ty {
        TensorType::Q2_0 => &mut block[2..],
        TensorType::TQ2_0 => &mut block[..64],
        _ => return,
    };
    for byte in quants {
        // The largest becomes the one that stands for zero.
        *byte &= !(*byte << 1 & 0b1010_1010);
    }
}

fn set_scales(ty: TensorType, block: &mut [u8], scale: f32) {
    if ty == TensorType::MXFP4 {
        // A power of two with a bias of 127.
        block[0] = (127.0 + scale.log2().round()) as u8;
    }
    if ty == TensorType::IQ1_M {
        BlockIQ1_M::set_scale(block, half::f16::from_f32(scale));
    }
    for &(at, relative) in scales(ty) {
        let value = half::f16::from_f32(scale * relative);
        block[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
}

fn deviation(ty: TensorType, blocks: &[u8]) -> f32 {
    let format = Format::from_tensor_type(ty).expect("recipes have computable formats");
    let mut weights = vec![0.0; blocks.len() / ty.block_bytes() * ty.block_len()];
    format.dequantize(blocks, &mut weights);
    let squares: f32 = weights.iter().map(|weight| weight * weight).sum();
    (squares / weights.len() as f32).sqrt()
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// Of the wanted deviation, and zero on average.
    fn uniform(&mut self) -> f32 {
        let unit = (self.next() >> 40) as f32 / (1 << 24) as f32;
        (unit - 0.5) * DEVIATION * 12_f32.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_a_sane_size_in_every_format() {
        for format in Format::all() {
            let ty = format.info().tensor_type;
            let bytes = random(ty, 1 << 16);
            let mut weights = vec![0.0; bytes.len() / ty.block_bytes() * ty.block_len()];
            format.dequantize(&bytes, &mut weights);
            let mean = weights.iter().sum::<f32>() / weights.len() as f32;
            let size = deviation(ty, &bytes);
            assert!((0.01..0.04).contains(&size), "{ty}: deviation {size}");
            assert!(mean.abs() < 0.2 * DEVIATION, "{ty}: mean {mean}");
            assert!(
                weights.iter().all(|weight| weight.abs() < 1.0),
                "{ty}: a large weight"
            );
        }
    }
}
