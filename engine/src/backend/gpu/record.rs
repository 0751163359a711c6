//! Recording of dispatches: a step becomes one submission.
//!
//! Pipelines and bind groups are made when they are first needed and kept. The
//! pipelines of a model are made before that: a rehearsal takes steps through the
//! layers without computing, notes the kernels, and compiles them
//! ([`Recorder::rehearse`]).
//! Parameters of all dispatches go to the device together, as one uniform
//! buffer with a dynamic offset for each dispatch. Commands therefore are the
//! same from one token to the next: while the device computes a token, the CPU
//! encodes them again for the token after it ([`Prepared`]). A long step is sent in
//! two parts, so that the device begins while the CPU records the second.

use super::adapter::AdapterKind;
use super::context::{Buffer, Context};
use super::pipelines::{Kernel, Pipelines};
use super::profile::{self, Profiler, Work};
use crate::backend::profile::GpuProfile;
use shaders::Op;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wgpu::{BindGroup, BufferUsages, CommandBuffer};

/// Dispatches recorded before they are submitted: as many as can be timed.
const DISPATCHES: usize = profile::DISPATCHES;

/// Dispatches after which a long step is sent for the first time: so many that the
/// device does not wait for the others.
const FIRST_PART: usize = 32;

/// Bytes of the parameters of a dispatch; all shaders need fewer.
const PARAMS_BYTES: u64 = 128;

/// Multiplications recorded before they are submitted. Systems take a device
/// away from a program whose submission runs for seconds.
const MULTIPLICATIONS: u64 = 1 << 36;

/// Results that were waited for so long are worth being woken for.
const ASKING: Duration = Duration::from_millis(4);

struct Dispatch {
    kernel: Kernel,
    buffers: BufferIds,
    work: Work,
    command: Command,
}

/// The ids of the buffers that a dispatch binds; zeros after the last.
type BufferIds = [u64; MOST_BINDINGS];

/// Bindings of the operation that has most.
const MOST_BINDINGS: usize = 15;

/// A dispatch as the device is told of it. `params` is where in their buffer its
/// parameters are.
#[derive(Clone, Copy, PartialEq)]
struct Command {
    pipeline: usize,
    group: usize,
    params: u32,
    workgroups: [u32; 3],
}

/// Bytes from the beginning of one buffer that are copied to another, for the CPU
/// to read.
#[derive(Clone, PartialEq)]
struct Readback {
    from: wgpu::Buffer,
    to: wgpu::Buffer,
    len_bytes: u64,
}

/// A part of the last step that ended in results; if it was like that of the step
/// before, encoded once more.
struct Prepared {
    dispatches: Vec<Dispatch>,
    readback: Option<Readback>,
    is_like_before: bool,
    encoded: Option<CommandBuffer>,
}

/// Records dispatches and submits them.
pub(super) struct Recorder {
    context: Arc<Context>,
    pipelines: Pipelines,
    params_group: BindGroup,
    params: wgpu::Buffer,
    /// Distance of the parameters of two dispatches.
    stride: u64,
    group_index: HashMap<(Op, BufferIds), usize>,
    /// `None`: free for the next group.
    groups: Vec<Option<BindGroup>>,
    recorded: Vec<Dispatch>,
    params_bytes: Vec<u8>,
    multiplications: u64,
    /// Buffers written by the CPU for what is recorded, and those it may write.
    uploads: Vec<Arc<Buffer>>,
    free_uploads: Vec<Arc<Buffer>>,
    /// For bindings that a dispatch does not read, and does not write.
    unread: Arc<Buffer>,
    unwritten: [Arc<Buffer>; 2],
    staging: Option<wgpu::Buffer>,
    /// How long the last results were waited for.
    waited: Duration,
    /// The parts of the last step, and which part of the present one is recorded.
    prepared: [Option<Prepared>; 2],
    part: usize,
    /// Dispatches of the present step, and whether it is sent in two parts.
    in_step: usize,
    in_parts: bool,
    /// The kernels of a rehearsal, while there is one.
    rehearsed: Option<Vec<Kernel>>,
    dispatched: u64,
    submitted: u64,
    profiler: Option<Profiler>,
}

impl Recorder {
    pub fn new(context: Arc<Context>) -> Recorder {
        let device = &context.device;
        let pipelines = Pipelines::new(context.clone());
        let stride =
            u64::from(context.limits.min_uniform_buffer_offset_alignment).max(PARAMS_BYTES);
        let params = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size: stride * DISPATCHES as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let params_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("params"),
            layout: pipelines.params_layout(),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &params,
                    offset: 0,
                    size: std::num::NonZeroU64::new(PARAMS_BYTES),
                }),
            }],
        });
        let unused = || context.storage("unused", 0);
        let (unread, unwritten) = (unused(), [unused(), unused()]);
        let profiler = (context.profiles).then(|| Profiler::new(device, &context.queue));
        Recorder {
            profiler,
            pipelines,
            params_group,
            params,
            stride,
            group_index: HashMap::new(),
            groups: Vec::new(),
            recorded: Vec::new(),
            params_bytes: Vec::new(),
            multiplications: 0,
            uploads: Vec::new(),
            free_uploads: Vec::new(),
            unread,
            unwritten,
            staging: None,
            waited: ASKING,
            prepared: [None, None],
            part: 0,
            in_step: 0,
            in_parts: false,
            rehearsed: None,
            dispatched: 0,
            submitted: 0,
            context,
        }
    }

    /// Stands for a buffer that is bound but not read.
    pub fn unread(&self) -> Arc<Buffer> {
        self.unread.clone()
    }

    /// Stands for a buffer that the next dispatch binds but does not write. The one
    /// before has another, or the two would wait for each other: norms of queries and of
    /// keys need not.
    pub fn unwritten(&self) -> Arc<Buffer> {
        self.unwritten[self.recorded.len() % 2].clone()
    }

    /// Dispatches and submissions so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.dispatched, self.submitted)
    }

    /// Begins a step: forgets bind groups of buffers that are no more.
    pub fn begin(&mut self) {
        self.part = 0;
        self.in_step = 0;
        self.free_uploads.append(&mut self.uploads);
        let retired = self.context.take_retired();
        if retired.is_empty() {
            return;
        }
        // It may name groups that are no more.
        self.prepared = [None, None];
        let groups = &mut self.groups;
        self.group_index.retain(|(_, ids), &mut index| {
            let keep = !ids.iter().any(|id| retired.contains(id));
            if !keep {
                groups[index] = None;
            }
            keep
        });
    }

    /// Records a dispatch. `buffers` are the bindings in order; `params` the
    /// shader's parameters.
    pub fn dispatch(
        &mut self,
        kernel: Kernel,
        buffers: &[&Arc<Buffer>],
        params: &[u32],
        workgroups: [u32; 3],
    ) {
        let shader = kernel.op.shader();
        assert_eq!(
            buffers.len(),
            shader.bindings.len(),
            "bindings of {}",
            shader.file.name
        );
        assert_eq!(
            params.len(),
            shader.params.len(),
            "parameters of {}",
            shader.file.name
        );
        if let Some(kernels) = &mut self.rehearsed {
            kernels.push(kernel);
            return;
        }
        if self.recorded.len() == DISPATCHES {
            self.submit();
        }
        let mut ids = BufferIds::default();
        ids.iter_mut()
            .zip(buffers)
            .for_each(|(id, buffer)| *id = buffer.id);
        // Most often it is the same as in the step before.
        let before = self.prepared[self.part].as_ref().and_then(|prepared| {
            let same = prepared.dispatches.get(self.recorded.len())?;
            (same.kernel == kernel && same.buffers == ids).then_some(same.command)
        });
        let (pipeline, group) = match before {
            Some(command) => (command.pipeline, command.group),
            None => (
                self.pipelines.index_of(kernel),
                self.group(kernel.op, ids, buffers),
            ),
        };
        let dispatch = Dispatch {
            kernel,
            buffers: ids,
            work: Work::default(),
            command: Command {
                pipeline,
                group,
                params: self.params_bytes.len() as u32,
                workgroups,
            },
        };
        self.params_bytes
            .extend_from_slice(bytemuck::cast_slice(params));
        let next = self
            .params_bytes
            .len()
            .next_multiple_of(self.stride as usize);
        self.params_bytes.resize(next, 0);
        self.recorded.push(dispatch);
        self.in_step += 1;
        if self.in_parts && self.in_step == FIRST_PART {
            self.send(None);
            self.part = 1;
        }
    }

    /// Notes what the last dispatch does; no submission is to run for too long.
    pub fn count(&mut self, work: Work) {
        if self.is_rehearsing() {
            return;
        }
        if let Some(last) = self.recorded.last_mut() {
            last.work = work;
        }
        self.multiplications += work.multiplications;
        if self.multiplications >= MULTIPLICATIONS {
            self.submit();
        }
    }

    /// A buffer with these bytes, for dispatches recorded from here on.
    pub fn upload(&mut self, bytes: &[u8]) -> Arc<Buffer> {
        let fits = |buffer: &Arc<Buffer>| buffer.len_bytes >= bytes.len() as u64;
        // The same one as in the step before.
        let free = self.free_uploads.iter().enumerate();
        let first = free
            .filter(|(_, buffer)| fits(buffer))
            .min_by_key(|(_, buffer)| buffer.id);
        let buffer = match first.map(|(index, _)| index) {
            Some(index) => self.free_uploads.swap_remove(index),
            None => self
                .context
                .storage("an upload", bytes.len().next_power_of_two() as u64),
        };
        self.context.queue.write_buffer(&buffer.raw, 0, bytes);
        self.uploads.push(buffer.clone());
        buffer
    }

    /// Submits what is recorded and writes to a buffer that it may have used.
    pub fn write(&mut self, buffer: &Buffer, bytes: &[u8]) {
        self.submit();
        self.context.queue.write_buffer(&buffer.raw, 0, bytes);
    }

    /// Submits what is recorded, if anything is.
    pub fn submit(&mut self) {
        if !self.recorded.is_empty() {
            self.send(None);
            self.prepared[self.part] = None;
        }
    }

    /// From here on, dispatches are only noted.
    pub fn rehearse(&mut self) {
        self.rehearsed = Some(Vec::new());
    }

    /// Whether dispatches are only noted.
    pub fn is_rehearsing(&self) -> bool {
        self.rehearsed.is_some()
    }

    /// Ends a rehearsal and compiles what it noted.
    pub fn compile_rehearsed(&mut self, threads: usize) {
        let kernels = self.rehearsed.take().unwrap_or_default();
        self.pipelines.compile_all(kernels, threads);
    }

    /// Pipelines that were made so far.
    pub fn compiled(&self) -> usize {
        self.pipelines.len()
    }

    /// Submits what is recorded and copies the beginning of a buffer to `out`.
    pub fn read(&mut self, buffer: &Buffer, out: &mut [u8]) {
        if self.is_rehearsing() {
            return;
        }
        let len_bytes = out.len() as u64;
        let large_enough = |staging: &wgpu::Buffer| staging.size() >= len_bytes;
        let staging = match self.staging.take().filter(large_enough) {
            Some(staging) => staging,
            None => self.context.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("results"),
                size: len_bytes.next_power_of_two().max(256),
                usage: BufferUsages::COPY_DST | BufferUsages::MAP_READ,
                mapped_at_creation: false,
            }),
        };
        self.send(Some(Readback {
            from: buffer.raw.clone(),
            to: staging.clone(),
            len_bytes,
        }));
        self.prepare_next();
        let is_done = Arc::new(AtomicBool::new(false));
        let done = is_done.clone();
        // A failure shows in the context, once that has waited.
        staging.map_async(wgpu::MapMode::Read, 0..len_bytes, move |mapped| {
            done.store(mapped.is_ok(), Ordering::Release);
        });
        self.wait_until(&is_done);
        if let Ok(view) = staging.get_mapped_range(0..len_bytes) {
            out.copy_from_slice(&view);
        }
        staging.unmap();
        self.staging = Some(staging);
    }

    /// Waits for results. Being woken takes a tenth of a millisecond, which counts if
    /// the device is done in a few: if it was so the last time, it is asked until it
    /// is done. A software device needs the core for that.
    fn wait_until(&mut self, is_done: &AtomicBool) {
        let start = Instant::now();
        let is_software = self.context.adapter.kind == AdapterKind::Software;
        if self.waited < ASKING && !is_software {
            while !is_done.load(Ordering::Acquire) && start.elapsed() < 2 * ASKING {
                self.context.progress();
                std::hint::spin_loop();
            }
        }
        if !is_done.load(Ordering::Acquire) {
            self.context.wait();
        }
        self.waited = start.elapsed();
    }

    /// Where the time went since the last call, if that is measured.
    pub fn take_profile(&mut self) -> Option<GpuProfile> {
        self.profiler.as_mut().map(Profiler::take)
    }

    /// Submits what is recorded, and notes it as its part of the step.
    fn send(&mut self, readback: Option<Readback>) {
        let start = Instant::now();
        self.context
            .queue
            .write_buffer(&self.params, 0, &self.params_bytes);
        let dispatches = std::mem::take(&mut self.recorded);
        let commands = || dispatches.iter().map(|each| each.command);
        let before = self.prepared[self.part].take().filter(|prepared| {
            let before = prepared.dispatches.iter().map(|each| each.command);
            before.eq(commands()) && prepared.readback == readback
        });
        let is_like_before = before.is_some();
        let encoded = before
            .and_then(|before| before.encoded)
            .unwrap_or_else(|| self.encode(&dispatches, readback.as_ref()));
        self.context.queue.submit([encoded]);
        if let Some(profiler) = &mut self.profiler {
            let encoding = start.elapsed();
            let dispatches =
                (dispatches.iter()).map(|each| (&each.kernel, each.command.workgroups, each.work));
            profiler.add(dispatches, encoding, || self.context.wait());
        }
        self.dispatched += dispatches.len() as u64;
        self.submitted += 1;
        self.prepared[self.part] = Some(Prepared {
            dispatches,
            readback,
            is_like_before,
            encoded: None,
        });
        self.params_bytes.clear();
        self.multiplications = 0;
    }

    /// After the last part of a step: encodes what the next one will most likely be,
    /// and says whether that is long enough for two parts. The profiler wants one.
    fn prepare_next(&mut self) {
        for part in 0..=self.part {
            if let Some(mut prepared) = self.prepared[part].take() {
                prepared.encoded = prepared
                    .is_like_before
                    .then(|| self.encode(&prepared.dispatches, prepared.readback.as_ref()));
                self.prepared[part] = Some(prepared);
            }
        }
        self.in_parts = self.in_step >= 4 * FIRST_PART && self.profiler.is_none();
    }

    fn encode(&self, dispatches: &[Dispatch], readback: Option<&Readback>) -> CommandBuffer {
        let device = &self.context.device;
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let mut bound = usize::MAX;
        for (index, Dispatch { command, .. }) in dispatches.iter().enumerate() {
            if let Some(profiler) = &self.profiler {
                profiler.stamp(&mut pass, index);
            }
            if bound != command.pipeline {
                pass.set_pipeline(self.pipelines.get(command.pipeline));
                bound = command.pipeline;
            }
            pass.set_bind_group(0, self.groups[command.group].as_ref(), &[]);
            pass.set_bind_group(1, &self.params_group, &[command.params]);
            let [x, y, z] = command.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
        if let Some(profiler) = &self.profiler {
            profiler.stamp(&mut pass, dispatches.len());
        }
        drop(pass);
        if let Some(profiler) = &self.profiler {
            profiler.resolve(&mut encoder, dispatches.len());
        }
        if let Some(Readback {
            from,
            to,
            len_bytes,
        }) = readback
        {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, *len_bytes);
        }
        encoder.finish()
    }

    fn group(&mut self, op: Op, ids: BufferIds, buffers: &[&Arc<Buffer>]) -> usize {
        let key = (op, ids);
        if let Some(&index) = self.group_index.get(&key) {
            return index;
        }
        let entries: Vec<_> = buffers
            .iter()
            .enumerate()
            .map(|(index, buffer)| wgpu::BindGroupEntry {
                binding: index as u32,
                resource: buffer.raw.as_entire_binding(),
            })
            .collect();
        let device = self.context.device.clone();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(op.shader().file.name),
            layout: self.pipelines.bindings(op),
            entries: &entries,
        });
        let index = match self.groups.iter().position(Option::is_none) {
            Some(free) => {
                self.groups[free] = Some(group);
                free
            }
            None => {
                self.groups.push(Some(group));
                self.groups.len() - 1
            }
        };
        self.group_index.insert(key, index);
        index
    }
}
