//! A file mapped into memory.

#![allow(unsafe_code)]

use crate::Error;
#[cfg(unix)]
use crate::signals::Watched;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a part of a file is in the system's file cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// Every page.
    All,
    /// Nearly all: the system has taken some pages back.
    Most,
    /// Less than that, or it is not known.
    Little,
}

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
    _watched: Option<Watched>,
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
            _watched: map.as_deref().map(|bytes| Watched::new(path, bytes)),
            path: path.to_owned(),
            file: Some(file),
            map,
        })
    }

    /// Memory of no file that holds `bytes`: test data.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
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

    /// Whether no name leads to the file any more, so that nobody will go on
    /// writing it.
    pub fn is_deleted(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            self.file
                .as_ref()
                .and_then(|file| file.metadata().ok())
                .is_some_and(|file| file.nlink() == 0)
        }
        #[cfg(not(unix))]
        false
    }

    /// Asks the system to read `range` in large pages when it is brought in, or,
    /// where the file system has none, as much at a time. False where there is no
    /// way to ask.
    pub fn in_large_pages(&self, range: Range<usize>) -> bool {
        #[cfg(target_os = "linux")]
        if let Some(map) = &self.map {
            let advice = memmap2::Advice::HugePage;
            return map.advise_range(advice, range.start, range.len()).is_ok();
        }
        let _ = range;
        false
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

    /// How much of `range` is in the system's file cache. Touches nothing, costs a
    /// system call or a few per megabyte, and says little where the system cannot
    /// tell.
    pub fn cached(&self, range: Range<usize>) -> Cached {
        #[cfg(target_os = "linux")]
        if let Some(file) = &self.file {
            // The last page may be there and yet end before the range does.
            let is_shorter = |len| len < range.end as u64;
            if range.is_empty() || self.current_len().map_or(true, is_shorter) {
                return Cached::Little;
            }
            return cached::counted(file, &range).unwrap_or_else(|| cached::sampled(file, range));
        }
        let _ = range;
        Cached::Little
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

    /// Keeps pages in memory from when they are first brought in on; brings none
    /// in.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the system cannot do that; what it says if this process
    /// may not lock so much.
    pub fn lock_as_it_comes(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(map) = &self.map {
            // SAFETY: takes numbers only, of a mapping that is there.
            let result =
                unsafe { libc::mlock2(map.as_ptr().cast(), map.len(), libc::MLOCK_ONFAULT) };
            return match result {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            };
        }
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Brings all pages into memory and keeps them there.
    pub fn lock(&self) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(map) = &self.map {
            return map.lock();
        }
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Bytes that this process may keep in memory if it has no special rights;
/// `None` if there is no limit or the system has none.
pub fn lock_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        // SAFETY: only asks; the structure is filled in by the call.
        let limit = unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            (libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) == 0).then_some(limit.rlim_cur)
        };
        limit.filter(|&limit| limit != libc::RLIM_INFINITY)
    }
    #[cfg(not(unix))]
    None
}

/// What is in the file cache.
#[cfg(target_os = "linux")]
mod cached {
    use super::Cached;
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::fs::File;
    use std::io::IoSliceMut;
    use std::ops::Range;
    use std::os::fd::AsRawFd;

    /// Counts the pages that are not there. `None` if the system does not (Linux
    /// before 6.5), or will not tell those who may only read the file.
    pub fn counted(file: &File, range: &Range<usize>) -> Option<Cached> {
        /// `cachestat`, under the same number on all processors but MIPS.
        const CACHESTAT: libc::c_long = 451;
        if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
            return None;
        }

        let bytes = [range.start as u64, range.len() as u64];
        // In the cache, dirty, being written back, evicted, recently evicted.
        let mut pages = [0_u64; 5];
        // SAFETY: the call reads two numbers and writes five, all of 64 bits.
        let result = unsafe {
            let (bytes, pages) = (bytes.as_ptr(), pages.as_mut_ptr());
            libc::syscall(CACHESTAT, file.as_raw_fd(), bytes, pages, 0)
        };
        // SAFETY: only asks for a number.
        let page_bytes = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
        let wanted = range.end.div_ceil(page_bytes) - range.start / page_bytes;
        let missing = (wanted as u64).saturating_sub(pages[0]);
        (result == 0).then_some(match missing {
            0 => Cached::All,
            _ if missing <= wanted as u64 / 8 => Cached::Most,
            _ => Cached::Little,
        })
    }

    /// Looks at a page every 256 KB: files come and go in larger pieces. Where a
    /// smaller piece is missing, the thread that touches it waits for the disk.
    pub fn sampled(file: &File, range: Range<usize>) -> Cached {
        const STEP_BYTES: usize = 256 << 10;

        let last = range.end.saturating_sub(1);
        let mut offsets = range.step_by(STEP_BYTES).chain([last]);
        match offsets.all(|offset| is_there(file, offset)) {
            true => Cached::All,
            false => Cached::Little,
        }
    }

    /// Whether a byte can be read without waiting for it.
    pub fn is_there(file: &File, offset: usize) -> bool {
        let mut byte = [0];
        let mut buffers = [IoSliceMut::new(&mut byte)];
        let read = preadv2(file, &mut buffers, offset as u64, ReadWriteFlags::NOWAIT);
        read.is_ok_and(|read| read == 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_there_are_not_cached() {
        let path = std::env::temp_dir().join(format!("firstlight-cached-{}", std::process::id()));
        std::fs::write(&path, vec![1; 300_000]).unwrap();
        let mapping = Mapping::open_growing(&path, 400_000).unwrap();
        std::fs::remove_file(&path).unwrap();
        for range in [0..400_000, 0..300_001, 299_999..300_001, 350_000..360_000] {
            assert_eq!(mapping.cached(range.clone()), Cached::Little, "{range:?}");
        }
        // What was just written is, where the system can tell.
        println!("written bytes: {:?}", mapping.cached(0..300_000));
    }

    /// Holes of a file that is in the cache otherwise, also small ones, and what
    /// becomes of them.
    #[cfg(target_os = "linux")]
    #[test]
    fn holes_are_found_and_filled() {
        use crate::loading::{FromFile, Reader};
        use Cached::{All, Little, Most};
        const LEN: usize = 3 << 20;
        const HOLE: Range<usize> = (1 << 20) + (64 << 10)..(1 << 20) + (128 << 10);
        let path = std::env::temp_dir().join(format!("firstlight-holes-{}", std::process::id()));
        std::fs::write(&path, vec![1; LEN]).unwrap();
        let file = File::open(&path).unwrap();
        // Only pages that are on the disk can be dropped.
        file.sync_all().unwrap();
        let mapping = Mapping::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        if cached::sampled(&file, 0..LEN) != All {
            println!("skipped: this file system does not tell what is in the cache");
            return;
        }
        assert_eq!(mapping.cached(0..LEN), All);
        if cached::counted(&file, &(0..LEN)).is_none() {
            println!("skipped: this system does not count pages in the cache");
            return;
        }
        // Pages were written together and so go together: all of them, and those
        // around the hole are read again, without any ahead.
        use rustix::fs::{Advice, fadvise};
        use std::os::unix::fs::FileExt;
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        fadvise(&file, 0, None, Advice::Random).unwrap();
        for part in [0..HOLE.start, HOLE.end..LEN] {
            let mut bytes = vec![0; part.len()];
            file.read_exact_at(&mut bytes, part.start as u64).unwrap();
        }
        if cached::is_there(&file, HOLE.start) {
            println!("skipped: this file system keeps or reads more than is asked for");
            return;
        }
        assert_eq!(cached::sampled(&file, 0..LEN), All, "that is no small hole");
        for (range, expected) in [
            (0..LEN, Most),
            (HOLE, Little),
            (0..HOLE.start, All),
            (HOLE.end..LEN, All),
        ] {
            assert_eq!(mapping.cached(range.clone()), expected, "{range:?}");
        }
        let reader = FromFile::default();
        reader.bring(&mapping, 0..LEN, 0..LEN).unwrap();
        assert_eq!(mapping.cached(0..LEN), All);
    }
}
