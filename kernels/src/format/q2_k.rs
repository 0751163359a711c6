//! Q2_K: 256 weights of 2 bits; every 16 have a 4-bit scale and a 4-bit minimum.
//!
//! ```text
//! byte   0           15   16         79   80  81  82     83
//!      ┌───────────────┬────────────────┬───────┬──────────┐
//!      │ scales [16]   │ qs [64]        │ d f16 │ dmin f16 │
//!      └───────────────┴────────────────┴───────┴──────────┘
//!
//! group g (weights 32g .. 32g + 32), with h = g / 4 and j = g mod 4:
//!     weight i: bits 2j and 2j + 1 of qs[32h + i]
//!     scales[2g] for its first, scales[2g + 1] for its last 16 weights:
//!     sc in the low nibble, mn in the high nibble
//!
//! weight = d · sc · (two bits) − dmin · mn
//! ```

use super::{Block, GROUP, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ2_K {
    /// Scales and minimums of 16 weights each, nibbles.
    pub scales: [u8; 16],
    /// Quants, four to a byte.
    pub qs: [u8; 64],
    /// Scale of the scales, binary16.
    pub d: [u8; 2],
    /// Scale of the minimums, binary16.
    pub dmin: [u8; 2],
}

const _: () = assert!(size_of::<BlockQ2_K>() == 84);

impl Block for BlockQ2_K {
    const LEN: usize = 256;
    const OFFSET: u8 = 0;
    const MAX: u8 = 3;
    const SUBSCALES: bool = true;
    const PRODUCT_OFFSET: Option<u8> = Some(0);
    const MINIMUM: Minimum = Minimum::Per16;

    #[inline(always)]
    fn group(&self, index: usize) -> Group {
        let (h, j) = (index / 4, index % 4);
        let bytes = &self.qs[32 * h..][..GROUP];
        let scales = [self.scales[2 * index], self.scales[2 * index + 1]];
        let dmin = f16::from_le_bytes(self.dmin).to_f32();
        Group {
            q: inlined::from_fn(|i| (bytes[i] >> (2 * j) & 3) as i8),
            s: inlined::map(scales, |byte| (byte & 15) as i8),
            d: f16::from_le_bytes(self.d).to_f32(),
            m: inlined::map(scales, |byte| -(dmin * f32::from(byte >> 4))),
        }
    }
}
