//! IQ4_XS: 256 weights of 4 bits through the table of IQ4_NL; every 32 have a
//! 6-bit scale.
//!
//! ```text
//! byte   0   1   2          3   4            7   8         135
//!      ┌───────┬──────────────┬────────────────┬─────────────┐
//!      │ d f16 │ scales_h u16 │ scales_l [4]   │ qs [128]    │
//!      └───────┴──────────────┴────────────────┴─────────────┘
//!
//! group g (weights 32g .. 32g + 32): byte i of qs[16g ..][..16] has weight i
//!     of the group in the low nibble, weight i + 16 in the high nibble
//! scale of group g: low four bits in scales_l[g / 2], the low nibble if g is
//!     even, the high one if it is odd; upper two in bits 2g and 2g + 1 of scales_h
//!
//! weight = d · (scale − 32) · IQ4_VALUES[nibble]
//! ```
//!
//! `d · (scale − 32)` is exact in `f32` (11 bits by 6), so it is the scale of a
//! [`Group`].

use super::iq4_nl::{IQ4_VALUES, look_up};
use super::{Block, Group, Minimum};
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockIQ4_XS {
    /// Scale of the scales, binary16.
    pub d: [u8; 2],
    /// Upper two bits of the scales, a little-endian `u16`.
    pub scales_h: [u8; 2],
    /// Low four bits of the scales, nibbles.
    pub scales_l: [u8; 4],
    /// Nibbles.
    pub qs: [u8; 128],
}

const _: () = assert!(size_of::<BlockIQ4_XS>() == 136);

impl BlockIQ4_XS {
    /// Scale of group `index`, in −32..32.
    #[inline(always)]
    pub fn scale(&self, index: usize) -> i8 {
        let low = self.scales_l[index / 2] >> (index % 2 * 4) & 15;
        let high = (u16::from_le_bytes(self.scales_h) >> (2 * index) & 3) as u8;
        (high << 4 | low) as i8 - 32
    }
}

impl Block for BlockIQ4_XS {
    const LEN: usize = 256;
    const OFFSET: u8 = 127;
    const MAX: u8 = 240;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let nibbles = self.qs[16 * index..].first_chunk().expect("eight groups");
        Group::scaled(
            look_up(&IQ4_VALUES, nibbles),
            f16::from_le_bytes(self.d).to_f32() * f32::from(self.scale(index)),
        )
    }
}
