//! Q4_K: 256 weights of 4 bits; every 32 have a 6-bit scale and a 6-bit minimum.
//!
//! ```text
//! byte   0   1   2      3   4           15   16        143
//!      ┌───────┬──────────┬───────────────┬──────────────┐
//!      │ d f16 │ dmin f16 │ scales [12]   │ qs [128]     │
//!      └───────┴──────────┴───────────────┴──────────────┘
//!
//! group g (weights 32g .. 32g + 32): bytes qs[32 · (g / 2) ..][..32],
//!     the low nibbles if g is even, the high ones if it is odd
//! scales: sc and mn of the eight groups, six bits each; for j in 0..4
//!
//!                  bits 7 6          bits 5 4 3 2 1 0
//!     byte j       sc[j+4] top two   sc[j]
//!     byte j + 4   mn[j+4] top two   mn[j]
//!     byte j + 8   mn[j+4] low four in the high nibble, sc[j+4] low four in the low one
//!
//! weight = d · sc · nibble − dmin · mn
//! ```
//!
//! `d · sc` and `dmin · mn` are exact in `f32` (11 bits by 6), so they are the
//! scale and the minimum of a [`Group`].

use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ4_K {
    /// Scale of the scales, binary16.
    pub d: [u8; 2],
    /// Scale of the minimums, binary16.
    pub dmin: [u8; 2],
    /// Scales and minimums of the groups: see [`scale_min`].
    pub scales: [u8; 12],
    /// Nibbles.
    pub qs: [u8; 128],
}

const _: () = assert!(size_of::<BlockQ4_K>() == 144);

impl Block for BlockQ4_K {
    const LEN: usize = 256;
    const OFFSET: u8 = 0;
    const MAX: u8 = 15;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::Per32;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let shift = index % 2 * 4;
        let bytes = &self.qs[index / 2 * GROUP..][..GROUP];
        let (sc, mn) = scale_min(&self.scales, index);
        Group {
            q: inlined::from_fn(|i| (bytes[i] >> shift & 15) as i8),
            s: [1, 1],
            d: f16::from_le_bytes(self.d).to_f32() * f32::from(sc),
            m: [-(f16::from_le_bytes(self.dmin).to_f32() * f32::from(mn)); 2],
        }
    }
}

/// The 6-bit scale and minimum of group `index`, in Q4_K and Q5_K.
#[inline(always)]
pub fn scale_min(scales: &[u8; 12], index: usize) -> (u8, u8) {
    let j = index % 4;
    let (a, b, c) = (scales[j], scales[j + 4], scales[j + 8]);
    if index < 4 {
        (a & 63, b & 63)
    } else {
        (a >> 6 << 4 | c & 15, b >> 6 << 4 | c >> 4)
    }
}
