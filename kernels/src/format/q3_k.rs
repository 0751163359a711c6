//! Q3_K: 256 weights of 3 bits; every 16 have a 6-bit scale.
//!
//! ```text
//! byte   0          31   32         95   96        107   108 109
//!      ┌──────────────┬────────────────┬───────────────┬─────────┐
//!      │ hmask [32]   │ qs [64]        │ scales [12]   │ d f16   │
//!      └──────────────┴────────────────┴───────────────┴─────────┘
//!
//! group g (weights 32g .. 32g + 32), with h = g / 4 and j = g mod 4:
//!     weight i: low two bits in qs[32h + i], bits 2j and 2j + 1;
//!               third bit: bit g of hmask[i]
//!     scale 2g for its first, scale 2g + 1 for its last 16 weights
//! scale k (k in 0..16): low four bits in scales[k mod 8], the low nibble if
//!     k < 8, else the high one;
//!     upper two in scales[8 + k mod 4], bits 2 · (k / 4) and 2 · (k / 4) + 1
//!
//! weight = d · (scale − 32) · (three bits − 4)
//! ```

use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ3_K {
    /// Third bits.
    pub hmask: [u8; GROUP],
    /// Low two bits, four to a byte.
    pub qs: [u8; 64],
    /// Scales of 16 weights each: see [`BlockQ3_K::scale`].
    pub scales: [u8; 12],
    /// Scale of the scales, binary16.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<BlockQ3_K>() == 110);

impl BlockQ3_K {
    /// Scale of weights `16k .. 16k + 16`, in −32..32.
    #[inline(always)]
    pub fn scale(&self, k: usize) -> i8 {
        let low = self.scales[k % 8] >> (k / 8 * 4) & 15;
        let high = self.scales[8 + k % 4] >> (k / 4 * 2) & 3;
        (high << 4 | low) as i8 - 32
    }
}

impl Block for BlockQ3_K {
    const LEN: usize = 256;
    const OFFSET: u8 = 4;
    const MAX: u8 = 7;
    const SUBSCALES: bool = true;
    const PRODUCT_OFFSET: Option<u8> = Some(124);
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let (h, j) = (index / 4, index % 4);
        let low = &self.qs[32 * h..][..GROUP];
        let three_bits = |i: usize| low[i] >> (2 * j) & 3 | (self.hmask[i] >> index & 1) << 2;
        Group {
            q: inlined::from_fn(|i| three_bits(i) as i8 - 4),
            s: [self.scale(2 * index), self.scale(2 * index + 1)],
            d: f16::from_le_bytes(self.d).to_f32(),
            m: [0.0; 2],
        }
    }
}
