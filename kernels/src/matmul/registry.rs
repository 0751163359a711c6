//! The kernel registry: one line per format and instruction set.
//!
//! Dispatch, tests, self-test and benches walk this table; a kernel that is not
//! in it does not exist. A format without a line for an instruction set is
//! served by the plainer set that [`Isa::fallback`] names, in the end by the
//! scalar kernel, which every format has.

use super::{Activations, Matrix, Scratch, scalar};
use crate::format::{Format, *};
use crate::isa::Isa;
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
    ($($format:ident $isa:ident $run:expr;)*) => {
        &[$(MatmulKernel { format: Format::$format, isa: Isa::$isa, run: $run }),*]
    };
}

/// The registry.
static KERNELS: &[MatmulKernel] = kernels! {
    F32  Scalar scalar::float::<F32>;
    F16  Scalar scalar::float::<F16>;
    BF16 Scalar scalar::float::<BF16>;
    Q4_0 Scalar scalar::blocks::<BlockQ4_0>;
    Q4_1 Scalar scalar::blocks::<BlockQ4_1>;
    Q5_0 Scalar scalar::blocks::<BlockQ5_0>;
    Q5_1 Scalar scalar::blocks::<BlockQ5_1>;
    Q8_0 Scalar scalar::blocks::<BlockQ8_0>;
    Q2_K Scalar scalar::blocks::<BlockQ2_K>;
    Q3_K Scalar scalar::blocks::<BlockQ3_K>;
    Q4_K Scalar scalar::blocks::<BlockQ4_K>;
    Q5_K Scalar scalar::blocks::<BlockQ5_K>;
    Q6_K Scalar scalar::blocks::<BlockQ6_K>;
    IQ4_NL Scalar scalar::blocks::<BlockIQ4_NL>;
    IQ4_XS Scalar scalar::blocks::<BlockIQ4_XS>;
    MXFP4 Scalar scalar::blocks::<BlockMXFP4>;
};

impl MatmulKernel {
    /// Every kernel that runs on this machine.
    pub fn available() -> impl Iterator<Item = &'static MatmulKernel> {
        KERNELS.iter().filter(|kernel| kernel.isa.is_available())
    }

    /// Every kernel of this build, also those this machine cannot run.
    pub fn all() -> impl Iterator<Item = &'static MatmulKernel> {
        KERNELS.iter()
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
        let pick = |format: Format| {
            std::iter::successors(Some(isa), |isa| isa.fallback())
                .find_map(|isa| KERNELS.iter().find(|k| k.format == format && k.isa == isa))
                .copied()
                .unwrap_or_else(|| panic!("{format:?} has no scalar kernel"))
        };
        Ok(Kernels {
            isa,
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

    /// The kernel for a format.
    #[inline]
    pub fn matmul(&self, format: Format) -> &MatmulKernel {
        &self.matmul[format as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_scalar_kernel_and_no_line_stands_twice() {
        for format in Format::all() {
            assert!(
                KERNELS
                    .iter()
                    .any(|k| k.format == format && k.isa == Isa::Scalar),
                "{format:?}"
            );
        }
        for (index, kernel) in KERNELS.iter().enumerate() {
            let twin = KERNELS[..index].iter().any(|k| k.name() == kernel.name());
            assert!(!twin, "{} stands twice", kernel.name());
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
