//! Weights on their way to the device.
//!
//! Placing a layer only makes its buffers; the bytes follow, stage by stage, on
//! a thread of their own, as they are read from the file. A step computes with
//! the layers that have arrived:
//!
//! ```text
//! loader   ▐ read 0 ▐ read 1 ▐ read 2 ▐ …
//! upload            ▐  0  ▐     ▐  1  ▐     ▐  2  ▐ …
//! device                  ▐ layer 0 ▐       ▐ layer 1 ▐ …          a long prompt
//! ```
//!
//! [`Uploads::share`] decides what a step does about layers that are still under
//! way.

use super::GpuError;
use super::context::{Buffer, Context};
use super::weights::Rows;
use crate::cancel::Cancel;
use crate::loading::{CANCEL_LATENCY, LoadError, Loading};
use crate::mapping::Bytes;
use crate::tensors::Vector;
use crate::trace::{Trace, Track};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Tokens of a step up to which the CPU computes layers that have not arrived.
/// It reads their weights about as fast as they could be uploaded, so for few
/// tokens it is done sooner; for many it is the GPU, even after a wait.
const FEW_TOKENS: usize = 8;

/// What a buffer on the device is to hold.
pub struct Upload {
    pub(super) buffer: Arc<Buffer>,
    /// The byte where they begin in it, a multiple of four.
    pub(super) at: u64,
    pub(super) contents: Contents,
}

/// Rows of a matrix, the codebook of a format, or a vector.
pub(super) enum Contents {
    Rows(Rows, Bytes),
    Codebook(&'static [u16]),
    Vector(Vector),
}

impl Upload {
    pub(super) fn run(&self, context: &Context) {
        match &self.contents {
            Contents::Rows(rows, bytes) => rows.fill(context, &self.buffer, self.at, bytes),
            Contents::Codebook(entries) => {
                context.fill(&self.buffer, self.at, bytemuck::cast_slice(entries));
            }
            Contents::Vector(vector) => {
                context.fill(&self.buffer, self.at, bytemuck::cast_slice(vector.values()));
            }
        }
    }
}

/// Brings stages to the device and says which have arrived.
pub struct Uploads {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Stages that are there, and what kept the next from coming.
    state: Mutex<(usize, Option<LoadError>)>,
    changed: Condvar,
    stages: usize,
    stop: AtomicBool,
}

impl Uploads {
    /// Starts to upload `stages`, each when its weights are in memory. A model
    /// that does not stay in memory is uploaded before this returns.
    pub(super) fn start(
        context: Arc<Context>,
        stages: Vec<Vec<Upload>>,
        loading: &Loading,
    ) -> Result<Uploads, GpuError> {
        let shared = Arc::new(Shared {
            stages: stages.len(),
            ..Shared::default()
        });
        let uploads = Uploads {
            shared: shared.clone(),
        };
        let trace = loading.trace().cloned();
        if loading.streams() {
            let cancel = Cancel::default();
            let pass = loading.pass(&cancel);
            let wait = |index| pass.wait(index).map(|()| true);
            shared.bring(&context, stages, wait, trace, |index| pass.done(index));
            pass.end();
            return Ok(uploads);
        }
        let name = context.adapter.name.clone();
        let arrivals = loading.arrivals();
        let body = move || shared.bring(&context, stages, |i| arrivals.wait(i), trace, |_| {});
        std::thread::Builder::new()
            .name("upload".to_owned())
            .spawn(body)
            .map_err(|reason| GpuError::Failed {
                adapter: name,
                reason: format!("no thread for uploads: {reason}"),
            })?;
        Ok(uploads)
    }

    /// Stages that have arrived, and that will.
    pub fn arrived(&self) -> (usize, usize) {
        (lock(&self.shared.state).0, self.shared.stages)
    }

    /// How many stages a step of so many tokens takes on the device: those that
    /// have arrived, or all, which are then waited for.
    pub fn share(&self, tokens: usize) -> usize {
        match self.arrived() {
            (arrived, _) if tokens <= FEW_TOKENS => arrived,
            (_, all) => all,
        }
    }

    /// Whether stage `index` has arrived.
    pub fn has(&self, index: usize) -> bool {
        index < self.arrived().0
    }

    /// Waits until stage `index` has arrived.
    ///
    /// # Errors
    ///
    /// If its weights cannot be read, or nobody wants to wait any more.
    pub fn wait(&self, index: usize, cancel: &Cancel) -> Result<(), LoadError> {
        let mut state = lock(&self.shared.state);
        loop {
            match &*state {
                (arrived, _) if index < *arrived => return Ok(()),
                (_, Some(error)) => return Err(error.clone()),
                _ if cancel.is_cancelled() => return Err(LoadError::Cancelled),
                _ => {
                    let waited = self.shared.changed.wait_timeout(state, CANCEL_LATENCY);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Waits until all stages have arrived.
    ///
    /// # Errors
    ///
    /// As [`Uploads::wait`].
    pub fn wait_for_all(&self) -> Result<(), LoadError> {
        match self.shared.stages {
            0 => Ok(()),
            stages => self.wait(stages - 1, &Cancel::default()),
        }
    }
}

impl Shared {
    /// Uploads all stages. `wait` says whether a stage is in memory, or that
    /// nobody needs it any more; `done` is told of each that was uploaded.
    fn bring(
        &self,
        context: &Context,
        stages: Vec<Vec<Upload>>,
        wait: impl Fn(usize) -> Result<bool, LoadError>,
        trace: Option<Arc<Trace>>,
        done: impl Fn(usize),
    ) {
        for (index, uploads) in stages.into_iter().enumerate() {
            match wait(index) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    lock(&self.state).1 = Some(error);
                    self.changed.notify_all();
                    return;
                }
            }
            let start = Instant::now();
            for upload in uploads {
                if self.stop.load(Relaxed) {
                    return;
                }
                upload.run(context);
            }
            if let Some(trace) = &trace {
                trace.record(Track::Upload, "upload stage", Some(index), start);
            }
            lock(&self.state).0 = index + 1;
            self.changed.notify_all();
            done(index);
        }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        // Not joined: the thread may wait for the file, and nobody for it.
        self.shared.stop.store(true, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
