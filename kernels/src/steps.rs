//! Activations for matrices of floats: rows of *steps*, 64 bytes each.
//!
//! # Definition
//!
//! Matrices in F32 and F16 are multiplied with activations as they are. With
//! matrices in BF16, both factors are bf16: an activation is rounded to nearest
//! even ([`round_to_bf16`]), and whatever is then below 2⁻⁵⁶ in magnitude
//! ([`FLOOR`]) counts as zero, among activations as among weights
//! ([`above_floor`]). What lies beyond the largest bf16 becomes infinite, a NaN
//! stays one.
//!
//! Why a floor: bf16 has eight significant bits, so factors of at least 2⁻⁵⁶ are
//! multiples of 2⁻⁶³, their products and all sums of products multiples of 2⁻¹²⁶,
//! and that is the least normal number. No subnormal number ever comes up. The
//! instruction that multiplies bf16 on x86-64, VDPBF16PS, takes subnormal numbers
//! for zeros; multiply-adds do not, and would need slow code to do so. With the
//! floor they give the same bits. Sums of activations and weights of a model do
//! not notice what is below 10⁻¹⁶.
//!
//! # Layout
//!
//! A *unit* is 32 values, as many bf16 as there are in 64 bytes. The last unit of
//! a row is filled up. What a step holds is its [`StepForm`]:
//!
//! ```text
//! plain      x0 x1 ┄ x15  │ x16 x17 ┄ x31     two steps of a unit
//! rounded    x1 x3 ┄ x31  │ x0 x2 ┄ x30       the odd ones come first
//! pairs      x0·x1 x2·x3 ┄ x30·x31            one step: bf16, two in each lane
//! ```
//!
//! *In halves*, lanes 0 to 7 of all steps of a row come before lanes 8 to 15.
//!
//! A row begins 2 KB further on where it would begin a multiple of 4 KB after the
//! last, so that the same part of several rows does not fall into the same sets
//! of the first-level cache.

use crate::activation::row_len;
use crate::inlined::zip;
use crate::isa::Isa;
use crate::lanes::{LANES, Lanes, Op};
use crate::lines::Lines;
use crate::team::Region;

/// Values that are in a row together.
pub const UNIT: usize = 2 * LANES;

/// 64 bytes: sixteen floats, or in each lane the bits of two bf16, the one with
/// the higher index in the upper half.
pub type Step = [f32; LANES];

/// The least magnitude of a factor of bf16 that is not taken for zero: 2⁻⁵⁶.
pub const FLOOR: f32 = f32::from_bits((127 - 56) << 23);

/// What steps hold, see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepForm {
    /// Floats as they are.
    Plain,
    /// The same in halves.
    PlainHalves,
    /// Floats that are bf16.
    Rounded,
    /// The same in halves.
    RoundedHalves,
    /// Pairs of bf16.
    Pairs,
}

impl StepForm {
    /// Steps of `cols` values.
    pub const fn steps(self, cols: usize) -> usize {
        let units = cols.div_ceil(UNIT);
        match self {
            StepForm::Pairs => units,
            _ => 2 * units,
        }
    }

    /// Whether the lower lanes of all steps come before the upper ones.
    pub const fn is_in_halves(self) -> bool {
        matches!(self, StepForm::PlainHalves | StepForm::RoundedHalves)
    }
}

/// `x` as bf16, rounded to nearest even; zero if that is below [`FLOOR`].
#[inline(always)]
pub fn round_to_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    let rounded = if x.is_nan() {
        // Whatever was set in its lower half.
        bits | 0x40_0000
    } else {
        // At most an infinity becomes of the largest number.
        bits + 0x7fff + (bits >> 16 & 1)
    };
    above_floor(f32::from_bits(rounded & 0xffff_0000))
}

/// `x`, but zero below [`FLOOR`].
#[inline(always)]
pub fn above_floor(x: f32) -> f32 {
    if x.abs() < FLOOR { 0.0 } else { x }
}

/// Rows of steps: an owned buffer that is reused from product to product.
pub struct StepBuffer {
    form: StepForm,
    rows: usize,
    steps: usize,
    stride: usize,
    lines: Lines<f32>,
}

/// Rows of steps, borrowed.
#[derive(Clone, Copy)]
pub struct StepRows<'a> {
    form: StepForm,
    rows: usize,
    steps: usize,
    stride: usize,
    lines: &'a [Step],
}

impl Default for StepBuffer {
    fn default() -> Self {
        StepBuffer {
            form: StepForm::Plain,
            rows: 0,
            steps: 0,
            stride: 0,
            lines: Lines::default(),
        }
    }
}

impl StepBuffer {
    /// Brings `rows` rows of `x` into a form, spread over the team.
    ///
    /// # Panics
    ///
    /// If `x` does not hold `rows` rows of equal length.
    pub fn fill(&mut self, region: &Region<'_>, isa: Isa, form: StepForm, x: &[f32], rows: usize) {
        let cols = row_len(x, rows);
        let steps = form.steps(cols);
        let apart = match (steps * size_of::<Step>()).is_multiple_of(4096) {
            true => 2048 / size_of::<Step>(),
            false => 0,
        };
        let stride = steps + apart;
        (self.form, self.rows) = (form, rows);
        (self.steps, self.stride) = (steps, stride);
        let lines: &mut [Step] = self.lines.resize(rows * stride * LANES).as_chunks_mut().0;
        if cols == 0 {
            return;
        }
        let mut work: Vec<_> = x
            .chunks_exact(cols)
            .zip(lines.chunks_exact_mut(stride))
            .map(|(x, out)| (x, &mut out[..steps]))
            .collect();
        region.chunks_mut(&mut work, 1, |_, work| {
            for (x, out) in work {
                isa.run(Fill { form, x, out });
            }
        });
    }

    /// The rows.
    pub fn rows(&self) -> StepRows<'_> {
        StepRows {
            form: self.form,
            rows: self.rows,
            steps: self.steps,
            stride: self.stride,
            lines: self.lines.as_chunks().0,
        }
    }
}

impl<'a> StepRows<'a> {
    /// What the steps hold.
    pub fn form(&self) -> StepForm {
        self.form
    }

    /// Steps of a row.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Row `index`.
    #[inline(always)]
    pub fn row(&self, index: usize) -> &'a [Step] {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        &self.lines[index * self.stride..][..self.steps]
    }
}

/// Brings a row into a form.
struct Fill<'a, 'b> {
    form: StepForm,
    x: &'a [f32],
    out: &'b mut [Step],
}

impl Op for Fill<'_, '_> {
    type Out = ();

    /// Nothing here names lanes: loops over arrays become code for the
    /// instruction set as they are.
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Fill { form, x, out } = self;
        let (units, tail) = x.as_chunks::<UNIT>();
        // A product of -0 and the 0 that weights are filled up with is added to
        // no sum's harm, not even to that of a -0.
        let mut last = [-0.0; UNIT];
        last[..tail.len()].copy_from_slice(tail);
        let units = units.iter().chain((!tail.is_empty()).then_some(&last));
        match form {
            StepForm::Plain => {
                for (x, out) in zip(units, out.as_chunks_mut::<2>().0) {
                    *out = plain(x);
                }
            }
            StepForm::Rounded => {
                for (x, out) in zip(units, out.as_chunks_mut::<2>().0) {
                    *out = rounded(x);
                }
            }
            StepForm::PlainHalves => in_halves(units, out, plain),
            StepForm::RoundedHalves => in_halves(units, out, rounded),
            StepForm::Pairs => {
                for (x, out) in zip(units, out) {
                    for (out, [first, second]) in zip(out.iter_mut(), x.as_chunks::<2>().0) {
                        let low = round_to_bf16(*first).to_bits() >> 16;
                        *out = f32::from_bits(round_to_bf16(*second).to_bits() | low);
                    }
                }
            }
        }
    }
}

/// The steps of a unit.
#[inline(always)]
fn plain(x: &[f32; UNIT]) -> [Step; 2] {
    let (steps, _) = x.as_chunks();
    [steps[0], steps[1]]
}

/// The steps of a unit as bf16.
#[inline(always)]
fn rounded(x: &[f32; UNIT]) -> [Step; 2] {
    let [mut odd, mut even] = [[0.0; LANES]; 2];
    for (i, [first, second]) in x.as_chunks::<2>().0.iter().enumerate() {
        even[i] = round_to_bf16(*first);
        odd[i] = round_to_bf16(*second);
    }
    [odd, even]
}

/// Writes the steps of units, the lower halves of all before the upper ones.
#[inline(always)]
fn in_halves<'a>(
    units: impl Iterator<Item = &'a [f32; UNIT]>,
    out: &mut [Step],
    steps: impl Fn(&[f32; UNIT]) -> [Step; 2],
) {
    let (lower, upper) = out.split_at_mut(out.len() / 2);
    for (x, (lower, upper)) in zip(units, zip(lower, upper)) {
        const HALF: usize = LANES / 2;
        for (i, step) in steps(x).iter().enumerate() {
            lower[HALF * i..][..HALF].copy_from_slice(&step[..HALF]);
            upper[HALF * i..][..HALF].copy_from_slice(&step[HALF..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Random;
    use crate::team::Team;
    use half::bf16;

    #[test]
    fn rounds_like_the_half_crate_above_the_floor() {
        let mut random = Random(1);
        let any = (0..200_000).map(|_| f32::from_bits(random.next() as u32));
        let edges = [0u32, 0x7f7f_7fff, 0x7f7f_8000, 0x7f7f_ffff, 0x3f80_8000];
        let specials = [f32::NAN, f32::INFINITY, f32::MAX, 1e-40, FLOOR];
        let edges = edges.into_iter().map(f32::from_bits);
        for x in any.chain(edges).chain(specials).flat_map(|x| [x, -x]) {
            let expected = bf16::from_f32(x).to_f32();
            let found = round_to_bf16(x);
            if expected.abs() < FLOOR {
                assert_eq!(found.to_bits(), 0, "{x:e}");
            } else if expected.is_nan() {
                assert!(found.is_nan(), "{x:e}");
                assert_eq!(found.to_bits() & 0xffff, 0, "{x:e}");
            } else {
                assert_eq!(found.to_bits(), expected.to_bits(), "{x:e}");
            }
        }
    }

    #[test]
    fn every_form_on_every_set() {
        let mut random = Random(2);
        let team = Team::new(2).unwrap();
        for (rows, cols) in [(1, 1), (3, 31), (2, 33), (5, 1024), (2, 2100)] {
            let x: Vec<f32> = (0..rows * cols).map(|_| random.float()).collect();
            let value = |row: usize, col: usize| match col < cols {
                true => x[row * cols + col],
                false => -0.0,
            };
            for isa in Isa::available() {
                for form in [
                    StepForm::Plain,
                    StepForm::PlainHalves,
                    StepForm::Rounded,
                    StepForm::RoundedHalves,
                    StepForm::Pairs,
                ] {
                    let mut buffer = StepBuffer::default();
                    team.region(|region| buffer.fill(region, isa, form, &x, rows));
                    assert_eq!(buffer.rows().form(), form);
                    for row in 0..rows {
                        let steps = buffer.rows().row(row);
                        assert_eq!(steps.len(), form.steps(cols));
                        for (s, step) in steps.iter().enumerate() {
                            for (i, found) in step.iter().enumerate() {
                                // Which step and lane of those that are not in halves.
                                let units = cols.div_ceil(UNIT);
                                let (s, i) = match form.is_in_halves() {
                                    true => (2 * (s % units) + i / 8, 8 * (s / units) + i % 8),
                                    false => (s, i),
                                };
                                let rounded = |col| round_to_bf16(value(row, col)).to_bits();
                                let expected = match form {
                                    StepForm::Plain | StepForm::PlainHalves => {
                                        value(row, LANES * s + i).to_bits()
                                    }
                                    StepForm::Rounded | StepForm::RoundedHalves => {
                                        rounded(UNIT * (s / 2) + 2 * i + 1 - s % 2)
                                    }
                                    StepForm::Pairs => {
                                        let first = UNIT * s + 2 * i;
                                        rounded(first + 1) | rounded(first) >> 16
                                    }
                                };
                                assert_eq!(found.to_bits(), expected, "{isa} {form:?} {row} {s}");
                            }
                        }
                    }
                }
            }
        }
    }
}
