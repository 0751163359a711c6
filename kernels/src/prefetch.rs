//! Asking for memory before it is read.

/// Asks for the cache line `ahead` bytes after `from`, to be in the
/// second-level cache. A hint: it may name any address and changes nothing.
#[inline(always)]
pub fn to_second_level<T>(from: &T, ahead: usize) {
    let address = std::ptr::from_ref(from).cast::<i8>().wrapping_add(ahead);
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
