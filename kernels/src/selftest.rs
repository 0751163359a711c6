//! The self-test: every kernel that runs on this machine against the
//! definition, on random weights and activations, equal to the bit.
//!
//! A wrong kernel (or a faulty processor) gives wrong text without a word; this
//! finds out in a second.

use crate::format::Format;
use crate::isa::Isa;
use crate::matmul::{Job, Kernels, MatmulKernel, Matrix, Store, Workspace, matmul};
use crate::team::{MatMut, Team};

/// splitmix64 (Steele, Lea and Flood, 2014): the source of all test data.
pub struct Random(pub u64);

impl Random {
    /// 64 uniform bits.
    #[allow(clippy::should_implement_trait)] // no iterator: it never ends
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in −1..1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Random blocks of a format whose weights are all ordinary numbers, below
/// 1000 in magnitude.
pub fn ordinary_weights(format: Format, rows: usize, cols: usize, random: &mut Random) -> Vec<u8> {
    let info = format.info();
    let mut values = vec![0.0; info.block_len];
    let mut block = vec![0; info.block_bytes];
    let mut bytes = Vec::new();
    for _ in 0..rows * cols / info.block_len {
        loop {
            block.fill_with(|| random.next() as u8);
            format.dequantize(&block, &mut values);
            if values.iter().all(|value| value.abs() < 1e3) {
                break;
            }
        }
        bytes.extend_from_slice(&block);
    }
    bytes
}

/// How a kernel did.
pub struct Outcome {
    /// The kernel's name.
    pub name: String,
    /// The first difference, if there is one.
    pub difference: Option<String>,
}

/// Tests every kernel that runs here.
pub fn run() -> Vec<Outcome> {
    MatmulKernel::available()
        .map(|kernel| Outcome {
            name: kernel.name(),
            difference: check(kernel),
        })
        .collect()
}

/// The first difference between a kernel and the definition.
pub fn check(kernel: &MatmulKernel) -> Option<String> {
    let mut random = Random(1);
    for (rows, cols) in [(5, 256), (48, 768), (33, 2048), (5, 4352)] {
        let bytes = ordinary_weights(kernel.format, rows, cols, &mut random);
        let weight = Matrix::new(kernel.format, rows, cols, &bytes)
            .expect("the bytes were made for the shape");
        for tokens in [1, 3, 8, 32] {
            let x: Vec<f32> = (0..tokens * cols).map(|_| random.float()).collect();
            let expected = product(Isa::Scalar, weight, &x, tokens);
            let found = product(kernel.isa, weight, &x, tokens);
            let differing = expected
                .iter()
                .zip(&found)
                .position(|(a, b)| a.to_bits() != b.to_bits());
            if let Some(at) = differing {
                return Some(format!(
                    "{rows} x {cols}, {tokens} tokens, at {at}: expected {:e}, found {:e}",
                    expected[at], found[at]
                ));
            }
        }
    }
    None
}

fn product(isa: Isa, weight: Matrix<'_>, x: &[f32], rows: usize) -> Vec<f32> {
    let kernels = Kernels::new(isa).expect("only kernels that run here are tested");
    let team = Team::new(1).expect("a team of one needs no threads");
    let mut out = vec![0.0; rows * weight.rows()];
    let job = Job {
        weight,
        out: MatMut::new(&mut out, rows),
        store: Store::Set,
    };
    team.region(|region| matmul(region, &kernels, &mut Workspace::new(1), x, rows, [job]));
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kernel_of_this_machine_passes() {
        let outcomes = super::run();
        assert!(outcomes.len() >= crate::Format::all().count());
        for outcome in outcomes {
            assert_eq!(outcome.difference, None, "{}", outcome.name);
        }
    }
}
