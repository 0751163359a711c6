//! TQ1_0: 256 weights of −1, 0 and 1 with one scale, five of them to a byte.
//!
//! ```text
//! byte   0          31   32       47   48     51   52 53
//!      ┌──────────────┬──────────────┬───────────┬───────┐
//!      │ fives [32]   │ more [16]    │ fours [4] │ d f16 │
//!      └──────────────┴──────────────┴───────────┴───────┘
//!
//! weights 32n + i,       n in 0..5, i in 0..32: digit n of fives[i]
//! weights 160 + 16n + i, n in 0..5, i in 0..16: digit n of more[i]
//! weights 240 + 4n + i,  n in 0..4, i in 0..4:  digit n of fours[i]
//!
//! weight = d · (digit − 1)
//! ```
//!
//! A byte counts 256ths, and its digits are those of that fraction to the base of three:
//! multiplied by three, what it has become beyond one is the next digit.

use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockTQ1_0 {
    /// Five digits each, of the first 160 weights.
    pub fives: [u8; 32],
    /// Five digits each, of the next 80.
    pub more: [u8; 16],
    /// Four digits each, of the last 16.
    pub fours: [u8; 4],
    /// Scale, binary16.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<BlockTQ1_0>() == 54);

/// What brings digit `n` of a byte to the front.
pub const TQ1_0_POWERS: [u8; 5] = [1, 3, 9, 27, 81];

/// Digit `n` of a byte, less one.
#[inline(always)]
fn weight(byte: u8, n: usize) -> i8 {
    let rest = byte.wrapping_mul(TQ1_0_POWERS[n]);
    (3 * u16::from(rest) / 256) as i8 - 1
}

impl Block for BlockTQ1_0 {
    const LEN: usize = 256;
    const OFFSET: u8 = 1;
    const MAX: u8 = 2;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let q: [i8; GROUP] = inlined::from_fn(|i| match 2 * index + i / 16 {
            0..10 => weight(self.fives[i], index),
            15 => weight(self.fours[i % 4], i % 16 / 4),
            half => weight(self.more[i % 16], half - 10),
        });
        Group::scaled(q, f16::from_le_bytes(self.d).to_f32())
    }
}
