//! The byte multiply-add of AVX-VNNI: VPDPBUSD on 256 bits.

use crate::isa::Isa;
use std::arch::asm;
use std::arch::x86_64::*;

/// Makes `turns` turns and returns the operations.
pub fn dot(turns: usize) -> u64 {
    assert!(Isa::AvxVnni.is_available());
    // SAFETY: the processor has AVX-VNNI, as was just asserted.
    unsafe { turn(turns) }
}

#[target_feature(enable = "avx2,avxvnni")]
fn turn(turns: usize) -> u64 {
    let (weights, activations) = (_mm256_set1_epi8(3), _mm256_set1_epi8(5));
    let mut sums = [_mm256_setzero_si256(); 12];
    for _ in 0..turns {
        for sum in &mut sums {
            // SAFETY: reads and writes the named registers only, with an
            // instruction of AVX-VNNI, which this function enables. `{{vex}}`
            // asks for its encoding instead of that of AVX-512.
            unsafe {
                asm!(
                    "{{vex}} vpdpbusd {sum}, {w}, {x}",
                    sum = inout(ymm_reg) *sum,
                    w = in(ymm_reg) weights,
                    x = in(ymm_reg) activations,
                    options(nomem, nostack, preserves_flags),
                );
            }
        }
    }
    (turns * sums.len() * 32 * 2) as u64
}
