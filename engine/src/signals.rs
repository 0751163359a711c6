//! What signals do to a program that asks for it.
//!
//! For programs, not for libraries: a handler changes what the whole process
//! does. Handlers only touch atomics and call what POSIX lists as safe there.

#![allow(unsafe_code)]

use crate::Cancel;

/// Turns the death by SIGBUS that a shrunk or unreadable mapped file causes
/// into an error message and exit status 1.
///
/// The handler only acts on addresses of mapped model files; for any other it
/// restores the system's way.
pub fn exit_on_bus_error() {
    #[cfg(unix)]
    unix::on_bus_error();
}

/// Lets the first interrupt (Ctrl-C) cancel, and the second end the process the
/// usual way, as the first does again when what is returned is dropped. A process
/// that was started to ignore interrupts goes on doing so.
///
/// The first call in a process decides what is cancelled.
#[must_use = "interrupts cancel as long as this value lives"]
pub fn cancel_on_interrupt(cancel: &Cancel) -> Interrupts {
    #[cfg(unix)]
    unix::on_interrupt(cancel);
    #[cfg(not(unix))]
    let _ = cancel;
    Interrupts(())
}

/// Interrupts cancel: see [`cancel_on_interrupt`].
pub struct Interrupts(());

impl Drop for Interrupts {
    fn drop(&mut self) {
        #[cfg(unix)]
        unix::end_on_interrupt();
    }
}

#[cfg(unix)]
pub(crate) use unix::Watched;

#[cfg(unix)]
mod unix {
    use crate::{Cancel, Printable};
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

    /// Mapped files at a time that are known to the handler.
    const SLOTS: usize = 256;

    /// A mapped file, in a form that a signal handler may read.
    struct Slot {
        start: AtomicUsize,
        /// 0 if the slot is free.
        len: AtomicUsize,
        message: AtomicPtr<String>,
    }

    static WATCHED: [Slot; SLOTS] = [const {
        Slot {
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            message: AtomicPtr::new(std::ptr::null_mut()),
        }
    }; SLOTS];

    /// An entry of the table; leaves it when dropped.
    #[derive(Debug)]
    pub(crate) struct Watched {
        slot: Option<usize>,
    }

    impl Watched {
        pub(crate) fn new(path: &Path, bytes: &[u8]) -> Watched {
            let message = format!(
                "error: {}: the file became shorter or unreadable while it was in use\n",
                Printable(path)
            );
            let slot = WATCHED.iter().position(|slot| {
                slot.len
                    .compare_exchange(0, usize::MAX, SeqCst, SeqCst)
                    .is_ok()
            });
            if let Some(slot) = slot {
                let slot = &WATCHED[slot];
                // Never freed, so that a handler can never meet a freed one: a
                // path per mapped file.
                slot.message.store(Box::into_raw(Box::new(message)), SeqCst);
                slot.start.store(bytes.as_ptr() as usize, SeqCst);
                slot.len.store(bytes.len(), SeqCst);
            }
            Watched { slot }
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            if let Some(slot) = self.slot {
                WATCHED[slot].start.store(0, SeqCst);
                WATCHED[slot].len.store(0, SeqCst);
            }
        }
    }

    /// Whether a bus error has been reported.
    static SAID: AtomicBool = AtomicBool::new(false);

    /// What an interrupt cancels.
    static INTERRUPTED: OnceLock<Cancel> = OnceLock::new();

    /// Installs a handler that gets the signal's details.
    fn install(signal: libc::c_int, handler: usize, flags: libc::c_int) {
        // SAFETY: the structure is filled in completely; the handler is the system's
        // way or one of this file's, which have the signature that SA_SIGINFO asks for
        // and call only functions that are safe in handlers.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_SIGINFO | flags;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }

    pub fn on_bus_error() {
        install(libc::SIGBUS, bus_error as *const () as usize, 0);
    }

    /// Whether this process was started to ignore interrupts.
    fn ignores_interrupts() -> bool {
        // SAFETY: only asks; the structure is filled in by the call.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGINT, std::ptr::null(), &mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
        }
    }

    pub fn on_interrupt(cancel: &Cancel) {
        if !ignores_interrupts() {
            INTERRUPTED.get_or_init(|| cancel.clone());
            // The system's way again after the first.
            let flags = libc::SA_RESETHAND | libc::SA_RESTART;
            install(libc::SIGINT, interrupt as *const () as usize, flags);
        }
    }

    pub fn end_on_interrupt() {
        if !ignores_interrupts() {
            install(libc::SIGINT, libc::SIG_DFL, 0);
        }
    }

    extern "C" fn interrupt(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        if let Some(cancel) = INTERRUPTED.get() {
            cancel.cancel();
        }
    }

    extern "C" fn bus_error(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system passes a valid structure to SA_SIGINFO handlers.
        let address = unsafe { (*info).si_addr() } as usize;
        for slot in &WATCHED {
            let (start, len) = (slot.start.load(SeqCst), slot.len.load(SeqCst));
            // Pages are mapped whole, so the last one may reach further.
            if start == 0 || address < start || address - start >= len.saturating_add(1 << 16) {
                continue;
            }
            // Several threads may meet the hole; one line is enough.
            while SAID.swap(true, SeqCst) {
                // SAFETY: `pause` is safe in handlers.
                unsafe { libc::pause() };
            }
            // SAFETY: messages are never freed; `write` and `_exit` are safe in
            // handlers.
            unsafe {
                if let Some(message) = slot.message.load(SeqCst).as_ref() {
                    libc::write(2, message.as_ptr().cast(), message.len());
                }
                libc::_exit(1);
            }
        }
        // SAFETY: `signal` is safe in handlers; the faulting instruction runs again
        // and ends the process the usual way.
        unsafe {
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
        }
    }
}
