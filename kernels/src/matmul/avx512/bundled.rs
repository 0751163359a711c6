//! Activations as bundles of rows meet them: see [`Bundle`].

use super::octet::PerLane;
use super::token::InLanes;
use super::vector::{load_u32, store};
use crate::activation::{Int8Row, OCTET};
use crate::inlined;
use crate::matmul::bundle::Bundle;
use std::arch::x86_64::*;

/// What octet `o` of a bundle meets of a row of activations.
#[target_feature(enable = "avx512f")]
pub fn octet(bundle: Bundle, x: Int8Row<'_>, o: usize) -> InLanes {
    let group = OCTET * o % bundle.groups;
    let (octet, shift) = (group / OCTET, group % OCTET);
    let last = bundle.groups.div_ceil(OCTET) - 1;
    let [first, low, high] = inlined::map([0, octet, last.min(octet + 1)], |o| {
        InLanes::of(x, o).vectors()
    });
    let places = shifted(shift);
    // From here on, the row begins again.
    let again = (bundle.groups - group).min(OCTET);
    let lanes: u16 = 0x0101 * (0xff << again & 0xff);
    let begin = shifted(OCTET - again);
    let mut moved = low;
    for (i, to) in moved.iter_mut().enumerate() {
        let (low, high) = (load_u32(&low[i]), load_u32(&high[i]));
        let on = _mm512_permutex2var_epi32(low, load_u32(&places), high);
        let begun = _mm512_permutexvar_epi32(load_u32(&begin), load_u32(&first[i]));
        let all = _mm512_mask_mov_epi32(on, lanes, begun);
        store(bytemuck::cast_mut(to), all);
    }
    InLanes::of_vectors(moved)
}

/// The lanes of 16 and, from 16 on, of the next 16, that begin `by` groups on.
fn shifted(by: usize) -> PerLane<u32> {
    let mut places = [0; 2 * OCTET];
    for (lane, place) in places.iter_mut().enumerate() {
        let group = lane % OCTET + by;
        let next = group / OCTET * 2 * OCTET;
        *place = (next + lane / OCTET * OCTET + group % OCTET) as u32;
    }
    places
}
