//! The byte multiply-add of 64-bit ARM: SMULL and SADALP in plain NEON, SDOT
//! with `FEAT_DotProd`, SMMLA with `FEAT_I8MM`.

use crate::isa::Isa;
use std::arch::aarch64::*;
use std::arch::asm;

macro_rules! dot {
    ($(#[$doc:meta])* $name:ident, $isa:expr, $features:literal, $macs:literal, $($line:literal),+) => {
        $(#[$doc])*
        pub fn $name(turns: usize) -> u64 {
            #[target_feature(enable = $features)]
            fn turn(turns: usize) -> u64 {
                let (weights, activations) = (vdupq_n_s8(3), vdupq_n_s8(5));
                let mut sums = [vdupq_n_s32(0); 12];
                for _ in 0..turns {
                    for sum in &mut sums {
                        // SAFETY: reads and writes the named registers only,
                        // with instructions that this function enables.
                        unsafe {
                            asm!(
                                $($line,)+
                                "/* {low:v} {high:v} */",
                                low = out(vreg) _,
                                high = out(vreg) _,
                                sum = inout(vreg) *sum,
                                w = in(vreg) weights,
                                x = in(vreg) activations,
                                options(nomem, nostack, preserves_flags),
                            );
                        }
                    }
                }
                (turns * sums.len() * $macs * 2) as u64
            }
            assert!($isa.is_available());
            // SAFETY: the processor has the features, as was just asserted.
            unsafe { turn(turns) }
        }
    };
}

dot! {
    /// SMULL and SMULL2, then SADALP of both: 16 multiply-adds.
    dot, Isa::Neon, "neon", 16,
    "smull {low:v}.8h, {w:v}.8b, {x:v}.8b",
    "smull2 {high:v}.8h, {w:v}.16b, {x:v}.16b",
    "sadalp {sum:v}.4s, {low:v}.8h",
    "sadalp {sum:v}.4s, {high:v}.8h"
}

dot! {
    /// SDOT: 16 multiply-adds.
    dot_dotprod, Isa::NeonDotprod, "neon,dotprod", 16,
    "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b"
}

dot! {
    /// SMMLA: two rows of eight by two, 32 multiply-adds.
    dot_i8mm, Isa::NeonI8mm, "neon,i8mm", 32,
    "smmla {sum:v}.4s, {w:v}.16b, {x:v}.16b"
}
