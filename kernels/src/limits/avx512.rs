//! The byte multiply-add of AVX-512 VNNI: VPDPBUSD on 512 bits.

use crate::isa::Isa;
use std::arch::asm;
use std::arch::x86_64::*;

/// Makes `turns` turns and returns the operations.
pub fn dot(turns: usize) -> u64 {
    assert!(Isa::Avx512.is_available());
    // SAFETY: the processor has AVX-512 F and VNNI, as was just asserted.
    unsafe { turn(turns) }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn turn(turns: usize) -> u64 {
    let (weights, activations) = (_mm512_set1_epi8(3), _mm512_set1_epi8(5));
    let mut sums = [_mm512_setzero_si512(); 12];
    for _ in 0..turns {
        for sum in &mut sums {
            // SAFETY: reads and writes the named registers only, with an
            // instruction of AVX-512 VNNI, which this function enables.
            unsafe {
                asm!(
                    "vpdpbusd {sum}, {w}, {x}",
                    sum = inout(zmm_reg) *sum,
                    w = in(zmm_reg) weights,
                    x = in(zmm_reg) activations,
                    options(nomem, nostack, preserves_flags),
                );
            }
        }
    }
    (turns * sums.len() * 64 * 2) as u64
}
