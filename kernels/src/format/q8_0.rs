//! Q8_0: 32 weights of 8 bits with one scale.
//!
//! ```text
//! byte   0   1   2        33
//!      ┌───────┬────────────┐
//!      │ d f16 │ qs [32] i8 │
//!      └───────┴────────────┘
//!
//! weight = d · q
//! ```

use super::{Block, GROUP, Group, Minimum};
use half::f16;

/// A block of 32 weights.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct BlockQ8_0 {
    /// Scale, binary16.
    pub d: [u8; 2],
    /// Quants.
    pub qs: [i8; GROUP],
}

const _: () = assert!(size_of::<BlockQ8_0>() == 34);

impl Block for BlockQ8_0 {
    const LEN: usize = 32;
    const OFFSET: u8 = 128;
    const MAX: u8 = 255;
    const SUBSCALES: bool = false;
    const MINIMUM: Minimum = Minimum::None;

    #[inline(always)]
    fn group(&self, _: usize) -> Group {
        Group::scaled(self.qs, f16::from_le_bytes(self.d).to_f32())
    }
}
