//! Q6_K: 256 weights of 6 bits; every 16 have an 8-bit scale.
//!
//! ```text
//! byte   0       127   128       191   192            207   208 209
//!      ┌─────────────┬───────────────┬────────────────────┬─────────┐
//!      │ ql [128]    │ qh [64]       │ scales [16] i8     │ d f16   │
//!      └─────────────┴───────────────┴────────────────────┴─────────┘
//!
//! group g (weights 32g .. 32g + 32), with h = g / 4 and j = g mod 4:
//!     weight i: low four bits in ql[64h + 32 · (j mod 2) + i], the low nibble
//!               if j < 2, else the high one;
//!               upper two in qh[32h + i], bits 2j and 2j + 1
//!     scales[2g] for its first, scales[2g + 1] for its last 16 weights
//!
//! weight = d · scale · (six bits − 32)
//! ```

use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ6_K {
    /// Low four bits, nibbles.
    pub ql: [u8; 128],
    /// Upper two bits.
    pub qh: [u8; 64],
    /// Scales of 16 weights each.
    pub scales: [i8; 16],
    /// Scale of the scales, binary16.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<BlockQ6_K>() == 210);

impl Block for BlockQ6_K {
    const LEN: usize = 256;
    const OFFSET: u8 = 32;
    const MAX: u8 = 63;
    const SUBSCALES: bool = true;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let (h, j) = (index / 4, index % 4);
        let low = &self.ql[64 * h + 32 * (j % 2)..][..GROUP];
        let high = &self.qh[32 * h..][..GROUP];
        let six_bits = |i: usize| low[i] >> (j / 2 * 4) & 15 | (high[i] >> (2 * j) & 3) << 4;
        Group {
            q: inlined::from_fn(|i| six_bits(i) as i8 - 32),
            s: [self.scales[2 * index], self.scales[2 * index + 1]],
            d: f16::from_le_bytes(self.d).to_f32(),
            m: [0.0; 2],
        }
    }
}
