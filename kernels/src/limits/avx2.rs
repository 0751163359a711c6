//! The byte multiply-add of AVX2: VPMADDUBSW, VPMADDWD and VPADDD.

use crate::isa::Isa;
use std::arch::asm;
use std::arch::x86_64::*;

/// Makes `turns` turns and returns the operations.
pub fn dot(turns: usize) -> u64 {
    assert!(Isa::Avx2.is_available());
    // SAFETY: the processor has AVX2, as was just asserted.
    unsafe { turn(turns) }
}

#[target_feature(enable = "avx2")]
fn turn(turns: usize) -> u64 {
    let (weights, activations) = (_mm256_set1_epi8(3), _mm256_set1_epi8(5));
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); 8];
    for _ in 0..turns {
        for sum in &mut sums {
            // Written out because a compiler may not move or drop it; with
            // operands that never change, it would compute an intrinsic once.
            // SAFETY: reads and writes the named registers only, with
            // instructions of AVX2, which this function enables.
            unsafe {
                asm!(
                    "vpmaddubsw {product}, {w}, {x}",
                    "vpmaddwd {product}, {product}, {ones}",
                    "vpaddd {sum}, {sum}, {product}",
                    product = out(ymm_reg) _,
                    sum = inout(ymm_reg) *sum,
                    w = in(ymm_reg) weights,
                    x = in(ymm_reg) activations,
                    ones = in(ymm_reg) ones,
                    options(nomem, nostack, preserves_flags),
                );
            }
        }
    }
    (turns * sums.len() * 32 * 2) as u64
}
