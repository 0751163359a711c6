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
//! A file that is in the system's file cache already costs next to nothing: the
//! loader sees that it is there and leaves the rest to the computing threads.

mod error;
mod growing;
mod lock;
mod options;
mod plan;
mod progress;
mod reader;

pub use error::LoadError;
pub use options::{LoadMode, LoadOptions};
pub use plan::{Plan, Stage};
pub use progress::Progress;
pub use reader::{FromFile, Reader, Throttled};

pub(crate) use growing::{LOOK_AGAIN, wait_for_bytes};

use crate::cancel::Cancel;
use crate::trace::{Trace, Track};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much is brought in between two looks at whether to stop.
const CHUNK_BYTES: usize = 4 << 20;

/// How far reading runs ahead of what is being waited for.
const AHEAD_BYTES: usize = 32 << 20;

/// How often a wait looks whether it is cancelled.
pub(crate) const CANCEL_LATENCY: Duration = Duration::from_millis(10);

/// Streamed stages in memory beside the one being computed.
const STREAM_AHEAD: usize = 2;

/// Brings a model's stages in and says which are there.
pub struct Loading {
    shared: Arc<Shared>,
}

struct Shared {
    plan: Plan,
    options: LoadOptions,
    /// Stages that are read for every pass; those behind stay in memory.
    streamed: usize,
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
        let memory_bytes = options
            .memory_bytes
            .or_else(crate::machine::available_memory);
        let streamed = match options.mode {
            LoadMode::OnDemand => 0,
            _ => plan.streamed(memory_bytes),
        };
        if options.lock {
            lock::prepare(&plan.mappings(), streamed > 0, memory_bytes)?;
        }
        let stages = plan.stages.len();
        let shared = Arc::new(Shared {
            plan,
            options,
            streamed,
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
            crate::scheduling::wake_soon();
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
        if loading.shared.options.mode == LoadMode::Preload && !loading.shared.streams() {
            loading.wait_for(stages, &Cancel::default())?;
        }
        Ok(loading)
    }

    /// A pass through all stages begins, which may be cancelled; returns what it
    /// is to be called with.
    pub fn pass<'a>(&'a self, cancel: &'a Cancel) -> Pass<'a> {
        let shared = &*self.shared;
        let first = match shared.streams() {
            true => shared.done.load(SeqCst),
            false => 0,
        };
        Pass {
            loading: self,
            cancel,
            first,
        }
    }

    /// Waits until stages below `count` are there.
    fn wait_for(&self, count: usize, cancel: &Cancel) -> Result<(), LoadError> {
        let shared = &*self.shared;
        if cancel.is_cancelled() {
            return Err(LoadError::Cancelled);
        }
        if shared.ready.load(Acquire) >= count {
            return Ok(());
        }
        let start = Instant::now();
        // Nobody stops the loader while it is being waited for.
        let result = shared.wait_for(count, cancel).map(|_| ());
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

    /// For whoever waits on a thread of his own.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))] // what waits is the upload
    pub(crate) fn arrivals(&self) -> Arrivals {
        Arrivals {
            shared: self.shared.clone(),
        }
    }

    /// Whether part of the model is read for every pass.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))] // what waits is the upload
    pub(crate) fn streams(&self) -> bool {
        self.shared.streams()
    }

    /// The timeline, if one is wanted.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))] // what waits is the upload
    pub(crate) fn trace(&self) -> Option<&Arc<Trace>> {
        self.shared.options.trace.as_ref()
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
            begun: shared.begun,
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
        let stages = self.shared.plan.stages.len();
        (stages - self.shared.streamed, stages)
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

/// Says when stages are there, also after their [`Loading`] has gone.
#[cfg_attr(not(feature = "gpu"), allow(dead_code))] // what waits is the upload
pub(crate) struct Arrivals {
    shared: Arc<Shared>,
}

#[cfg_attr(not(feature = "gpu"), allow(dead_code))] // what waits is the upload
impl Arrivals {
    /// Waits until stage `index` is there for the first time, or nobody loads it
    /// any more: then false.
    pub fn wait(&self, index: usize) -> Result<bool, LoadError> {
        self.shared.wait_for(index + 1, &Cancel::default())
    }
}

/// One pass through the stages.
pub struct Pass<'a> {
    loading: &'a Loading,
    cancel: &'a Cancel,
    /// Number of the pass's first stage.
    first: usize,
}

impl Pass<'_> {
    /// Whether nothing needs to be waited for any more.
    pub fn everything_is_there(&self) -> bool {
        let shared = &*self.loading.shared;
        !shared.streams() && shared.ready.load(Acquire) >= shared.plan.stages.len()
    }

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
        self.loading.wait_for(self.first + index + 1, self.cancel)
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
        self.streamed > 0
    }

    /// Waits until stages below `count` are there. False: loading was stopped
    /// before.
    fn wait_for(&self, count: usize, cancel: &Cancel) -> Result<bool, LoadError> {
        let mut failed = lock(&self.failed);
        loop {
            if self.ready.load(Acquire) >= count {
                return Ok(true);
            }
            if let Some(error) = &*failed {
                return Err(error.clone());
            }
            if cancel.is_cancelled() {
                return Err(LoadError::Cancelled);
            }
            if self.stop.load(SeqCst) {
                return Ok(false);
            }
            let waited = self.changed.wait_timeout(failed, CANCEL_LATENCY);
            failed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
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
        if self.streams() && self.options.mode == LoadMode::Preload {
            for index in self.streamed..stages {
                self.bring_stage(index)?;
            }
        }
        let mut evicted = 0;
        for number in 0..stages {
            self.make_room_for(number, &mut evicted);
            self.bring_stage(number)?;
            if self.stop.load(SeqCst) {
                return Ok(());
            }
            self.publish(|| self.ready.store(number + 1, SeqCst));
        }
        *lock(&self.finished) = Some(self.begun.elapsed());
        if self.streams() {
            return self.stream(evicted);
        }
        if self.options.lock {
            lock::complete(&self.plan.mappings())?;
        }
        Ok(())
    }

    /// Passes over what stays, and reads what does not, again and again.
    fn stream(&self, mut evicted: usize) -> Result<(), LoadError> {
        let stages = self.plan.stages.len();
        for number in stages.. {
            if number % stages < self.streamed {
                self.make_room_for(number, &mut evicted);
                self.bring_stage(number % stages)?;
                if self.stop.load(SeqCst) {
                    return Ok(());
                }
            }
            self.publish(|| self.ready.store(number + 1, SeqCst));
        }
        Ok(())
    }

    /// Streamed stages among those below `number`.
    fn streamed_below(&self, number: usize) -> usize {
        let stages = self.plan.stages.len();
        number / stages * self.streamed + (number % stages).min(self.streamed)
    }

    /// While streaming: waits until the forward pass is near stage `number`, and
    /// evicts what it is through with, from number `evicted` on.
    fn make_room_for(&self, number: usize, evicted: &mut usize) {
        if !self.streams() {
            return;
        }
        let mut guard = lock(&self.failed);
        let done = loop {
            let done = self.done.load(SeqCst);
            let ahead = self
                .streamed_below(number)
                .saturating_sub(self.streamed_below(done));
            if self.stop.load(SeqCst) || ahead <= STREAM_AHEAD {
                break done;
            }
            guard = self
                .changed
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        };
        drop(guard);
        let stages = self.plan.stages.len();
        for stage in *evicted..done {
            if stage % stages < self.streamed {
                self.plan.stages[stage % stages].evict();
            }
        }
        *evicted = done.max(*evicted);
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
                let shorter = mapping.current_len().unwrap_or(0) < range.end as u64;
                let stopped = || self.stop.load(SeqCst);
                // An error, unless the file grows: then its download began anew.
                wait_for_bytes(mapping, range.end, &self.options, &stopped)?;
                let reader = &self.options.reader;
                let bring = || reader.bring(mapping, range.clone(), range.clone()).is_ok();
                let is_there = stopped() || shorter && bring();
                if !is_there {
                    let path = mapping.path().to_owned();
                    return Err(LoadError::Read {
                        path,
                        range,
                        reason: Arc::new(reason),
                    });
                }
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
