//! An open device: its queue, its limits, its buffers.

use super::GpuError;
use super::adapter::{self, AdapterDescription, ready};
use super::compiled::Compiled;
use super::fault::Fault;
use super::profile;
use super::units;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wgpu::{BufferUsages, Features, Limits};

/// Bytes that shaders may read past the end of the weights.
pub(super) const SLACK_BYTES: u64 = 16;

/// Bytes that are uploaded between two submissions, so that staging memory stays
/// small.
pub(super) const UPLOAD_BYTES: usize = 16 << 20;

/// Bytes of the smallest buffer.
const SMALLEST_BYTES: u64 = 256;

/// An open device, shared by weights, caches and what computes.
pub(super) struct Context {
    /// With no other device than this one.
    instance: wgpu::Instance,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub adapter: AdapterDescription,
    pub limits: Limits,
    /// Whether shaders use subgroups.
    pub subgroups: bool,
    /// Whether shaders compute in f16 where that is accurate enough.
    pub half: bool,
    /// Whether products of many tokens use matrix units.
    pub matrix_units: bool,
    /// Whether the time of dispatches is measured.
    pub profiles: bool,
    /// The largest buffer that one binding can hold.
    pub binding_limit: u64,
    fault: Arc<Fault>,
    /// Compiled shaders on disk, if they are to be there.
    pub compiled: Option<Compiled>,
    /// Ids of buffers that are no more.
    retired: Arc<Mutex<Vec<u64>>>,
    next_id: AtomicU64,
    /// Bytes of all buffers, and how many there may be.
    allocated: Arc<AtomicU64>,
    memory_limit: Option<u64>,
}

/// How a device is opened.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Only a device that is likely to be faster than the CPU.
    pub likely_faster: bool,
    /// Adds up through workgroup memory even where there are subgroups.
    pub without_subgroups: bool,
    /// Computes in f32 even where there is arithmetic in f16.
    pub without_half: bool,
    /// Leaves matrix units alone even where there are some that we know.
    pub without_matrix_units: bool,
    /// Measures the time of every dispatch; a device that cannot is refused.
    pub profile: bool,
    /// Binds no more bytes than this at once, if the device could bind more.
    pub binding_limit_bytes: Option<u64>,
    /// Takes no more memory than this for weights, caches and activations.
    pub memory_limit_bytes: Option<u64>,
    /// A folder of this user's for compiled shaders, if they are to be kept.
    pub shader_folder: Option<PathBuf>,
}

/// A buffer on the device.
pub(super) struct Buffer {
    pub raw: wgpu::Buffer,
    /// Tells it from all others of the device, past ones included.
    pub id: u64,
    pub len_bytes: u64,
    retired: Arc<Mutex<Vec<u64>>>,
    allocated: Arc<AtomicU64>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        lock(&self.retired).push(self.id);
        self.allocated.fetch_sub(self.len_bytes, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Opens the best adapter, with its matrix units if the driver compiles our
    /// shaders for them.
    pub fn open(options: &GpuOptions) -> Result<Arc<Context>, GpuError> {
        match Context::open_once(options) {
            Ok(context) if !context.matrix_units || units::compile(&context) => {
                return Ok(context);
            }
            Ok(_) => {}
            // It may be the experiment that it refuses.
            Err(GpuError::Open { .. }) if !options.without_matrix_units => {}
            Err(error) => return Err(error),
        }
        Context::open_once(&GpuOptions {
            without_matrix_units: true,
            ..options.clone()
        })
    }

    fn open_once(options: &GpuOptions) -> Result<Arc<Context>, GpuError> {
        let instance = adapter::instance();
        let (description, adapter) = adapter::choose(&instance, options.likely_faster)?;
        let downlevel = adapter.get_downlevel_capabilities();
        let conversions = wgpu::DownlevelFlags::SHADER_F16_IN_F32;
        if !downlevel
            .flags
            .contains(conversions | wgpu::DownlevelFlags::COMPUTE_SHADERS)
        {
            return Err(GpuError::Lacks {
                adapter: description.name,
                missing: "compute shaders with binary16 conversions",
            });
        }
        let limits = adapter.limits();
        let subgroups = !options.without_subgroups && description.subgroups.is_some();
        let half = !options.without_half && description.half;
        let matrix_units =
            !options.without_matrix_units && description.matrix_units && subgroups && half;
        if options.profile && !adapter.features().contains(profile::FEATURES) {
            return Err(GpuError::Lacks {
                adapter: description.name,
                missing: "timestamps",
            });
        }
        let keeps = options.shader_folder.is_some()
            && adapter.features().contains(Features::PIPELINE_CACHE);
        let mut required_features = Features::empty();
        required_features.set(Features::SUBGROUP, subgroups);
        required_features.set(Features::SHADER_F16, half);
        required_features.set(Features::PIPELINE_CACHE, keeps);
        required_features.set(Features::EXPERIMENTAL_COOPERATIVE_MATRIX, matrix_units);
        required_features.set(profile::FEATURES, options.profile);
        let (device, queue) = ready(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("firstlight"),
            required_features,
            required_limits: limits.clone(),
            experimental_features: units::consent(matrix_units),
            ..Default::default()
        }))
        .map_err(|reason| GpuError::Open {
            adapter: description.name.clone(),
            reason: one_line(&reason.to_string()),
        })?;

        let fault = Arc::new(Fault::default());
        let name = description.name.clone();
        let failed = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let adapter = name.clone();
            let error = match error {
                wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory {
                    adapter,
                    what: "the driver has none left to compute with".to_owned(),
                },
                other => GpuError::Failed {
                    adapter,
                    reason: one_line(&other.to_string()),
                },
            };
            failed.note(error);
        }));
        let name = description.name.clone();
        let lost = fault.clone();
        device.set_device_lost_callback(move |why, reason| {
            let reason = match why {
                wgpu::DeviceLostReason::Destroyed => "it was given up".to_owned(),
                wgpu::DeviceLostReason::Unknown => one_line(&reason),
            };
            let adapter = name.clone();
            lost.note(GpuError::Lost { adapter, reason });
        });

        let folder = options.shader_folder.as_ref().filter(|_| keeps);
        let compiled = folder.map(|folder| Compiled::open(&device, &adapter.get_info(), folder));
        let offered = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        Ok(Arc::new(Context {
            instance,
            device,
            queue,
            adapter: description,
            subgroups,
            half,
            matrix_units,
            profiles: options.profile,
            // Shaders count bytes in 32 bits.
            binding_limit: offered
                .min(options.binding_limit_bytes.unwrap_or(u64::MAX))
                .min(u64::from(u32::MAX))
                & !15,
            limits,
            fault,
            compiled,
            retired: Arc::default(),
            // Zero is no buffer's.
            next_id: AtomicU64::new(1),
            allocated: Arc::default(),
            memory_limit: options.memory_limit_bytes,
        }))
    }

    /// What went wrong since the last call.
    pub fn check(&self) -> Result<(), GpuError> {
        self.fault.ask()
    }

    /// Notes that something went wrong.
    pub fn fail(&self, error: GpuError) {
        self.fault.note(error);
    }

    /// Takes the ids of buffers that were dropped since the last call.
    pub fn take_retired(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.retired))
    }

    /// A buffer of at least `len_bytes`.
    ///
    /// # Errors
    ///
    /// If memory does not suffice.
    pub fn try_storage(&self, what: &str, len_bytes: u64) -> Result<Arc<Buffer>, GpuError> {
        let len_bytes = len_bytes.max(SMALLEST_BYTES).next_multiple_of(16);
        let before = self.allocated.fetch_add(len_bytes, Ordering::Relaxed);
        // Counted until it is dropped, which may be at once.
        let counted = |raw| Buffer {
            raw,
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            len_bytes,
            retired: self.retired.clone(),
            allocated: self.allocated.clone(),
        };
        let refused = |what| GpuError::OutOfMemory {
            adapter: self.adapter.name.clone(),
            what,
        };
        if let Some(limit) = self
            .memory_limit
            .filter(|&limit| before + len_bytes > limit)
        {
            self.allocated.fetch_sub(len_bytes, Ordering::Relaxed);
            return Err(refused(format!(
                "{len_bytes} bytes for {what} are more than what is left of the {limit} that may be used"
            )));
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = counted(self.raw_buffer(what, len_bytes));
        match ready(scope.pop()) {
            None => Ok(Arc::new(buffer)),
            Some(_) => Err(refused(format!("it refused {len_bytes} bytes for {what}"))),
        }
    }

    /// A buffer of at least `len_bytes`. If memory does not suffice, the error
    /// is kept for [`Context::check`], and nothing computed with the buffer
    /// means anything.
    pub fn storage(&self, what: &str, len_bytes: u64) -> Arc<Buffer> {
        self.try_storage(what, len_bytes).unwrap_or_else(|error| {
            self.fail(error);
            self.allocated.fetch_add(SMALLEST_BYTES, Ordering::Relaxed);
            Arc::new(Buffer {
                raw: self.raw_buffer(what, SMALLEST_BYTES),
                id: self.next_id.fetch_add(1, Ordering::Relaxed),
                len_bytes: SMALLEST_BYTES,
                retired: self.retired.clone(),
                allocated: self.allocated.clone(),
            })
        })
    }

    /// A storage buffer that can be written to and copied.
    fn raw_buffer(&self, what: &str, len_bytes: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size: len_bytes,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }

    /// Writes to a buffer from byte `begin` on, a multiple of four, up to the next
    /// word.
    pub fn fill(&self, buffer: &Buffer, begin: u64, bytes: &[u8]) {
        for (index, part) in bytes.chunks(UPLOAD_BYTES).enumerate() {
            let at = begin + (index * UPLOAD_BYTES) as u64;
            let (words, rest) = part.split_at(part.len() & !3);
            self.queue.write_buffer(&buffer.raw, at, words);
            if !rest.is_empty() {
                let mut word = [0; 4];
                word[..rest.len()].copy_from_slice(rest);
                self.queue
                    .write_buffer(&buffer.raw, at + words.len() as u64, &word);
            }
            if bytes.len() > UPLOAD_BYTES {
                self.flush();
            }
        }
    }

    /// Waits until what was written to buffers is there, and its staging memory free.
    pub fn flush(&self) {
        self.queue.submit([]);
        self.wait();
    }

    /// Calls back what is done.
    pub fn progress(&self) {
        self.instance.poll_all(false);
    }

    /// Waits until the device has done all that was submitted, or is lost.
    pub fn wait(&self) {
        // Waiting for the device itself panics if it is lost.
        self.instance.poll_all(true);
    }
}

/// A message without line breaks.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
