//! A file mapped into memory: the only `unsafe` of this crate.

#![allow(unsafe_code)]

use crate::Error;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A read-only mapping of a whole file.
///
/// The pages belong to the operating system's file cache: they are shared
/// between processes and may be evicted, so weights are never copied.
pub struct Mapping {
    path: PathBuf,
    /// `None` for a file without bytes, which cannot be mapped.
    map: Option<memmap2::Mmap>,
}

impl Mapping {
    /// Maps a regular file.
    pub fn open(path: &Path) -> Result<Mapping, Error> {
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
        if kind.len() == 0 {
            return Ok(Mapping {
                path: path.to_owned(),
                map: None,
            });
        }
        // SAFETY: the mapping is read-only. That nobody else changes the file
        // while it is mapped is an assumption that every program makes which
        // maps files: the bytes are only ever read as plain integers and
        // floats, for which every bit pattern is valid, and all offsets were
        // copied out and validated when the file was parsed.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
        Ok(Mapping {
            path: path.to_owned(),
            map: Some(map),
        })
    }

    /// The file's path, as given.
    pub fn path(&self) -> &Path {
        &self.path
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
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.mapping[self.range.clone()]
    }
}
