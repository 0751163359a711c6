//! Instruction sets: which ones this machine has, and which one is used.
//!
//! The choice is made once, when the kernels are picked; there is no detection
//! on any hot path.

use std::fmt;
use std::str::FromStr;

/// An instruction set that kernels are written for.
///
/// Within an architecture the variants are ordered from the plainest to the
/// most capable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// Portable Rust; the definition that every other set must equal.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// AVX2 and the 256-bit integer dot product (AVX-VNNI).
    AvxVnni,
    /// AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
    /// 64-bit ARM with Advanced SIMD.
    Neon,
    /// NEON and the integer dot product (`FEAT_DotProd`).
    NeonDotprod,
    /// NEON, dot product and 8-bit matrix multiply (`FEAT_I8MM`).
    NeonI8mm,
}

impl Isa {
    /// Every instruction set, whether or not this machine has it.
    pub const ALL: [Isa; 7] = [
        Isa::Scalar,
        Isa::Avx2,
        Isa::AvxVnni,
        Isa::Avx512,
        Isa::Neon,
        Isa::NeonDotprod,
        Isa::NeonI8mm,
    ];

    /// The name used on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avx-vnni",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
            Isa::NeonDotprod => "neon-dotprod",
            Isa::NeonI8mm => "neon-i8mm",
        }
    }

    /// Whether the processor this runs on has the instruction set.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => Isa::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => {
                Isa::Neon.is_available() && std::arch::is_aarch64_feature_detected!("dotprod")
            }
            #[cfg(target_arch = "aarch64")]
            Isa::NeonI8mm => {
                Isa::NeonDotprod.is_available() && std::arch::is_aarch64_feature_detected!("i8mm")
            }
            #[allow(unreachable_patterns)] // the sets of the other architecture
            _ => false,
        }
    }

    /// The instruction sets of this machine, plainest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The most capable instruction set of this machine.
    pub fn detect() -> Isa {
        Isa::available().last().unwrap_or(Isa::Scalar)
    }

    /// The next plainer set whose kernels also run where this one does.
    ///
    /// A format without a kernel of its own for a set is served by the first
    /// set on this chain that has one; the chain ends at [`Isa::Scalar`].
    pub const fn fallback(self) -> Option<Isa> {
        match self {
            Isa::Scalar => None,
            Isa::Avx2 | Isa::Neon => Some(Isa::Scalar),
            Isa::AvxVnni | Isa::Avx512 => Some(Isa::Avx2),
            Isa::NeonDotprod => Some(Isa::Neon),
            Isa::NeonI8mm => Some(Isa::NeonDotprod),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no instruction set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown instruction set {0:?}, expected one of scalar, avx2, avx-vnni, avx512, neon, neon-dotprod, neon-i8mm"
)]
pub struct UnknownIsa(String);

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == text)
            .ok_or_else(|| UnknownIsa(text.to_owned()))
    }
}

/// Whether this is a Zen 5 or a later processor of its maker, for choices that were
/// measured there and that no instruction set tells.
pub(crate) fn is_zen_5_or_later() -> bool {
    let (maker, family) = model();
    &maker == b"AuthenticAMD" && family >= 26
}

/// Whether this is a processor of Intel's, for such choices.
pub(crate) fn is_intel() -> bool {
    &model().0 == b"GenuineIntel"
}

/// The name of an x86-64 processor's maker and the number of its family.
fn model() -> ([u8; 12], u32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        use std::sync::LazyLock;
        static MODEL: LazyLock<([u8; 12], u32)> = LazyLock::new(|| {
            #[allow(unused_unsafe, reason = "older compilers ask for it")]
            // SAFETY: every x86-64 processor has the instruction.
            let (maker, version) = unsafe { (__cpuid(0), __cpuid(1)) };
            let maker = [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes);
            let family = (version.eax >> 8 & 0xf) + (version.eax >> 20 & 0xff);
            (bytemuck::cast(maker), family)
        });
        *MODEL
    }
    #[cfg(not(target_arch = "x86_64"))]
    ([0; 12], 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        assert!("sse9".parse::<Isa>().is_err());
    }

    #[test]
    fn what_runs_here_includes_its_fallbacks() {
        for isa in Isa::available() {
            let mut at = isa;
            while let Some(plainer) = at.fallback() {
                assert!(
                    plainer.is_available(),
                    "{isa} runs here but {plainer} does not"
                );
                at = plainer;
            }
            assert_eq!(at, Isa::Scalar);
        }
    }
}
