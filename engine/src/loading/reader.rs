//! What brings bytes of a file into memory.

use super::lock;
use crate::mapping::{Cached, Mapping};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Brings bytes of a mapped file into memory.
pub trait Reader: fmt::Debug + Send + Sync {
    /// Returns when the bytes `range` are in memory. `ahead` begins with the
    /// same bytes and goes on to what will be wanted next.
    fn bring(&self, mapping: &Mapping, range: Range<usize>, ahead: Range<usize>) -> io::Result<()>;
}

/// The file itself.
///
/// What is in the system's file cache already is left alone: computing threads
/// map it as they go, which costs less than a thread beside them that competes
/// for their cores. Of pieces with holes only those are read.
///
/// Anything else the system is asked to bring in and to put into the page tables
/// (Linux since 5.14), so that computing threads meet no faults that wait for the
/// disk, in large pages where it has them: it then reads ahead by itself, and
/// spends a twentieth of the time on it. Where it cannot be asked for that it is
/// asked to read further ahead first. Elsewhere the bytes are read once in large pieces, which
/// leaves them in the file cache.
#[derive(Debug, Default)]
pub struct FromFile {
    /// Whether a piece was found of which little is in the file cache. Then the
    /// rest is not expected to be there either.
    cold: AtomicBool,
    /// What the system was asked for last, as addresses.
    asked: Mutex<Range<usize>>,
    scratch: Mutex<Vec<u8>>,
}

impl FromFile {
    /// Asks the system for `ahead`. What the last request had beyond the
    /// beginning of this one is under way: asked for again, it would be looked
    /// up page by page, by a thread that shares its cores with those that
    /// compute.
    fn ask(&self, mapping: &Mapping, ahead: Range<usize>) {
        let base = mapping.as_ptr().addr();
        let wanted = base + ahead.start..base + ahead.end;
        let mut asked = lock(&self.asked);
        let goes_on = asked.start < wanted.start && wanted.start <= asked.end;
        let under_way = match goes_on {
            true => asked.end.clamp(wanted.start, wanted.end) - base,
            false => ahead.start,
        };
        *asked = wanted;
        mapping.read_ahead(under_way..ahead.end);
    }
}

impl Reader for FromFile {
    fn bring(&self, mapping: &Mapping, range: Range<usize>, ahead: Range<usize>) -> io::Result<()> {
        let mut ahead = ahead;
        if !self.cold.load(Relaxed) {
            match mapping.cached(range.clone()) {
                Cached::All => return Ok(()),
                // Holes are filled here, so that no computing thread waits for
                // the disk, and the rest is left alone.
                Cached::Most => ahead = range.clone(),
                Cached::Little => self.cold.store(true, Relaxed),
            }
        }
        if !mapping.in_large_pages(range.clone()) {
            self.ask(mapping, ahead);
        }
        match mapping.populate(range.clone()) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            done => return done,
        }
        let mut scratch = lock(&self.scratch);
        scratch.resize(range.len(), 0);
        mapping.read_at(&mut scratch, range.start as u64)
    }
}

/// Another reader, slowed down to a number of bytes per second: for measuring
/// what a slower disk would do.
#[derive(Debug)]
pub struct Throttled<R> {
    reader: R,
    bytes_per_second: f64,
    /// When it began, and what it has delivered.
    state: Mutex<Option<(Instant, u64)>>,
}

impl<R: Reader> Throttled<R> {
    /// Slows `reader` down.
    pub fn new(reader: R, bytes_per_second: f64) -> Throttled<R> {
        Throttled {
            reader,
            bytes_per_second,
            state: Mutex::new(None),
        }
    }
}

impl<R: Reader> Reader for Throttled<R> {
    fn bring(&self, mapping: &Mapping, range: Range<usize>, ahead: Range<usize>) -> io::Result<()> {
        let mut state = lock(&self.state);
        let (begun, bytes) = state.get_or_insert_with(|| (Instant::now(), 0));
        *bytes += range.len() as u64;
        let due = Duration::from_secs_f64(*bytes as f64 / self.bytes_per_second);
        let early = due.saturating_sub(begun.elapsed());
        self.reader.bring(mapping, range, ahead)?;
        std::thread::sleep(early.min(due.saturating_sub(begun.elapsed())));
        Ok(())
    }
}
