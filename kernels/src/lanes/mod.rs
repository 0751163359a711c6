//! Sixteen lanes of `f32`: what every vector algorithm of this crate is
//! written on, once for all instruction sets.
//!
//! ```text
//!               F = 16 × f32            I = 16 × i32
//! scalar        [f32; 16]               [i32; 16]
//! avx2          2 × __m256              2 × __m256i
//! avx512        1 × __m512              1 × __m512i
//! neon          4 × float32x4_t         4 × int32x4_t
//! ```
//!
//! An algorithm is a struct of its arguments that implements [`Op`]; its `run`
//! is generic over [`Lanes`], and [`Isa::run`] calls the instance of an
//! instruction set. A value of a `Lanes` type is a token: it exists only where
//! the processor has the instructions, so its methods are safe.
//!
//! Every operation here gives the same bits on every instruction set (a NaN is
//! a NaN; its payload and sign are not promised). That is why `max` and the
//! comparisons spell out what happens to NaNs and zeros, and why sums over
//! lanes have a fixed order.
//!
//! # How it compiles to straight vector code
//!
//! The features are enabled on one function per instruction set, the one
//! [`Isa::run`] calls. All below it, `Op::run` and the methods of the token,
//! is `#[inline(always)]` and becomes part of that function. An algorithm must
//! therefore mark its generic functions `#[inline(always)]` too; one that is
//! not inlined is still right, but slow. What is large and used in several
//! places is better an [`Op`] of its own, run by [`Lanes::call`].

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use scalar::Scalar;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;

use crate::format::{BF16, F16};
use crate::inlined::{self, zip};
use crate::isa::Isa;

/// Number of lanes.
pub const LANES: usize = 16;

/// The operations on sixteen lanes, and the proof that the processor has them.
///
/// Where nothing else is said an operation works lane by lane and rounds as
/// IEEE 754 has it, to nearest even.
pub trait Lanes: Copy + Send + Sync + 'static {
    /// Sixteen `f32`.
    type F: Copy;
    /// Sixteen `i32`.
    type I: Copy;

    /// How many `F` the registers hold beside a few operands: what an algorithm
    /// may keep there at a time.
    const REGISTERS: usize;

    /// The token, if the processor has the instructions.
    fn new() -> Option<Self>;

    /// The token.
    ///
    /// # Safety
    ///
    /// The processor has the instructions: `new` would return it.
    unsafe fn new_unchecked() -> Self;

    /// Runs `op` as a function of its own, so that the code of a large algorithm
    /// stands once and not in all places that use it.
    fn call<O: Op>(self, op: O) -> O::Out;

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::F;

    /// Reads sixteen values.
    fn load(self, from: &[f32; LANES]) -> Self::F;

    /// Writes sixteen values.
    fn store(self, value: Self::F, to: &mut [f32; LANES]);

    /// Reads sixteen binary16 values; exact.
    fn load_f16(self, from: &[F16; LANES]) -> Self::F;

    /// Reads 32 bfloat16 values, those at odd places and those at even ones; zero
    /// where the magnitude is below [`FLOOR`](crate::steps::FLOOR), else exact.
    fn load_bf16(self, from: &[BF16; 2 * LANES]) -> [Self::F; 2];

    /// Reads sixteen integers; exact.
    fn load_i8(self, from: &[i8; LANES]) -> Self::F;

    /// Writes sixteen values as binary16, rounded to nearest even; what is too
    /// large becomes infinite.
    fn store_f16(self, value: Self::F, to: &mut [F16; LANES]);

    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;

    /// `a − b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;

    /// `a · b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;

    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;

    /// `a · b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;

    /// `acc[t][r] = x[t] · w[r] + acc[t][r]`, rounded once.
    ///
    /// An operation of its own so that an instruction set whose vectors are
    /// several registers can go through them one after the other.
    #[inline(always)]
    fn outer<const R: usize, const T: usize>(
        self,
        acc: &mut [[Self::F; R]; T],
        w: [Self::F; R],
        x: [&[f32; LANES]; T],
    ) {
        for (acc, x) in zip(acc.iter_mut(), x) {
            let x = self.load(x);
            for (acc, w) in zip(acc.iter_mut(), w) {
                *acc = self.fma(x, w, *acc);
            }
        }
    }

    /// `a` where `a > b`, else `b`: also where one of them is a NaN or both
    /// are zeros.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;

    /// `a` without its sign.
    fn abs(self, a: Self::F) -> Self::F;

    /// `yes` where `a > b`, else `no`: also where `a` or `b` is a NaN.
    fn select_gt(self, a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F;

    /// `x · 2^n`, rounded once, for whole `n` in −252..=254 and `|x|` in 0.5..4.
    /// NaN where `x` is a NaN, whatever `n` is.
    fn scale_pow2(self, x: Self::F, n: Self::F) -> Self::F;

    /// The sum of the lanes, folded in halves (see the [crate]'s rule).
    fn fold(self, a: Self::F) -> f32;

    /// [`Lanes::fold`] of each.
    #[inline(always)]
    fn fold_each<const R: usize>(self, a: [Self::F; R]) -> [f32; R] {
        let mut sums = [0.0; R];
        for (sum, a) in zip(sums.iter_mut(), a) {
            *sum = self.fold(a);
        }
        sums
    }

    /// Lane 0.
    fn first(self, a: Self::F) -> f32;

    /// The largest lane: [`Lanes::max`] folded in halves, `max(p[i], p[i + h])`.
    fn fold_max(self, a: Self::F) -> f32;

    /// The largest magnitude of 32 values: a NaN if one of them is, else infinite
    /// if one of them is.
    fn max_magnitude(self, a: Self::F, b: Self::F) -> f32;

    /// Lanes 1, 0, 3, 2, … 15, 14.
    fn swap_pairs(self, a: Self::F) -> Self::F;

    /// `a` as integers, rounded to nearest even; `|a| < 2^31`.
    fn round(self, a: Self::F) -> Self::I;

    /// The integers as floats, rounded to nearest even.
    fn to_float(self, a: Self::I) -> Self::F;

    /// Writes sixteen integers, saturated to −128..=127.
    fn store_i8(self, value: Self::I, to: &mut [i8; LANES]);

    /// The sum of the lanes, wrapping.
    fn fold_int(self, a: Self::I) -> i32;

    /// `Σ a[i/4][4·lane + i%4] · b[r][i]` over `i` in 0..32, for each `r`: the
    /// products of sixteen vectors, four elements at a time side by side, with
    /// `R` others. Exact. No element is −128; `lowered[r]` is `−128 · Σ b[r]`, what
    /// undoes that elements of `a` are raised to be unsigned.
    fn dot32<const R: usize>(
        self,
        a: &[[i8; 4 * LANES]; 8],
        b: [&[i8; 32]; R],
        lowered: [i32; R],
    ) -> [Self::I; R];

    /// Reads up to sixteen values; the remaining lanes are `fill`.
    ///
    /// `-0.0` is the filling that adds nothing, not even to a `-0.0`.
    #[inline(always)]
    fn load_part(self, from: &[f32], fill: f32) -> Self::F {
        if let Ok(all) = from.try_into() {
            return self.load(all);
        }
        let mut all = [fill; LANES];
        all[..from.len()].copy_from_slice(from);
        self.load(&all)
    }

    /// Writes the first lanes, as many as `to` is long (sixteen at most).
    #[inline(always)]
    fn store_part(self, value: Self::F, to: &mut [f32]) {
        if let Ok(all) = to.try_into() {
            return self.store(value, all);
        }
        let mut all = [0.0; LANES];
        self.store(value, &mut all);
        to.copy_from_slice(&all[..to.len()]);
    }
}

/// Twice the bits of a bfloat16 that is [`FLOOR`](crate::steps::FLOOR): what twice
/// the bits of others, which loses their sign, compare with.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const TWICE_FLOOR: u16 = (crate::steps::FLOOR.to_bits() >> 15) as u16;

/// Bytes `4·i..` of `b`, to be repeated in all lanes.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn four(b: &[i8; 32], i: usize) -> i32 {
    i32::from_le_bytes(inlined::from_fn(|j| b[4 * i + j] as u8))
}

/// An algorithm: its arguments, and what to do with them on some lanes.
pub trait Op {
    /// What it returns.
    type Out;

    /// Does it. Implementations are `#[inline(always)]`.
    fn run<L: Lanes>(self, lanes: L) -> Self::Out;
}

impl Isa {
    /// Runs `op` with the lanes of this instruction set.
    ///
    /// # Panics
    ///
    /// If the processor does not have it.
    #[inline]
    pub fn run<O: Op>(self, op: O) -> O::Out {
        match self {
            Isa::Scalar => Scalar.call(op),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::AvxVnni => self.token::<Avx2>().call(op),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => self.token::<Avx512>().call(op),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon | Isa::NeonDotprod | Isa::NeonI8mm => self.token::<Neon>().call(op),
            #[allow(unreachable_patterns)] // the sets of the other architecture
            _ => absent(self),
        }
    }

    /// The token of this set's lanes.
    #[inline]
    fn token<L: Lanes>(self) -> L {
        match L::new() {
            Some(lanes) if self.is_available() => lanes,
            _ => absent(self),
        }
    }
}

#[cold]
fn absent(isa: Isa) -> ! {
    panic!("this machine has no {isa}")
}

#[cfg(test)]
mod tests;
