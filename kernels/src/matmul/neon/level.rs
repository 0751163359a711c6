//! What the levels of 64-bit ARM differ in: how bytes are multiplied and added.
//!
//! SDOT and SMMLA are written in assembly: their intrinsics are not stable in
//! the oldest compiler this crate is for.

use super::vector::transpose;
use crate::inlined::zip;
use crate::isa::Isa;
use std::arch::aarch64::*;
use std::arch::asm;

/// An algorithm on some level: its arguments, and what to do with them.
pub trait Op {
    /// Does it. Implementations are `#[inline(always)]`.
    fn run<L: Level>(self, l: L);
}

/// The instructions of a level, and the proof that the processor has them.
///
/// As in [`crate::lanes`], the features are enabled on one function per level,
/// the one `call` calls, and all generic code below it is `#[inline(always)]`.
pub trait Level: Copy + 'static {
    /// The token, if the processor has the instructions.
    fn new() -> Option<Self>;

    /// Runs `op` as a function of its own.
    fn call<O: Op>(self, op: O);

    /// `acc` and sixteen products; which lanes they are added to is open.
    fn dot(self, acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t;

    /// Sixteen weights of four rows each, in the order that
    /// [`Level::add_quad`] wants them in.
    fn arrange(self, rows: [int8x16_t; 4]) -> [int8x16_t; 4];

    /// Adds the products of sixteen weights of four rows with the activations
    /// of two tokens.
    fn add_quad(self, acc: [int32x4_t; 2], w: [int8x16_t; 4], x: [int8x16_t; 2]) -> [int32x4_t; 2];

    /// The sums that [`Level::add_quad`] made, for each token those of the four
    /// rows.
    fn by_token(self, acc: [int32x4_t; 2]) -> [int32x4_t; 2];
}

/// Marks the use of an instruction.
macro_rules! simd {
    ($($body:tt)*) => {
        // SAFETY: a token exists only where the processor has its level's
        // instructions (`new`), and every use is in a method of one.
        unsafe { $($body)* }
    };
}

/// The methods by which a token comes to be and is used.
macro_rules! token {
    ($isa:expr, $features:literal) => {
        #[inline]
        fn new() -> Option<Self> {
            $isa.is_available().then_some(Self(()))
        }

        #[inline]
        fn call<O: Op>(self, op: O) {
            #[inline(never)]
            #[target_feature(enable = $features)]
            fn enabled<L: Level, O: Op>(l: L, op: O) {
                op.run(l)
            }
            simd! { enabled(self, op) }
        }
    };
}

/// Advanced SIMD.
#[derive(Clone, Copy)]
pub struct Plain(());

impl Level for Plain {
    token! { Isa::Neon, "neon" }

    #[inline(always)]
    fn dot(self, acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // Two products are at most 2 · 128 · 127, which fits in 16 bits.
        simd! {
            let products = vmull_s8(vget_low_s8(a), vget_low_s8(b));
            vpadalq_s16(acc, vmlal_high_s8(products, a, b))
        }
    }

    #[inline(always)]
    fn arrange(self, rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
        simd! { transpose(rows) }
    }

    #[inline(always)]
    fn add_quad(self, acc: [int32x4_t; 2], w: [int8x16_t; 4], x: [int8x16_t; 2]) -> [int32x4_t; 2] {
        let mut out = acc;
        for (acc, x) in zip(out.iter_mut(), x) {
            simd! {
                let x = vreinterpretq_s32_s8(x);
                let steps = [
                    vreinterpretq_s8_s32(vdupq_laneq_s32::<0>(x)),
                    vreinterpretq_s8_s32(vdupq_laneq_s32::<1>(x)),
                    vreinterpretq_s8_s32(vdupq_laneq_s32::<2>(x)),
                    vreinterpretq_s8_s32(vdupq_laneq_s32::<3>(x)),
                ];
                // Rows 0 and 1, rows 2 and 3: two sums of each.
                let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
                for i in [0, 2] {
                    let products = vmull_s8(vget_low_s8(w[i]), vget_low_s8(steps[i]));
                    let products =
                        vmlal_s8(products, vget_low_s8(w[i + 1]), vget_low_s8(steps[i + 1]));
                    low = vpadalq_s16(low, products);
                    let products = vmull_high_s8(w[i], steps[i]);
                    let products = vmlal_high_s8(products, w[i + 1], steps[i + 1]);
                    high = vpadalq_s16(high, products);
                }
                *acc = vaddq_s32(*acc, vpaddq_s32(low, high));
            }
        }
        out
    }

    #[inline(always)]
    fn by_token(self, acc: [int32x4_t; 2]) -> [int32x4_t; 2] {
        acc
    }
}

/// Advanced SIMD and the integer dot product.
#[derive(Clone, Copy)]
pub struct Dotprod(());

/// SDOT with four bytes of `x` for all.
macro_rules! sdot_lane {
    ($acc:expr, $w:expr, $x:expr, $lane:literal) => {{
        let mut sum: int32x4_t = $acc;
        simd! {
            asm!(
                concat!("sdot {sum:v}.4s, {w:v}.16b, {x:v}.4b[", $lane, "]"),
                sum = inout(vreg) sum,
                w = in(vreg) $w,
                x = in(vreg) $x,
                options(pure, nomem, nostack, preserves_flags),
            )
        }
        sum
    }};
}

impl Level for Dotprod {
    token! { Isa::NeonDotprod, "neon,dotprod" }

    #[inline(always)]
    fn dot(self, mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        simd! {
            asm!(
                "sdot {acc:v}.4s, {a:v}.16b, {b:v}.16b",
                acc = inout(vreg) acc,
                a = in(vreg) a,
                b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            )
        }
        acc
    }

    #[inline(always)]
    fn arrange(self, rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
        simd! { transpose(rows) }
    }

    #[inline(always)]
    fn add_quad(self, acc: [int32x4_t; 2], w: [int8x16_t; 4], x: [int8x16_t; 2]) -> [int32x4_t; 2] {
        let mut out = acc;
        for (acc, x) in zip(out.iter_mut(), x) {
            *acc = sdot_lane!(*acc, w[0], x, 0);
            *acc = sdot_lane!(*acc, w[1], x, 1);
            *acc = sdot_lane!(*acc, w[2], x, 2);
            *acc = sdot_lane!(*acc, w[3], x, 3);
        }
        out
    }

    #[inline(always)]
    fn by_token(self, acc: [int32x4_t; 2]) -> [int32x4_t; 2] {
        acc
    }
}

/// Advanced SIMD, dot product and 8-bit matrix multiply.
#[derive(Clone, Copy)]
pub struct I8mm(());

impl I8mm {
    /// The products of rows 0, 1 of `a` with rows 0, 1 of `b`, eight bytes each:
    /// `[a0·b0 a0·b1 a1·b0 a1·b1]`.
    #[inline(always)]
    fn smmla(self, mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        simd! {
            asm!(
                "smmla {acc:v}.4s, {a:v}.16b, {b:v}.16b",
                acc = inout(vreg) acc,
                a = in(vreg) a,
                b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            )
        }
        acc
    }
}

/// The first and the last eight bytes of two rows, side by side.
#[inline(always)]
fn pair_halves(a: int8x16_t, b: int8x16_t) -> [int8x16_t; 2] {
    simd! {
        let (a, b) = (vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b));
        [
            vreinterpretq_s8_s64(vzip1q_s64(a, b)),
            vreinterpretq_s8_s64(vzip2q_s64(a, b)),
        ]
    }
}

impl Level for I8mm {
    token! { Isa::NeonI8mm, "neon,dotprod,i8mm" }

    #[inline(always)]
    fn dot(self, acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        Dotprod(()).dot(acc, a, b)
    }

    #[inline(always)]
    fn arrange(self, rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
        let [upper_first, upper_last] = pair_halves(rows[0], rows[1]);
        let [lower_first, lower_last] = pair_halves(rows[2], rows[3]);
        [upper_first, upper_last, lower_first, lower_last]
    }

    #[inline(always)]
    fn add_quad(self, acc: [int32x4_t; 2], w: [int8x16_t; 4], x: [int8x16_t; 2]) -> [int32x4_t; 2] {
        let [first, last] = pair_halves(x[0], x[1]);
        let [upper, lower] = acc;
        [
            self.smmla(self.smmla(upper, w[0], first), w[1], last),
            self.smmla(self.smmla(lower, w[2], first), w[3], last),
        ]
    }

    #[inline(always)]
    fn by_token(self, [upper, lower]: [int32x4_t; 2]) -> [int32x4_t; 2] {
        simd! { [vuzp1q_s32(upper, lower), vuzp2q_s32(upper, lower)] }
    }
}
