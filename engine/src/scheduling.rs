//! How soon the system lets a thread run.

#![allow(unsafe_code)]

/// Asks that the calling thread, which runs for a moment and waits for long,
/// runs as soon as it has something to do, also where others keep all cores
/// busy. Otherwise one of those may go on for milliseconds first.
///
/// On Linux since 6.12, where it is the slice of time that a thread of the
/// usual policy wants; it takes no more of the processor for it. Advice: where
/// the system has no such thing, nothing changes.
pub fn wake_soon() {
    #[cfg(target_os = "linux")]
    {
        // The shortest slice the system takes.
        const SLICE_NS: u64 = 100_000;
        const SIZE: usize = size_of::<libc::sched_attr>();
        // SAFETY: plain numbers, for which zero is a value.
        let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
        // SAFETY: writes at most so many bytes there; 0 is the calling thread.
        let known =
            unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, SIZE, 0) };
        if known == 0 && attributes.sched_policy == libc::SCHED_OTHER as u32 {
            attributes.sched_runtime = SLICE_NS;
            // SAFETY: the attributes are there for the length of the call.
            unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        }
    }
}
