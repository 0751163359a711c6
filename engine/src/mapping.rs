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

    /// Whether `range` is in the system's file cache, by looking at a page every
    /// 256 KB: files come and go in larger pieces. Costs a few system calls per
    /// megabyte, touches nothing, and says no where the system cannot tell.
    pub fn is_cached(&self, range: Range<usize>) -> bool {
        #[cfg(target_os = "linux")]
        const STEP_BYTES: usize = 256 << 10;

        #[cfg(target_os = "linux")]
        if let Some(file) = &self.file {
            use rustix::io::{ReadWriteFlags, preadv2};
            let last = range.end.saturating_sub(1);
            let mut offsets = range.step_by(STEP_BYTES).chain([last]);
            return offsets.all(|offset| {
                let mut byte = [0];
                let mut buffers = [io::IoSliceMut::new(&mut byte)];
                // Fails where the byte would have to be waited for.
                let read = preadv2(file, &mut buffers, offset as u64, ReadWriteFlags::NOWAIT);
                read.is_ok_and(|read| read == 1)
            });
        }
        let _ = range;
        false
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
            assert!(!mapping.is_cached(range.clone()), "{range:?}");
        }
        // What was just written is, where the system can tell.
        println!("written bytes: {}", mapping.is_cached(0..300_000));
    }
}
