//! A file mapped into memory: the only `unsafe` of this crate.

#![allow(unsafe_code)]

use crate::Error;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A read-only mapping of a whole file.
///
/// The pages belong to the operating system's file cache: they are shared
/// between processes and may be evicted, so weights are never copied.
#[derive(Debug)]
pub struct Mapping {
    path: PathBuf,
    /// `None` for memory that is no file's.
    file: Option<File>,
    /// `None` for a file without bytes, which cannot be mapped.
    map: Option<memmap2::Mmap>,
    #[cfg(unix)]
    _watched: Option<bus_error::Watched>,
}

impl Mapping {
    /// Maps a regular file.
    pub fn open(path: &Path) -> Result<Mapping, Error> {
        Mapping::open_with_len(path, None)
    }

    /// Maps a regular file that will have `len` bytes, also if it is still
    /// shorter. Bytes that are not there yet must not be touched.
    pub fn open_growing(path: &Path, len: usize) -> Result<Mapping, Error> {
        Mapping::open_with_len(path, Some(len))
    }

    fn open_with_len(path: &Path, len: Option<usize>) -> Result<Mapping, Error> {
        let failed = |reason| Error::Open {
            path: path.to_owned(),
            reason,
        };
        // Looked at before opening: opening a FIFO would wait for a writer.
        let kind = std::fs::metadata(path).map_err(failed)?;
        if !kind.is_file() {
            let found = if kind.is_dir() {
                "a directory"
            } else {
                "a device, pipe or socket"
            };
            return Err(Error::NotAFile {
                path: path.to_owned(),
                found,
            });
        }
        let file = File::open(path).map_err(failed)?;
        let len = match len {
            Some(len) => len,
            None => usize::try_from(file.metadata().map_err(failed)?.len()).unwrap_or(usize::MAX),
        };
        let map = match len {
            0 => None,
            // SAFETY: the mapping is read-only. That nobody else changes the
            // file while it is mapped is an assumption that every program makes
            // which maps files: the bytes are only ever read as plain integers
            // and floats, for which every bit pattern is valid, and all offsets
            // were copied out and validated when the file was parsed. Bytes
            // beyond the end of a growing file are waited for before they are
            // touched (`crate::loading`).
            _ => Some(unsafe { memmap2::MmapOptions::new().len(len).map(&file) }.map_err(failed)?),
        };
        Ok(Mapping {
            #[cfg(unix)]
            _watched: map
                .as_deref()
                .map(|bytes| bus_error::Watched::new(path, bytes)),
            path: path.to_owned(),
            file: Some(file),
            map,
        })
    }

    /// Memory of no file that holds `bytes`: test data.
    pub(crate) fn anonymous(bytes: &[u8]) -> io::Result<Mapping> {
        let mut map = memmap2::MmapMut::map_anon(bytes.len().max(1))?;
        map[..bytes.len()].copy_from_slice(bytes);
        Ok(Mapping {
            #[cfg(unix)]
            _watched: None,
            path: PathBuf::new(),
            file: None,
            map: Some(map.make_read_only()?),
        })
    }

    /// The file that is mapped.
    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or(io::ErrorKind::Unsupported.into())
    }

    /// The file's path, as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes the file has now.
    pub fn current_len(&self) -> io::Result<u64> {
        Ok(self.file()?.metadata()?.len())
    }

    /// Asks the system to begin reading `range`, without waiting for it.
    pub fn read_ahead(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Some(map) = &self.map {
            // Advice: whether it is taken shows in the time the read takes.
            let _ = map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Brings `range` into memory and fills the page tables.
    ///
    /// # Errors
    ///
    /// `Unsupported` or `InvalidInput` where the system cannot do that; what
    /// reading the file failed with, also if the file ends before.
    pub fn populate(&self, range: Range<usize>) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(map) = &self.map {
            return map.advise_range(memmap2::Advice::PopulateRead, range.start, range.len());
        }
        let _ = range;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads bytes of the file, past the mapping.
    pub fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_exact_at(self.file()?, out, offset);
        #[cfg(not(unix))]
        {
            use std::io::{Read, Seek};
            let mut file = self.file()?;
            file.seek(io::SeekFrom::Start(offset))?;
            file.read_exact(out)
        }
    }

    /// Gives the memory of `range` back to the system; its bytes are read anew
    /// when they are touched again.
    pub fn evict(&self, range: Range<usize>) {
        #[cfg(target_os = "linux")]
        if let (Some(map), Some(file)) = (&self.map, &self.file) {
            use std::os::fd::AsRawFd;
            // SAFETY: the mapping is a shared, read-only one of a file:
            // discarding its pages changes no contents, they are read again
            // from the file.
            let _ = unsafe {
                map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
            // SAFETY: takes numbers only, of a file that is open.
            unsafe {
                libc::posix_fadvise(
                    file.as_raw_fd(),
                    range.start as libc::off_t,
                    range.len() as libc::off_t,
                    libc::POSIX_FADV_DONTNEED,
                );
            }
        }
        let _ = range;
    }

    /// Keeps all pages in memory.
    pub fn lock(&self) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(map) = &self.map {
            return map.lock();
        }
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }
}

/// A part of a mapped file that keeps the mapping alive.
#[derive(Clone)]
pub struct Bytes {
    mapping: Arc<Mapping>,
    range: Range<usize>,
}

impl Bytes {
    /// The bytes `range` of the file.
    ///
    /// # Panics
    ///
    /// If the range lies outside of the file.
    pub fn new(mapping: Arc<Mapping>, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= mapping.len());
        Bytes { mapping, range }
    }

    /// The file.
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// Where the bytes lie in it.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.mapping[self.range.clone()]
    }
}

/// Turns the death by SIGBUS that a shrunk or unreadable mapped file causes
/// into an error message and exit status 1.
///
/// For programs, not for libraries: it changes what the whole process does. The
/// handler only acts on addresses of mapped model files; for any other it
/// restores the system's way.
pub fn exit_on_bus_error() {
    #[cfg(unix)]
    bus_error::install();
}

#[cfg(unix)]
mod bus_error {
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::*};

    /// Mapped files at a time that are known to the handler.
    const SLOTS: usize = 256;

    /// A mapped file, in a form that a signal handler may read.
    struct Slot {
        start: AtomicUsize,
        /// 0 if the slot is free.
        len: AtomicUsize,
        message: AtomicPtr<Vec<u8>>,
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
    pub struct Watched {
        slot: Option<usize>,
    }

    impl Watched {
        pub fn new(path: &Path, bytes: &[u8]) -> Watched {
            let mut message = b"error: ".to_vec();
            // Control characters of a path must not reach a terminal.
            message.extend(
                path.as_os_str()
                    .as_bytes()
                    .iter()
                    .map(|&b| if b.is_ascii_control() { b'?' } else { b }),
            );
            message.extend_from_slice(
                b": the file became shorter or unreadable while it was in use\n",
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

    pub fn install() {
        // SAFETY: the structure is filled in completely; the handler has the
        // signature that SA_SIGINFO asks for and calls only functions that are
        // safe in handlers.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    }

    extern "C" fn handler(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system passes a valid structure to SA_SIGINFO handlers.
        let address = unsafe { (*info).si_addr() } as usize;
        for slot in &WATCHED {
            let (start, len) = (slot.start.load(SeqCst), slot.len.load(SeqCst));
            // Pages are mapped whole, so the last one may reach further.
            if start == 0 || address < start || address - start >= len.saturating_add(1 << 16) {
                continue;
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
        // SAFETY: as in `install`; the faulting instruction runs again and ends
        // the process the usual way.
        unsafe {
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
        }
    }
}
