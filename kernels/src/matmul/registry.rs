//! The kernel registry: one line per format and instruction set.
//!
//! Dispatch, tests, self-test and benches walk this table; a kernel that is not
//! in it does not exist. A format without a line for an instruction set is
//! served by the plainer set that [`Isa::fallback`] names and that takes
//! activations in the same [`Order`].

use super::panel::MIN_TOKENS;
use super::{Activations, Matrix, Scratch, float, scalar};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
#[cfg(target_arch = "aarch64")]
use super::{codebook::codebook, neon};
use crate::activation::{Order, Scaling};
use crate::format::{Format, *};
use crate::isa::Isa;
use crate::lanes;
use crate::steps::StepForm;
use crate::team::TileMut;

/// Computes a strip: the products of all rows of `x` with all rows of the
/// weights, stored to the tile (whose columns are the strip's rows).
///
/// Unsafe to call unless the machine has the kernel's instruction set.
pub type MatmulFn = unsafe fn(Matrix<'_>, Activations<'_>, &mut TileMut<'_>, &mut Scratch);

/// A line of the registry.
#[derive(Clone, Copy)]
pub struct MatmulKernel {
    /// The format of the weights.
    pub format: Format,
    /// The instruction set it needs.
    pub isa: Isa,
    run: MatmulFn,
}

macro_rules! kernels {
    ($isa:ident: $($format:ident $run:expr;)*) => {
        &[$(MatmulKernel { format: Format::$format, isa: Isa::$isa, run: $run }),*]
    };
}

/// The registry, by instruction set.
static KERNELS: &[&[MatmulKernel]] = &[
    kernels! { Scalar:
        F32    scalar::float::<F32>;
        F16    scalar::float::<F16>;
        BF16   scalar::bf16;
        Q4_0   scalar::blocks::<BlockQ4_0>;
        Q4_1   scalar::blocks::<BlockQ4_1>;
        Q5_0   scalar::blocks::<BlockQ5_0>;
        Q5_1   scalar::blocks::<BlockQ5_1>;
        Q8_0   scalar::blocks::<BlockQ8_0>;
        Q2_K   scalar::blocks::<BlockQ2_K>;
        Q3_K   scalar::blocks::<BlockQ3_K>;
        Q4_K   scalar::blocks::<BlockQ4_K>;
        Q5_K   scalar::blocks::<BlockQ5_K>;
        Q6_K   scalar::blocks::<BlockQ6_K>;
        IQ1_S scalar::blocks::<BlockIQ1_S>;
        IQ1_M scalar::blocks::<BlockIQ1_M>;
        IQ2_XXS scalar::blocks::<BlockIQ2_XXS>;
        IQ2_XS scalar::blocks::<BlockIQ2_XS>;
        IQ2_S scalar::blocks::<BlockIQ2_S>;
        IQ3_XXS scalar::blocks::<BlockIQ3_XXS>;
        IQ3_S scalar::blocks::<BlockIQ3_S>;
        IQ4_NL scalar::blocks::<BlockIQ4_NL>;
        IQ4_XS scalar::blocks::<BlockIQ4_XS>;
        MXFP4  scalar::blocks::<BlockMXFP4>;
        Q1_0   scalar::blocks::<BlockQ1_0>;
        Q2_0   scalar::blocks::<BlockQ2_0>;
        TQ1_0  scalar::blocks::<BlockTQ1_0>;
        TQ2_0  scalar::blocks::<BlockTQ2_0>;
    },
    #[cfg(target_arch = "x86_64")]
    kernels! { Avx2:
        F32    avx2::floats::<F32>;
        F16    avx2::floats::<F16>;
        BF16   avx2::floats::<BF16>;
        Q4_0   avx2::blocks::<avx2::Plain, BlockQ4_0>;
        Q4_1   avx2::blocks::<avx2::Plain, BlockQ4_1>;
        Q5_0   avx2::blocks::<avx2::Plain, BlockQ5_0>;
        Q5_1   avx2::blocks::<avx2::Plain, BlockQ5_1>;
        Q8_0   avx2::blocks::<avx2::Plain, BlockQ8_0>;
        Q2_K   avx2::blocks::<avx2::Plain, BlockQ2_K>;
        Q3_K   avx2::blocks::<avx2::Plain, BlockQ3_K>;
        Q4_K   avx2::blocks::<avx2::Plain, BlockQ4_K>;
        Q5_K   avx2::blocks::<avx2::Plain, BlockQ5_K>;
        Q6_K   avx2::blocks::<avx2::Plain, BlockQ6_K>;
        IQ1_S avx2::codebook::<avx2::Plain, BlockIQ1_S>;
        IQ1_M avx2::codebook::<avx2::Plain, BlockIQ1_M>;
        IQ2_XXS avx2::codebook::<avx2::Plain, BlockIQ2_XXS>;
        IQ2_XS avx2::codebook::<avx2::Plain, BlockIQ2_XS>;
        IQ2_S avx2::codebook::<avx2::Plain, BlockIQ2_S>;
        IQ3_XXS avx2::codebook::<avx2::Plain, BlockIQ3_XXS>;
        IQ3_S avx2::codebook::<avx2::Plain, BlockIQ3_S>;
        IQ4_NL avx2::blocks::<avx2::Plain, BlockIQ4_NL>;
        IQ4_XS avx2::blocks::<avx2::Plain, BlockIQ4_XS>;
        MXFP4  avx2::blocks::<avx2::Plain, BlockMXFP4>;
        Q1_0   avx2::blocks::<avx2::Plain, BlockQ1_0>;
        Q2_0   avx2::blocks::<avx2::Plain, BlockQ2_0>;
        TQ1_0  avx2::blocks::<avx2::Plain, BlockTQ1_0>;
        TQ2_0  avx2::blocks::<avx2::Plain, BlockTQ2_0>;
    },
    #[cfg(target_arch = "x86_64")]
    kernels! { AvxVnni:
        Q4_0   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ4_0>;
        Q4_1   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ4_1>;
        Q5_0   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ5_0>;
        Q5_1   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ5_1>;
        Q8_0   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ8_0>;
        Q2_K   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ2_K>;
        Q3_K   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ3_K>;
        Q4_K   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ4_K>;
        Q5_K   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ5_K>;
        Q6_K   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ6_K>;
        IQ1_S avx2::codebook::<avx2::Vnni<avx2::Vex>, BlockIQ1_S>;
        IQ1_M avx2::codebook::<avx2::Vnni<avx2::Vex>, BlockIQ1_M>;
        IQ2_XXS avx2::codebook::<avx2::Vnni<avx2::Vex>, BlockIQ2_XXS>;
        IQ2_XS avx2::codebook::<avx2::Vnni<avx2::Vex>, BlockIQ2_XS>;
        IQ2_S avx2::codebook::<avx2::Vnni<avx2::Vex>, BlockIQ2_S>;
        IQ3_XXS avx2::codebook::<avx2::Vnni<avx2::Vex>, BlockIQ3_XXS>;
        IQ3_S avx2::codebook::<avx2::Vnni<avx2::Vex>, BlockIQ3_S>;
        IQ4_NL avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockIQ4_NL>;
        IQ4_XS avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockIQ4_XS>;
        MXFP4  avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockMXFP4>;
        Q1_0   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ1_0>;
        Q2_0   avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockQ2_0>;
        TQ1_0  avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockTQ1_0>;
        TQ2_0  avx2::blocks::<avx2::Vnni<avx2::Vex>, BlockTQ2_0>;
    },
    #[cfg(target_arch = "x86_64")]
    kernels! { Avx512:
        F32    float::strip::<lanes::Avx512, F32>;
        F16    float::strip::<lanes::Avx512, F16>;
        BF16   avx512::bf16;
        Q4_0   avx512::blocks::<BlockQ4_0>;
        Q4_1   avx512::blocks::<BlockQ4_1>;
        Q5_0   avx512::blocks::<BlockQ5_0>;
        Q5_1   avx512::blocks::<BlockQ5_1>;
        Q8_0   avx512::blocks::<BlockQ8_0>;
        Q2_K   avx512::blocks::<BlockQ2_K>;
        Q3_K   avx512::blocks::<BlockQ3_K>;
        Q4_K   avx512::blocks::<BlockQ4_K>;
        Q5_K   avx512::blocks::<BlockQ5_K>;
        Q6_K   avx512::blocks::<BlockQ6_K>;
        IQ1_S avx512::codebook::<BlockIQ1_S>;
        IQ1_M avx512::codebook::<BlockIQ1_M>;
        IQ2_XXS avx512::small_codebook::<BlockIQ2_XXS>;
        IQ2_XS avx512::small_codebook::<BlockIQ2_XS>;
        IQ2_S avx512::codebook::<BlockIQ2_S>;
        IQ3_XXS avx512::small_codebook::<BlockIQ3_XXS>;
        IQ3_S avx512::small_codebook::<BlockIQ3_S>;
        IQ4_NL avx512::blocks::<BlockIQ4_NL>;
        IQ4_XS avx512::blocks::<BlockIQ4_XS>;
        MXFP4  avx512::blocks::<BlockMXFP4>;
        Q1_0   avx512::blocks::<BlockQ1_0>;
        Q2_0   avx512::blocks::<BlockQ2_0>;
        TQ1_0  avx512::blocks::<BlockTQ1_0>;
        TQ2_0  avx512::blocks::<BlockTQ2_0>;
    },
    #[cfg(target_arch = "aarch64")]
    kernels! { Neon:
        F32    float::strip::<lanes::Neon, F32>;
        F16    float::strip::<lanes::Neon, F16>;
        BF16   float::strip::<lanes::Neon, BF16>;
        Q4_0   neon::blocks::<neon::Plain, BlockQ4_0>;
        Q4_1   neon::blocks::<neon::Plain, BlockQ4_1>;
        Q5_0   neon::blocks::<neon::Plain, BlockQ5_0>;
        Q5_1   neon::blocks::<neon::Plain, BlockQ5_1>;
        Q8_0   neon::blocks::<neon::Plain, BlockQ8_0>;
        Q2_K   neon::blocks::<neon::Plain, BlockQ2_K>;
        Q3_K   neon::blocks::<neon::Plain, BlockQ3_K>;
        Q4_K   neon::blocks::<neon::Plain, BlockQ4_K>;
        Q5_K   neon::blocks::<neon::Plain, BlockQ5_K>;
        Q6_K   neon::blocks::<neon::Plain, BlockQ6_K>;
        IQ1_S codebook!(Isa::Neon, BlockIQ1_S, neon::blocks::<neon::Plain, Expanded>);
        IQ1_M codebook!(Isa::Neon, BlockIQ1_M, neon::blocks::<neon::Plain, Expanded>);
        IQ2_XXS codebook!(Isa::Neon, BlockIQ2_XXS, neon::blocks::<neon::Plain, Expanded>);
        IQ2_XS codebook!(Isa::Neon, BlockIQ2_XS, neon::blocks::<neon::Plain, Expanded>);
        IQ2_S codebook!(Isa::Neon, BlockIQ2_S, neon::blocks::<neon::Plain, Expanded>);
        IQ3_XXS codebook!(Isa::Neon, BlockIQ3_XXS, neon::blocks::<neon::Plain, Expanded>);
        IQ3_S codebook!(Isa::Neon, BlockIQ3_S, neon::blocks::<neon::Plain, Expanded>);
        IQ4_NL neon::blocks::<neon::Plain, BlockIQ4_NL>;
        IQ4_XS neon::blocks::<neon::Plain, BlockIQ4_XS>;
        MXFP4  neon::blocks::<neon::Plain, BlockMXFP4>;
        Q1_0   neon::blocks::<neon::Plain, BlockQ1_0>;
        Q2_0   neon::blocks::<neon::Plain, BlockQ2_0>;
        TQ1_0  neon::blocks::<neon::Plain, BlockTQ1_0>;
        TQ2_0  neon::blocks::<neon::Plain, BlockTQ2_0>;
    },
    #[cfg(target_arch = "aarch64")]
    kernels! { NeonDotprod:
        Q4_0   neon::blocks::<neon::Dotprod, BlockQ4_0>;
        Q4_1   neon::blocks::<neon::Dotprod, BlockQ4_1>;
        Q5_0   neon::blocks::<neon::Dotprod, BlockQ5_0>;
        Q5_1   neon::blocks::<neon::Dotprod, BlockQ5_1>;
        Q8_0   neon::blocks::<neon::Dotprod, BlockQ8_0>;
        Q2_K   neon::blocks::<neon::Dotprod, BlockQ2_K>;
        Q3_K   neon::blocks::<neon::Dotprod, BlockQ3_K>;
        Q4_K   neon::blocks::<neon::Dotprod, BlockQ4_K>;
        Q5_K   neon::blocks::<neon::Dotprod, BlockQ5_K>;
        Q6_K   neon::blocks::<neon::Dotprod, BlockQ6_K>;
        IQ1_S codebook!(Isa::NeonDotprod, BlockIQ1_S, neon::blocks::<neon::Dotprod, Expanded>);
        IQ1_M codebook!(Isa::NeonDotprod, BlockIQ1_M, neon::blocks::<neon::Dotprod, Expanded>);
        IQ2_XXS codebook!(Isa::NeonDotprod, BlockIQ2_XXS, neon::blocks::<neon::Dotprod, Expanded>);
        IQ2_XS codebook!(Isa::NeonDotprod, BlockIQ2_XS, neon::blocks::<neon::Dotprod, Expanded>);
        IQ2_S codebook!(Isa::NeonDotprod, BlockIQ2_S, neon::blocks::<neon::Dotprod, Expanded>);
        IQ3_XXS codebook!(Isa::NeonDotprod, BlockIQ3_XXS, neon::blocks::<neon::Dotprod, Expanded>);
        IQ3_S codebook!(Isa::NeonDotprod, BlockIQ3_S, neon::blocks::<neon::Dotprod, Expanded>);
        IQ4_NL neon::blocks::<neon::Dotprod, BlockIQ4_NL>;
        IQ4_XS neon::blocks::<neon::Dotprod, BlockIQ4_XS>;
        MXFP4  neon::blocks::<neon::Dotprod, BlockMXFP4>;
        Q1_0   neon::blocks::<neon::Dotprod, BlockQ1_0>;
        Q2_0   neon::blocks::<neon::Dotprod, BlockQ2_0>;
        TQ1_0  neon::blocks::<neon::Dotprod, BlockTQ1_0>;
        TQ2_0  neon::blocks::<neon::Dotprod, BlockTQ2_0>;
    },
    #[cfg(target_arch = "aarch64")]
    kernels! { NeonI8mm:
        Q4_0   neon::blocks::<neon::I8mm, BlockQ4_0>;
        Q4_1   neon::blocks::<neon::I8mm, BlockQ4_1>;
        Q5_0   neon::blocks::<neon::I8mm, BlockQ5_0>;
        Q5_1   neon::blocks::<neon::I8mm, BlockQ5_1>;
        Q8_0   neon::blocks::<neon::I8mm, BlockQ8_0>;
        Q2_K   neon::blocks::<neon::I8mm, BlockQ2_K>;
        Q3_K   neon::blocks::<neon::I8mm, BlockQ3_K>;
        Q4_K   neon::blocks::<neon::I8mm, BlockQ4_K>;
        Q5_K   neon::blocks::<neon::I8mm, BlockQ5_K>;
        Q6_K   neon::blocks::<neon::I8mm, BlockQ6_K>;
        IQ1_S codebook!(Isa::NeonI8mm, BlockIQ1_S, neon::blocks::<neon::I8mm, Expanded>);
        IQ1_M codebook!(Isa::NeonI8mm, BlockIQ1_M, neon::blocks::<neon::I8mm, Expanded>);
        IQ2_XXS codebook!(Isa::NeonI8mm, BlockIQ2_XXS, neon::blocks::<neon::I8mm, Expanded>);
        IQ2_XS codebook!(Isa::NeonI8mm, BlockIQ2_XS, neon::blocks::<neon::I8mm, Expanded>);
        IQ2_S codebook!(Isa::NeonI8mm, BlockIQ2_S, neon::blocks::<neon::I8mm, Expanded>);
        IQ3_XXS codebook!(Isa::NeonI8mm, BlockIQ3_XXS, neon::blocks::<neon::I8mm, Expanded>);
        IQ3_S codebook!(Isa::NeonI8mm, BlockIQ3_S, neon::blocks::<neon::I8mm, Expanded>);
        IQ4_NL neon::blocks::<neon::I8mm, BlockIQ4_NL>;
        IQ4_XS neon::blocks::<neon::I8mm, BlockIQ4_XS>;
        MXFP4  neon::blocks::<neon::I8mm, BlockMXFP4>;
        Q1_0   neon::blocks::<neon::I8mm, BlockQ1_0>;
        Q2_0   neon::blocks::<neon::I8mm, BlockQ2_0>;
        TQ1_0  neon::blocks::<neon::I8mm, BlockTQ1_0>;
        TQ2_0  neon::blocks::<neon::I8mm, BlockTQ2_0>;
    },
];

impl MatmulKernel {
    /// Every kernel that runs on this machine.
    pub fn available() -> impl Iterator<Item = &'static MatmulKernel> {
        Self::all().filter(|kernel| kernel.isa.is_available())
    }

    /// Every kernel of this build, also those this machine cannot run.
    pub fn all() -> impl Iterator<Item = &'static MatmulKernel> {
        KERNELS.iter().copied().flatten()
    }

    /// `<format>.<instruction set>`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.format.name(), self.isa)
    }

    /// Runs the kernel.
    ///
    /// # Panics
    ///
    /// If the machine does not have the instruction set, the weights are in
    /// another format, or shapes do not fit.
    pub fn run(
        &self,
        weight: Matrix<'_>,
        x: Activations<'_>,
        out: &mut TileMut<'_>,
        scratch: &mut Scratch,
    ) {
        assert_eq!(weight.format(), self.format);
        assert_eq!(weight.cols(), x.cols);
        assert_eq!(
            (out.rows().len(), out.cols().len()),
            (x.rows, weight.rows())
        );
        assert!(self.isa.is_available(), "{} does not run here", self.name());
        // SAFETY: the instruction set is available (asserted).
        unsafe { (self.run)(weight, x, out, scratch) }
    }
}

/// The kernels in use: one per format, chosen once for an instruction set.
#[derive(Clone)]
pub struct Kernels {
    isa: Isa,
    scaling: Scaling,
    bf16_form: StepForm,
    /// Whether many tokens meet matrices of floats half after half.
    prefers_halves: bool,
    matmul: Vec<MatmulKernel>,
}

/// The machine does not have the instruction set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this machine has no {wanted}; it has {}", names(.available))]
pub struct IsaUnavailable {
    wanted: Isa,
    available: Vec<Isa>,
}

fn names(sets: &[Isa]) -> String {
    sets.iter()
        .map(|isa| isa.name())
        .collect::<Vec<_>>()
        .join(", ")
}

impl Kernels {
    /// The kernels of an instruction set.
    pub fn new(isa: Isa) -> Result<Kernels, IsaUnavailable> {
        if !isa.is_available() {
            return Err(IsaUnavailable {
                wanted: isa,
                available: Isa::available().collect(),
            });
        }
        let scaling = Scaling::of_this_processor();
        let order = |isa| Order::of(isa, scaling, 1);
        let pick = |format: Format| {
            std::iter::successors(Some(isa), |isa| isa.fallback())
                .filter(|&set| order(set) == order(isa))
                .find_map(|isa| MatmulKernel::all().find(|k| k.format == format && k.isa == isa))
                .copied()
                .unwrap_or_else(|| panic!("{format:?} has no kernel for {isa}"))
        };
        Ok(Kernels {
            isa,
            scaling,
            bf16_form: match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => avx512::form(),
                _ => StepForm::Rounded,
            },
            prefers_halves: match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 | Isa::AvxVnni => avx2::prefers_halves(),
                _ => false,
            },
            matmul: Format::all().map(pick).collect(),
        })
    }

    /// The best this machine has.
    pub fn detect() -> Kernels {
        Kernels::new(Isa::detect()).expect("what was detected is available")
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The order in which those for block formats want so many rows of activations.
    pub(super) fn order(&self, rows: usize) -> Order {
        Order::of(self.isa, self.scaling, rows)
    }

    /// Whether so many tokens meet matrices of floats half after half.
    pub(super) fn in_halves(&self, tokens: usize) -> bool {
        self.prefers_halves && tokens >= MIN_TOKENS
    }

    /// The form in which so many tokens meet matrices of F32 and F16.
    pub(super) fn plain_form(&self, tokens: usize) -> StepForm {
        match self.in_halves(tokens) {
            true => StepForm::PlainHalves,
            false => StepForm::Plain,
        }
    }

    /// The form in which so many tokens meet matrices of BF16.
    pub(super) fn bf16_form(&self, tokens: usize) -> StepForm {
        match self.in_halves(tokens) {
            true => StepForm::RoundedHalves,
            false => self.bf16_form,
        }
    }

    /// The same, but for these.
    #[cfg(all(test, target_arch = "x86_64"))]
    fn with(mut self, others: &[MatmulKernel]) -> Kernels {
        for kernel in others {
            self.matmul[kernel.format as usize] = *kernel;
        }
        self
    }

    /// The kernels as on processors that scale sums in this way.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub(super) fn with_scaling(mut self, scaling: Scaling) -> Kernels {
        self.scaling = scaling;
        self
    }

    /// The kernels of AVX2 as on processors of the other kind.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub(super) fn with_other_halves(mut self) -> Kernels {
        self.prefers_halves = !self.prefers_halves;
        self
    }

    /// The kernels as a processor without instructions for bf16 has them.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub(super) fn without_pairs(mut self) -> Kernels {
        self.bf16_form = StepForm::Rounded;
        self
    }

    /// The kernel for a format.
    #[inline]
    pub fn matmul(&self, format: Format) -> &MatmulKernel {
        &self.matmul[format as usize]
    }
}

/// The kernels of AVX-512 as processors without VBMI have them.
#[cfg(all(test, target_arch = "x86_64"))]
pub(super) fn avx512_without_vbmi() -> Option<Kernels> {
    static WITHOUT: &[MatmulKernel] = kernels! { Avx512:
        IQ2_XXS avx512::codebook::<BlockIQ2_XXS>;
        IQ2_XS avx512::codebook::<BlockIQ2_XS>;
        IQ3_XXS avx512::codebook::<BlockIQ3_XXS>;
        IQ3_S avx512::codebook::<BlockIQ3_S>;
    };
    Kernels::new(Isa::Avx512)
        .ok()
        .map(|kernels| kernels.with(WITHOUT))
}

/// The kernels of AVX-VNNI with the same instruction in the encoding of AVX-512:
/// what tests them on processors that have only this one.
#[cfg(all(test, target_arch = "x86_64"))]
pub(super) fn avx_vnni_in_evex() -> Option<Kernels> {
    static IN_EVEX: &[MatmulKernel] = kernels! { Avx512:
        Q4_0   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ4_0>;
        Q4_1   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ4_1>;
        Q5_0   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ5_0>;
        Q5_1   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ5_1>;
        Q8_0   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ8_0>;
        Q2_K   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ2_K>;
        Q3_K   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ3_K>;
        Q4_K   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ4_K>;
        Q5_K   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ5_K>;
        Q6_K   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ6_K>;
        IQ1_S avx2::codebook::<avx2::Vnni<avx2::Evex>, BlockIQ1_S>;
        IQ1_M avx2::codebook::<avx2::Vnni<avx2::Evex>, BlockIQ1_M>;
        IQ2_XXS avx2::codebook::<avx2::Vnni<avx2::Evex>, BlockIQ2_XXS>;
        IQ2_XS avx2::codebook::<avx2::Vnni<avx2::Evex>, BlockIQ2_XS>;
        IQ2_S avx2::codebook::<avx2::Vnni<avx2::Evex>, BlockIQ2_S>;
        IQ3_XXS avx2::codebook::<avx2::Vnni<avx2::Evex>, BlockIQ3_XXS>;
        IQ3_S avx2::codebook::<avx2::Vnni<avx2::Evex>, BlockIQ3_S>;
        IQ4_NL avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockIQ4_NL>;
        IQ4_XS avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockIQ4_XS>;
        MXFP4  avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockMXFP4>;
        Q1_0   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ1_0>;
        Q2_0   avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockQ2_0>;
        TQ1_0  avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockTQ1_0>;
        TQ2_0  avx2::blocks::<avx2::Vnni<avx2::Evex>, BlockTQ2_0>;
    };
    let kernels = Kernels::new(Isa::Avx2).ok()?.with(IN_EVEX);
    Isa::Avx512.is_available().then_some(kernels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_scalar_kernel_and_no_line_stands_twice() {
        let all: Vec<_> = MatmulKernel::all().collect();
        for format in Format::all() {
            assert!(
                all.iter()
                    .any(|k| k.format == format && k.isa == Isa::Scalar),
                "{format:?}"
            );
        }
        for (index, kernel) in all.iter().enumerate() {
            let twin = all[..index].iter().any(|k| k.name() == kernel.name());
            assert!(!twin, "{} stands twice", kernel.name());
        }
    }

    #[test]
    fn every_set_has_kernels_of_its_own_for_block_formats() {
        let has = |format, isa| MatmulKernel::all().any(|k| k.format == format && k.isa == isa);
        let sets = Isa::ALL
            .into_iter()
            .filter(|&isa| MatmulKernel::all().any(|k| k.isa == isa));
        for isa in sets {
            for format in Format::all() {
                let blocks = format.info().activations == ActivationForm::Int8;
                assert!(has(format, isa) || !blocks, "{format:?} on {isa}");
            }
        }
        #[cfg(target_arch = "x86_64")]
        assert!(has(Format::Q4_0, Isa::AvxVnni));
    }

    #[test]
    fn only_the_scalar_set_is_served_by_scalar_kernels() {
        for isa in Isa::available() {
            let kernels = Kernels::new(isa).unwrap();
            for format in Format::all() {
                let kernel = kernels.matmul(format);
                let scalar = kernel.isa == Isa::Scalar;
                assert_eq!(scalar, isa == Isa::Scalar, "{} for {isa}", kernel.name());
            }
        }
    }

    #[test]
    fn foreign_sets_are_refused() {
        for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
            let error = Kernels::new(isa).err().unwrap().to_string();
            assert!(
                error.starts_with(&format!("this machine has no {isa}")),
                "{error}"
            );
        }
    }
}
