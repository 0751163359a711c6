//! The GPU backend: the shaders of the `shaders` crate on whatever wgpu reaches
//! (Vulkan, Metal, DX12).
//!
//! ```text
//! adapter     which GPUs there are, and which one computes
//! units       whether it has matrix units, and what the driver makes of them
//! context     an open device: limits, buffers
//! fault       what went wrong
//! weights     matrices and vectors as the shaders want them, cut into slices
//! upload      their bytes, on the way to the device
//! tensor      activations, and the pool their buffers come from
//! cache       keys and values of a layer
//! compiled    compiled shaders, on disk
//! pipelines   shaders, compiled for the device
//! trusted     without checks that they do not need
//! record      dispatches and bind groups; a step is one submission or two
//! profile     where the time goes
//! ops         the operations that families call
//! products    products of matrices among them
//! splits      products whose inputs are split
//! attention   attention among them, and what it needs
//! attention_batch  the same of several sequences at once
//! experts     mixtures of experts
//! heads       operations on heads one by one
//! selftest    every operation against the CPU's scalar definition
//! ```
//!
//! # What happens per token
//!
//! Nothing is created: buffers come from a pool in the same order every time,
//! so that the bind groups of the token before are found again. All dispatches
//! are recorded, their parameters are uploaded at once, and one submission runs
//! them, or two, so that the device begins before all are recorded; then the
//! results are read back. Long prompts are cut into several, because systems take
//! the device away from a program whose submission runs for seconds.
//!
//! # Errors
//!
//! Operations do not return errors. What goes wrong is kept in the context and
//! asked for where results are read ([`Gpu::check`]); until then, operations
//! compute without meaning and without harm.

mod adapter;
mod attention;
mod attention_batch;
mod cache;
mod compiled;
mod context;
mod error;
mod experts;
mod fault;
mod heads;
mod ops;
mod pipelines;
mod products;
mod profile;
mod record;
mod recurrent;
pub mod selftest;
mod splits;
mod tensor;
mod trusted;
mod units;
mod upload;
mod weights;

#[cfg(test)]
mod tests;

pub use adapter::{AdapterDescription, AdapterKind, list_devices};
pub use cache::{GpuKvLayer, Past, Spare};
pub use compiled::CompiledShaders;
pub use context::GpuOptions;
pub use error::GpuError;
pub use ops::GpuBackend;
pub use recurrent::GpuState;
pub use tensor::Tensor;
pub use upload::{Upload, Uploads};
pub use weights::{GpuDevice, GpuMatrix, GpuVector};

use crate::backend::Backend;
use crate::backend::profile::GpuProfile;
use crate::cache::KvFormat;
use crate::loading::Loading;
use context::Context;
use kernels::recurrent::{RecurrentShape, State};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// An open GPU.
pub struct Gpu {
    context: Arc<Context>,
    /// One forward pass at a time.
    backend: Mutex<GpuBackend>,
}

impl Gpu {
    /// Opens the best GPU.
    ///
    /// # Errors
    ///
    /// If there is none, or it does not open.
    pub fn open(options: &GpuOptions) -> Result<Gpu, GpuError> {
        let context = Context::open(options)?;
        let backend = Mutex::new(GpuBackend::new(context.clone()));
        Ok(Gpu { context, backend })
    }

    /// What GPU it is.
    pub fn description(&self) -> &AdapterDescription {
        &self.context.adapter
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.context.adapter.name
    }

    /// What holds weights. They are uploaded when they are placed.
    pub fn device(&self) -> GpuDevice {
        GpuDevice {
            context: self.context.clone(),
            pending: None,
        }
    }

    /// What holds weights that are uploaded later.
    pub fn deferring_device(&self) -> GpuDevice {
        GpuDevice {
            pending: Some(Mutex::default()),
            ..self.device()
        }
    }

    /// Starts to upload a model's stages in order, each as soon as it is loaded.
    ///
    /// # Errors
    ///
    /// If the system has no thread for it.
    pub fn upload(&self, stages: Vec<Vec<Upload>>, loading: &Loading) -> Result<Uploads, GpuError> {
        Uploads::start(self.context.clone(), stages, loading)
    }

    /// An empty cache of one layer for up to `most` positions, or more of which it leaves
    /// the first behind.
    ///
    /// # Errors
    ///
    /// If the GPU has no cache of that format or size.
    pub fn kv_layer(
        &self,
        format: KvFormat,
        heads: usize,
        head_dims: [usize; 2],
        most: usize,
    ) -> Result<GpuKvLayer, GpuError> {
        GpuKvLayer::new(&self.context, format, heads, head_dims, most)
    }

    /// The state of a layer that has one.
    ///
    /// # Errors
    ///
    /// If the GPU's memory does not suffice.
    pub fn state(&self, shape: &RecurrentShape) -> Result<GpuState, GpuError> {
        GpuState::new(&self.context, shape)
    }

    /// Whether layers of that shape can be computed.
    ///
    /// # Errors
    ///
    /// Says why they cannot.
    pub fn check_recurrent(shape: &RecurrentShape) -> Result<(), GpuError> {
        GpuState::check(shape)
    }

    /// Gives a layer the state that the CPU has, and the marked one.
    pub fn fill_state(&self, to: &GpuState, state: &State, marked: Option<&State>) {
        to.fill(&self.context, state, marked);
    }

    /// Whether heads of keys and values of these widths can be computed: a workgroup
    /// has room for some queries and a lane for each four of a value.
    ///
    /// # Errors
    ///
    /// Names the width that cannot.
    pub fn check_heads(keys: usize, values: usize) -> Result<(), GpuError> {
        for (what, found, most) in [("keys", keys, 1024), ("values", values, 512)] {
            if found > most {
                return Err(GpuError::HeadWidth { what, found, most });
            }
        }
        Ok(())
    }

    /// Fills an empty cache with keys and values of these positions.
    ///
    /// # Errors
    ///
    /// If the GPU's memory does not suffice for them.
    pub fn fill_cache(
        &self,
        cache: &mut GpuKvLayer,
        k: &[f32],
        v: &[f32],
        positions: Range<usize>,
    ) -> Result<(), GpuError> {
        cache.begin(positions.start);
        cache.reserve(positions.end)?;
        self.pass(|backend| {
            let [k, v] = [k, v].map(|x| backend.write(x, x.len() / positions.len()));
            let place = cache.place(positions.start);
            let part = attention::Part::new(0..positions.len(), place);
            backend.append(cache, None, Some((&k, &v)), &part);
            backend.finish();
        });
        self.check()
    }

    /// Runs one forward pass.
    pub fn pass<R>(&self, pass: impl FnOnce(&mut GpuBackend) -> R) -> R {
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        backend.begin();
        pass(&mut backend)
    }

    /// Runs passes that compute nothing, and compiles the shaders that they
    /// would have used, on so many threads.
    pub fn rehearse(&self, threads: usize, passes: impl FnOnce(&mut GpuBackend)) {
        self.pass(|backend| {
            backend.recorder.rehearse();
            passes(backend);
            backend.recorder.compile_rehearsed(threads);
        });
    }

    /// What became of the file of compiled shaders, if there should be one.
    pub fn compiled_shaders(&self) -> Option<CompiledShaders> {
        let compiled = self.context.compiled.as_ref();
        compiled.map(|compiled| compiled.report())
    }

    /// Shaders that have been compiled so far.
    pub fn compiled(&self) -> usize {
        let backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        backend.recorder.compiled()
    }

    /// Dispatches and submissions so far.
    pub fn counts(&self) -> (u64, u64) {
        let backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        backend.recorder.counts()
    }

    /// Where the time went since the last call, if that is measured.
    pub fn take_profile(&self) -> Option<GpuProfile> {
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        backend.recorder.take_profile()
    }

    /// Notes that something went wrong.
    fn fail(&self, error: GpuError) {
        self.context.fail(error);
    }

    /// What went wrong since the last call.
    ///
    /// # Errors
    ///
    /// The first thing, if anything did. A GPU that was lost stays lost.
    pub fn check(&self) -> Result<(), GpuError> {
        self.context.check()
    }

    /// Gives the device up: from here on it is lost, as if it had been unplugged.
    pub fn abandon(&self) {
        self.context.device.destroy();
    }
}
