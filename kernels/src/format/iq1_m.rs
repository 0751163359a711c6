//! IQ1_M: 256 weights of 1.75 bits, eight at a time from the codebook of IQ1_S; every 8 are
//! shifted by an eighth, every 16 have a scale of three bits.
//!
//! ```text
//! byte   0        31   32      47   48              55
//!      ┌─────────────┬────────────┬───────────────────┐
//!      │ qs [32]     │ qh [16]    │ scales [4] u16    │
//!      └─────────────┴────────────┴───────────────────┘
//!
//! weights 8i .. 8i + 8 of group g: the lower eight bits of the index are qs[4g + i]; in
//!     qh[2g + i / 2], of whose nibbles the low one is for even i, the lower three bits are
//!     the upper ones of the index, and the fourth shifts down instead of up
//! scales of the halves of group g: in scales[g / 2], three bits each, from bit 6 · (g mod 2) on
//! d: a binary16 number, four bits at a time in the upper four of each of scales
//!
//! weight = d · (2 · scale + 1) · (entry ± 1/8)
//! ```
//!
//! Quants are in eighths, so the shift is one of them.

use super::codebook::{Book, Codebook, IQ1, codebook_format, odd};
use super::{Block, Group, Minimum};
use crate::inlined;
use half::f16;

/// A block of 256 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockIQ1_M {
    /// Lower eight bits of the indices.
    pub qs: [[u8; 4]; 8],
    /// Upper bits and shifts, nibbles.
    pub qh: [[u8; 2]; 8],
    /// Scales of two groups each and four bits of `d`, little-endian `u16`s.
    pub scales: [[u8; 2]; 4],
}

const _: () = assert!(size_of::<BlockIQ1_M>() == 56);

impl BlockIQ1_M {
    /// Sets the scale of a block that lies in bytes.
    ///
    /// # Panics
    ///
    /// If they are not one block.
    pub fn set_scale(bytes: &mut [u8], d: f16) {
        let block: &mut Self = bytemuck::from_bytes_mut(bytes);
        for (i, word) in block.scales.iter_mut().enumerate() {
            word[1] = word[1] & 15 | ((d.to_bits() >> (4 * i)) as u8) << 4;
        }
    }
}

impl Codebook for BlockIQ1_M {
    type Entry = u64;
    const BOOK: Book<u64> = IQ1;
    const SHIFTED: bool = true;
    const UNIT: f32 = 1.0 / 8.0;

    #[inline(always)]
    fn scale(&self) -> f16 {
        let [a, b, c, d] = inlined::map(self.scales, |word| u16::from_le_bytes(word) >> 12);
        f16::from_bits(a | b << 4 | c << 8 | d << 12)
    }

    #[inline(always)]
    fn subscales(&self, group: usize) -> [i8; 2] {
        let scales = u16::from_le_bytes(self.scales[group / 2]) >> (group % 2 * 6);
        [odd(scales.into(), 0..3), odd(scales.into(), 3..6)]
    }

    #[inline(always)]
    fn indices(&self, group: usize) -> [u16; 4] {
        let (qs, high) = (self.qs[group], u16::from_le_bytes(self.qh[group]));
        inlined::from_fn(|i| (high >> (4 * i) & 7) << 8 | u16::from(qs[i]))
    }

    #[inline(always)]
    fn signs(&self, group: usize) -> [u8; 4] {
        let high = u16::from_le_bytes(self.qh[group]);
        inlined::from_fn(|i| 0_u8.wrapping_sub((high >> (4 * i + 3) & 1) as u8))
    }
}

codebook_format!(BlockIQ1_M, 9);
