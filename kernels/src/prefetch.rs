//! Asking for memory before it is read. Hints: they may name any address and
//! change nothing.

use crate::isa::{is_intel, is_zen_5_or_later};

/// Whether this processor takes what is read from memory best into its first-level
/// cache, not the second.
///
/// Cores forget requests when a cache has too many under way. On a Zen 5, with the
/// first level, a core reads Q4_0 from memory 1.2 times as fast, on an Emerald Rapids up to
/// 1.1 times; on a Zen 4, Q8_0 at 25 GB/s where with the second it reads 29, on a Zen 3 two cores
/// at 21 instead of 24. Others have not been measured.
pub fn prefers_first_level() -> bool {
    is_zen_5_or_later() || is_intel()
}

/// From how many places at once one token's kernel reads weights best.
///
/// An Emerald Rapids, whose prefetcher stops at the end of each page, reads two stretches at
/// once 1.1 to 1.2 times as fast as one (Q8_0 on one core at 13.6 GB/s instead of 11.6); four
/// are slower again with some formats. A Zen 5 reads one faster than several, a Zen 3 and a
/// Zen 4 make no difference.
pub fn streams() -> usize {
    if is_intel() { 2 } else { 1 }
}

/// Asks for all lines of what lies `ahead` bytes after `values`, to be in the
/// first-level cache (`near`) or in the second: see [`to_level`].
#[inline(always)]
pub fn all_to_level<T>(near: bool, values: &[T], ahead: usize) {
    let lines = 0..size_of_val(values).div_ceil(64);
    // Asked once, not for every line.
    match near {
        true => lines.for_each(|line| to_level(true, values, ahead + 64 * line)),
        false => lines.for_each(|line| to_level(false, values, ahead + 64 * line)),
    }
}

/// Asks for the line `ahead` bytes after `value`, to be in the first-level cache
/// (`near`, where there is a way to say that) or in the second.
#[inline(always)]
pub fn to_level<T: ?Sized>(near: bool, value: &T, ahead: usize) {
    let line = std::ptr::from_ref(value).cast::<i8>().wrapping_add(ahead);
    #[cfg(target_arch = "x86_64")]
    if near {
        return line_to_first_level(line);
    }
    let _ = near;
    line_to_second_level(line);
}

/// Asks for a line of each page of `bytes`, to be in the first-level cache.
///
/// Requests for the second level are forgotten where there are many; these, as
/// there are few, wait until the processor knows where the page lies, and spare
/// that to those that follow.
#[inline(always)]
pub fn pages(bytes: &[u8]) {
    bytes.chunks(4096).for_each(|page| to_level(true, page, 0));
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn line_to_first_level(address: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch accesses no memory; every x86-64 processor has it.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
}

#[inline(always)]
fn line_to_second_level(address: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch accesses no memory; every x86-64 processor has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(address);
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above, on every ARM processor of 64 bits.
    unsafe {
        std::arch::asm!(
            "prfm pldl2keep, [{address}]",
            address = in(reg) address,
            options(nostack, readonly, preserves_flags),
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
