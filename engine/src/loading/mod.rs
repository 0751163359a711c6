//! Progressive loading: weights arrive in the order in which they are needed,
//! while those that have arrived are already computed with.
//!
//! A model is cut into *stages*: one for each layer, and one for the output.
//! A thread of the loader brings the stages in, one after the other, with reads
//! that run ahead, and publishes how far it is. The forward pass waits for the
//! stage it needs next and for nothing else:
//!
//! ```text
//! loader   ▐ read 0 ▐ read 1 ▐ read 2 ▐ read 3 ▐ … ▐ read output ▐
//! compute           ▐ layer 0 ▐ 1 ▐…  ▐ layer 2 ▐ … wait ▐ output ▐ first token
//! ```
//!
//! What is computed does not depend on any of this, only when.
//!
//! A file that is in the system's file cache already costs little: bringing a
//! stage in then only fills page tables, which the computing threads would
//! otherwise do by faults.

mod plan;
mod reader;

pub use plan::{Plan, Stage};
pub use reader::{FromFile, Reader, Throttled};

use crate::mapping::Mapping;
use crate::trace::{Trace, Track};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much is brought in between two looks at whether to stop.
const CHUNK_BYTES: usize = 4 << 20;

/// How far reading runs ahead of what is being waited for.
const AHEAD_BYTES: usize = 32 << 20;

/// How weights are brought in.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// When weights are read.
    pub mode: LoadMode,
    /// Keep all weights in memory, out of reach of the system's eviction.
    pub lock: bool,
    /// What brings bytes into memory; replaced to measure or to test.
    pub reader: Arc<dyn Reader>,
    /// Memory that weights may take; by default what is available. A larger
    /// model is streamed: part of it stays, the rest is read for every step.
    pub memory_bytes: Option<u64>,
    /// The file may still be growing: wait for bytes that are not there yet.
    pub growing: bool,
    /// How long a growing file may stand still before that is an error.
    pub patience: Duration,
    /// Where the timeline of loading and computing is recorded.
    pub trace: Option<Arc<Trace>>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            mode: LoadMode::Progressive,
            lock: false,
            reader: Arc::new(FromFile::default()),
            memory_bytes: None,
            growing: false,
            patience: Duration::from_secs(30),
            trace: None,
        }
    }
}

/// When weights are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadMode {
    /// In the order of their use, while computing.
    #[default]
    Progressive,
    /// All of them before anything is computed.
    Preload,
    /// When a computing thread touches them, page by page.
    OnDemand,
}

/// Why weights did not arrive.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages document the variants
pub enum LoadError {
    #[error("{}: bytes {}..{} cannot be read: {reason}", crate::Printable(.path), .range.start, .range.end)]
    Read {
        path: PathBuf,
        range: Range<usize>,
        reason: Arc<std::io::Error>,
    },
    #[error("{}: the file had {expected} bytes when it was opened, now it has {found}", crate::Printable(.path))]
    Shrunk {
        path: PathBuf,
        expected: u64,
        found: u64,
    },
    #[error("{}: {found} of {expected} bytes are there, and nothing came for {} s", crate::Printable(.path), .patience.as_secs())]
    Stalled {
        path: PathBuf,
        expected: u64,
        found: u64,
        patience: Duration,
    },
}

/// How far loading is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Bytes of weights that have been brought in.
    pub bytes: u64,
    /// Bytes of weights of the model.
    pub total_bytes: u64,
    /// Stages (layers and output) that are complete.
    pub stages: usize,
    /// Stages of the model.
    pub total_stages: usize,
    /// Time since loading began, or that it took.
    pub elapsed: Duration,
    /// Part of it that went into reading.
    pub reading: Duration,
    /// Time until everything is there, at the speed so far.
    pub left: Option<Duration>,
}

impl Progress {
    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.stages == self.total_stages
    }
}

/// Brings a model's stages in and says which are there.
pub struct Loading {
    shared: Arc<Shared>,
}

struct Shared {
    plan: Plan,
    options: LoadOptions,
    /// Stages kept in memory once loaded; those behind are streamed.
    resident: usize,
    /// Stages that are there: all below this number. While streaming, counts
    /// on from pass to pass: stage `s` of pass `p` is number `p · stages + s`.
    ready: AtomicUsize,
    /// Stages that the forward pass is through with, counted the same way.
    done: AtomicUsize,
    stop: AtomicBool,
    bytes: AtomicU64,
    reading_ns: AtomicU64,
    waiting_ns: AtomicU64,
    begun: Instant,
    finished: Mutex<Option<Duration>>,
    failed: Mutex<Option<LoadError>>,
    changed: Condvar,
}

impl Loading {
    /// Starts to bring the stages of `plan` in.
    pub fn start(plan: Plan, options: LoadOptions) -> Result<Loading, LoadError> {
        let resident = plan.resident(
            options
                .memory_bytes
                .or_else(crate::machine::available_memory),
        );
        let stages = plan.stages.len();
        let shared = Arc::new(Shared {
            plan,
            options,
            resident,
            ready: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            reading_ns: AtomicU64::new(0),
            waiting_ns: AtomicU64::new(0),
            begun: Instant::now(),
            finished: Mutex::new(None),
            failed: Mutex::new(None),
            changed: Condvar::new(),
        });
        if shared.options.mode == LoadMode::OnDemand {
            shared.ready.store(usize::MAX, SeqCst);
            *lock(&shared.finished) = Some(Duration::ZERO);
            return Ok(Loading { shared });
        }
        let own = shared.clone();
        let body = move || {
            if let Err(error) = own.load() {
                *lock(&own.failed) = Some(error);
                own.publish(|| ());
            }
        };
        let spawned = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(body);
        if spawned.is_err() {
            // Without a thread of its own, loading happens by faults.
            shared.ready.store(usize::MAX, SeqCst);
        }
        let loading = Loading { shared };
        if loading.shared.options.mode == LoadMode::Preload {
            loading.wait_for(loading.shared.resident.min(stages))?;
        }
        Ok(loading)
    }

    /// A pass through all stages begins; returns what it is to be called with.
    pub fn pass(&self) -> Pass<'_> {
        let shared = &*self.shared;
        let first = match shared.streams() {
            true => shared.done.load(SeqCst),
            false => 0,
        };
        Pass {
            loading: self,
            first,
        }
    }

    /// Waits until stages below `count` are there.
    fn wait_for(&self, count: usize) -> Result<(), LoadError> {
        let shared = &*self.shared;
        if shared.ready.load(Acquire) >= count {
            return Ok(());
        }
        let start = Instant::now();
        let mut failed = lock(&shared.failed);
        let result = loop {
            if shared.ready.load(Acquire) >= count {
                break Ok(());
            }
            if let Some(error) = &*failed {
                break Err(error.clone());
            }
            failed = shared
                .changed
                .wait(failed)
                .unwrap_or_else(PoisonError::into_inner);
        };
        self.record(Track::Model, "wait for stage", Some(count - 1), start);
        shared
            .waiting_ns
            .fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
        result
    }

    /// Records what took from `start` until now, if a timeline is wanted.
    pub(crate) fn record(
        &self,
        track: Track,
        label: &'static str,
        index: Option<usize>,
        start: Instant,
    ) {
        if let Some(trace) = &self.shared.options.trace {
            trace.record(track, label, index, start);
        }
    }

    /// How far loading is.
    pub fn progress(&self) -> Progress {
        let shared = &*self.shared;
        let stages = shared.plan.stages.len();
        let total_bytes = shared.plan.len_bytes();
        let elapsed = lock(&shared.finished).unwrap_or_else(|| shared.begun.elapsed());
        let done = shared.ready.load(SeqCst).min(stages);
        let bytes = if done == stages {
            total_bytes
        } else {
            shared.bytes.load(SeqCst).min(total_bytes)
        };
        let left = (done < stages && bytes > 0)
            .then(|| elapsed.mul_f64((total_bytes - bytes) as f64 / bytes as f64));
        let reading = Duration::from_nanos(shared.reading_ns.load(Relaxed));
        Progress {
            bytes,
            total_bytes,
            stages: done,
            total_stages: stages,
            elapsed,
            reading,
            left,
        }
    }

    /// What loading failed with, if it has.
    pub fn error(&self) -> Option<LoadError> {
        lock(&self.shared.failed).clone()
    }

    /// Time that forward passes have waited for weights.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.shared.waiting_ns.load(Relaxed))
    }

    /// How many stages stay in memory, and how many there are.
    pub fn resident(&self) -> (usize, usize) {
        (self.shared.resident, self.shared.plan.stages.len())
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        // Not joined: a read that is under way may take long, and nobody waits
        // for it any more. The thread sees the flag before the next one.
        self.shared.stop.store(true, SeqCst);
        self.shared.publish(|| ());
    }
}

/// One pass through the stages.
pub struct Pass<'a> {
    loading: &'a Loading,
    /// Number of the pass's first stage.
    first: usize,
}

impl Pass<'_> {
    /// Waits until rows of the embedding may be read. They are few, so a
    /// complete file's are read when they are touched.
    pub fn wait_for_embedding(&self) -> Result<(), LoadError> {
        match self.loading.shared.options.growing {
            true => self.wait(0),
            false => Ok(()),
        }
    }

    /// Waits until stage `index` is there.
    pub fn wait(&self, index: usize) -> Result<(), LoadError> {
        self.loading.wait_for(self.first + index + 1)
    }

    /// Runs the stage's computation and records it.
    pub fn compute(&self, label: &'static str, index: Option<usize>, work: impl FnOnce()) {
        let start = Instant::now();
        work();
        self.loading.record(Track::Model, label, index, start);
    }

    /// The pass is through with stage `index`.
    pub fn done(&self, index: usize) {
        let shared = &*self.loading.shared;
        if shared.streams() {
            shared.publish(|| shared.done.store(self.first + index + 1, SeqCst));
        }
    }

    /// The pass is through with everything, also if it left stages out.
    pub fn end(&self) {
        self.done(self.loading.shared.plan.stages.len() - 1);
    }
}

impl Shared {
    /// Whether the model does not fit and part of it is read for every pass.
    fn streams(&self) -> bool {
        self.resident < self.plan.stages.len() && self.options.mode != LoadMode::OnDemand
    }

    /// Changes what others wait for, and wakes them.
    fn publish(&self, change: impl FnOnce()) {
        let guard = lock(&self.failed);
        change();
        drop(guard);
        self.changed.notify_all();
    }

    fn load(&self) -> Result<(), LoadError> {
        let stages = self.plan.stages.len();
        for index in 0..stages {
            self.bring_stage(index)?;
            self.publish(|| self.ready.store(index + 1, SeqCst));
            if self.stop.load(SeqCst) {
                return Ok(());
            }
            if self.streams() && index >= self.resident {
                self.evict_behind(index)?;
            }
        }
        *lock(&self.finished) = Some(self.begun.elapsed());
        if self.streams() {
            return self.stream();
        }
        if self.options.lock {
            for mapping in self.plan.mappings() {
                mapping.lock().map_err(|reason| LoadError::Read {
                    path: mapping.path().to_owned(),
                    range: 0..mapping.len(),
                    reason: Arc::new(reason),
                })?;
            }
        }
        Ok(())
    }

    /// Passes over what stays, and reads what does not, again and again.
    fn stream(&self) -> Result<(), LoadError> {
        let stages = self.plan.stages.len();
        for number in stages.. {
            let index = number % stages;
            if index >= self.resident {
                self.evict_behind(number - 1)?;
                if self.stop.load(SeqCst) {
                    return Ok(());
                }
                self.bring_stage(index)?;
            }
            self.publish(|| self.ready.store(number + 1, SeqCst));
        }
        Ok(())
    }

    /// While streaming: waits until the forward pass is near, and evicts what
    /// it is through with.
    fn evict_behind(&self, loaded: usize) -> Result<(), LoadError> {
        let stages = self.plan.stages.len();
        let mut guard = lock(&self.failed);
        // At most two streamed stages beside the one being computed.
        while !self.stop.load(SeqCst) && loaded + 1 > self.done.load(SeqCst) + 2 {
            guard = self
                .changed
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        let done = self.done.load(SeqCst);
        for number in done.saturating_sub(3)..done {
            if number % stages >= self.resident {
                self.plan.stages[number % stages].evict();
            }
        }
        Ok(())
    }

    fn bring_stage(&self, index: usize) -> Result<(), LoadError> {
        for (mapping, range) in self.plan.stages[index].chunks(CHUNK_BYTES) {
            if self.stop.load(SeqCst) {
                return Ok(());
            }
            wait_for_bytes(mapping, range.end, &self.options, &|| {
                self.stop.load(SeqCst)
            })?;
            let start = Instant::now();
            let ahead = range.start..mapping.len().min(range.end + AHEAD_BYTES);
            let result = self.options.reader.bring(mapping, range.clone(), ahead);
            self.reading_ns
                .fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
            self.bytes.fetch_add(range.len() as u64, Relaxed);
            if let Some(trace) = &self.options.trace {
                trace.record(Track::Loader, "read for stage", Some(index), start);
            }
            if let Err(reason) = result {
                wait_for_bytes(mapping, range.end, &self.options, &|| true)?;
                let path = mapping.path().to_owned();
                return Err(LoadError::Read {
                    path,
                    range,
                    reason: Arc::new(reason),
                });
            }
        }
        Ok(())
    }
}

/// Checks that a file holds `end` bytes; waits for them if it grows, unless
/// `stop` says otherwise.
pub(crate) fn wait_for_bytes(
    mapping: &Mapping,
    end: usize,
    options: &LoadOptions,
    stop: &dyn Fn() -> bool,
) -> Result<(), LoadError> {
    let path = || mapping.path().to_owned();
    let len = || mapping.current_len().unwrap_or(0);
    let (mut found, mut since) = (len(), Instant::now());
    while found < end as u64 {
        let expected = mapping.len() as u64;
        if !options.growing {
            return Err(LoadError::Shrunk {
                path: path(),
                expected,
                found,
            });
        }
        let patience = options.patience;
        if since.elapsed() > patience {
            return Err(LoadError::Stalled {
                path: path(),
                expected,
                found,
                patience,
            });
        }
        if stop() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
        let now = len();
        if now > found {
            (found, since) = (now, Instant::now());
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
