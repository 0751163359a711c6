//! The self-test of the GPU: every operation, in every format and variant,
//! against the CPU's scalar definition.
//!
//! A `Case` is written once, against `Backend`, and run on both: the same
//! calls with the same data, so what it compares is what a model would meet.
//! The two differ by the order of `f32` additions, by the precision of division
//! and exponentials, and by what a rounding that falls the other way makes of
//! them; a case states how much that may be, as a share of the largest value
//! expected.
//!
//! A wrong shader, or a driver that compiles a right one wrongly, gives wrong
//! text without a word; this finds out in a minute.

mod attention;
mod case;
mod data;
mod experts;
mod heads;
mod list;
mod names;
mod recurrent;

use super::{AdapterDescription, Gpu, GpuError, GpuOptions};
use crate::backend::cpu::{Cpu, CpuDevice};
use case::{Case, Side};
use kernels::{Isa, Kernels, Team};

/// A case and how it went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The operation.
    pub op: &'static str,
    /// The format, shape and variant.
    pub what: String,
    /// The largest difference, as a share of the largest value expected.
    pub error: f32,
    /// How large it may be.
    pub bound: f32,
    /// What is wrong, if anything is.
    pub failure: Option<String>,
}

/// Runs every case on the GPU that these options open, with subgroups, in f16 and
/// on matrix units, if it has them, and without.
///
/// # Errors
///
/// If there is no GPU or it does not open. Everything else is in the outcomes.
pub fn run(
    options: &GpuOptions,
    mut each: impl FnMut(Outcome),
) -> Result<AdapterDescription, GpuError> {
    let gpu = Gpu::open(options)?;
    for case in list::all() {
        each(compare(&gpu, &case, ""));
    }
    // What the device offers more than others is not used.
    let plain = Gpu::open(&GpuOptions {
        without_subgroups: true,
        without_half: true,
        without_matrix_units: true,
        ..options.clone()
    })?;
    for case in list::all() {
        if Variant::of(&gpu, &case) != Variant::Plain {
            each(compare(&plain, &case, ""));
        }
    }
    // Matrices and tables in many slices.
    let small = GpuOptions {
        binding_limit_bytes: Some(list::SMALL_BINDING_BYTES),
        ..options.clone()
    };
    let sliced = Gpu::open(&small)?;
    for case in list::sliced() {
        each(compare(&sliced, &case, ", in slices"));
    }
    Ok(gpu.description().clone())
}

/// What the device offers and a case uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Plain,
    Subgroups,
    Half,
    MatrixUnits,
}

impl Variant {
    fn of(gpu: &Gpu, case: &Case) -> Variant {
        let context = &gpu.context;
        if context.matrix_units && case.is_on_units() {
            Variant::MatrixUnits
        } else if context.half && case.is_in_half() {
            Variant::Half
        } else if context.subgroups && case.reduces() {
            Variant::Subgroups
        } else {
            Variant::Plain
        }
    }

    fn name(self) -> &'static str {
        match self {
            Variant::Plain => "",
            Variant::Subgroups => ", subgroups",
            Variant::Half => ", f16",
            Variant::MatrixUnits => ", matrix units",
        }
    }
}

/// Runs a case on both sides.
fn compare(gpu: &Gpu, case: &Case, how: &str) -> Outcome {
    let kernels = Kernels::new(Isa::Scalar).expect("every machine runs scalar code");
    let team = Team::new(1).expect("a team of one needs no threads");
    let expected = Cpu::new(team, kernels).region(|backend| {
        case.run(&mut Side {
            backend,
            device: &CpuDevice,
            gpu: None,
        })
    });
    let device = gpu.device();
    let found = gpu.pass(|backend| {
        case.run(&mut Side {
            backend,
            device: &device,
            gpu: Some(gpu),
        })
    });
    let (error, worst) = difference(&found, &expected);
    let variant = Variant::of(gpu, case);
    let bound = case.bound(variant);
    let failure = match gpu.check() {
        Err(error) => Some(error.to_string()),
        Ok(()) if found.len() != expected.len() => Some(format!(
            "{} values, expected {}",
            found.len(),
            expected.len()
        )),
        // Also true for NaN.
        #[allow(clippy::neg_cmp_op_on_partial_ord)]
        Ok(()) if !(error <= bound) => Some(format!(
            "value {worst} is {:e}, expected {:e}",
            found[worst], expected[worst]
        )),
        Ok(()) => None,
    };
    Outcome {
        op: case.op(),
        what: format!("{case}{}{how}", variant.name()),
        error,
        bound,
        failure,
    }
}

/// The largest difference as a share of the largest value expected, and where
/// it is.
fn difference(found: &[f32], expected: &[f32]) -> (f32, usize) {
    let largest = expected
        .iter()
        .fold(f32::MIN_POSITIVE, |max, value| max.max(value.abs()));
    let mut worst = (0.0, 0);
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / largest;
        if error > worst.0 || error.is_nan() {
            worst = (error, index);
        }
        if error.is_nan() {
            break;
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn differences_are_found_where_they_are() {
        assert_eq!(difference(&[1.0, -4.0], &[1.0, -4.0]), (0.0, 0));
        assert_eq!(difference(&[1.0, -4.0, 2.0], &[1.0, -4.0, 1.0]), (0.25, 2));
        let (error, at) = difference(&[1.0, f32::NAN, 9.0], &[1.0, 2.0, 2.0]);
        assert!(error.is_nan() && at == 1);
    }
}
