//! Q5_K: 256 weights of 5 bits; every 32 have a 6-bit scale and a 6-bit minimum.
//!
//! ```text
//! byte   0   1   2      3   4           15   16        47   48        175
//!      ┌───────┬──────────┬───────────────┬──────────────┬──────────────┐
//!      │ d f16 │ dmin f16 │ scales [12]   │ qh [32]      │ qs [128]     │
//!      └───────┴──────────┴───────────────┴──────────────┴──────────────┘
//!
//! group g (weights 32g .. 32g + 32): low four bits in bytes
//!     qs[32 · (g / 2) ..][..32], the low nibbles if g is even, the high ones
//!     if it is odd; fifth bit of weight i of the group: bit g of qh[i]
//! scales: as in Q4_K
//!
//! weight = d · sc · (five bits) − dmin · mn
//! ```
//!
//! `d · sc` and `dmin · mn` are exact in `f32` (11 bits by 6), so they are the
//! scale and the minimum of a [`Group`].

use super::q4_k::scale_min;
use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ5_K {
    /// Scale of the scales, binary16.
    pub d: [u8; 2],
    /// Scale of the minimums, binary16.
    pub dmin: [u8; 2],
    /// Scales and minimums of the groups: see [`scale_min`].
    pub scales: [u8; 12],
    /// Fifth bits.
    pub qh: [u8; GROUP],
    /// Low four bits, nibbles.
    pub qs: [u8; 128],
}

const _: () = assert!(size_of::<BlockQ5_K>() == 176);

impl Block for BlockQ5_K {
    const LEN: usize = 256;
    const OFFSET: u8 = 0;
    const MAX: u8 = 31;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::Per32;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let shift = index % 2 * 4;
        let bytes = &self.qs[index / 2 * GROUP..][..GROUP];
        let fifth = |i: usize| (self.qh[i] >> index & 1) << 4;
        let (sc, mn) = scale_min(&self.scales, index);
        Group {
            q: inlined::from_fn(|i| (bytes[i] >> shift & 15 | fifth(i)) as i8),
            s: [1, 1],
            d: f16::from_le_bytes(self.d).to_f32() * f32::from(sc),
            m: [-(f16::from_le_bytes(self.dmin).to_f32() * f32::from(mn)); 2],
        }
    }
}
