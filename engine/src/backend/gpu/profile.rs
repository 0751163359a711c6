//! Where a GPU's time goes: a timestamp after each dispatch.
//!
//! Dispatches run one after the other, and a timestamp waits for the work before
//! it. What is measured of a dispatch is therefore the time from the end of the
//! one before to its own end, the wait between the two included. Together that is
//! what the submission took on the device.

use super::pipelines::Kernel;
use crate::backend::profile::{GpuProfile, GpuTime};
use std::collections::HashMap;
use std::time::Duration;
use wgpu::{BufferUsages, CommandEncoder, ComputePass, Device, Features, QuerySet};

/// What a device must have.
pub(super) const FEATURES: Features =
    Features::TIMESTAMP_QUERY.union(Features::TIMESTAMP_QUERY_INSIDE_PASSES);

/// Dispatches of a submission that are timed: a set of queries holds one more.
pub(super) const DISPATCHES: usize = wgpu::QUERY_SET_MAX_QUERIES as usize - 1;

/// What a dispatch does, as far as its cost shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Bytes of weights that it reads at least.
    pub bytes: u64,
    /// Multiplications of weights.
    pub multiplications: u64,
}

type Key = (String, [u32; 3]);

/// Measures dispatches.
pub(super) struct Profiler {
    queries: QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f64,
    index: HashMap<Key, usize>,
    profile: GpuProfile,
}

impl Profiler {
    pub fn new(device: &Device, queue: &wgpu::Queue) -> Profiler {
        let count = DISPATCHES as u32 + 1;
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: 8 * u64::from(count),
                usage,
                mapped_at_creation: false,
            })
        };
        Profiler {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            }),
            resolved: buffer(BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC),
            staging: buffer(BufferUsages::COPY_DST | BufferUsages::MAP_READ),
            period: f64::from(queue.get_timestamp_period()),
            index: HashMap::new(),
            profile: GpuProfile::default(),
        }
    }

    /// Notes the time at which all dispatches before number `index` have ended.
    pub fn stamp(&self, pass: &mut ComputePass<'_>, index: usize) {
        pass.write_timestamp(&self.queries, index as u32);
    }

    /// Has the timestamps of so many dispatches copied.
    pub fn resolve(&self, encoder: &mut CommandEncoder, dispatches: usize) {
        let count = dispatches as u32 + 1;
        encoder.resolve_query_set(&self.queries, 0..count, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, 8 * u64::from(count));
    }

    /// Adds the times of a submission, for which `wait` waits.
    pub fn add<'a>(
        &mut self,
        dispatches: impl ExactSizeIterator<Item = (&'a Kernel, [u32; 3], Work)>,
        encoding: Duration,
        wait: impl FnOnce(),
    ) {
        let len_bytes = 8 * (dispatches.len() as u64 + 1);
        self.profile.submissions += 1;
        self.profile.encoding += encoding;
        self.staging
            .map_async(wgpu::MapMode::Read, 0..len_bytes, |_| {});
        wait();
        let Ok(view) = self.staging.get_mapped_range(0..len_bytes) else {
            return;
        };
        let ticks: &[u64] = bytemuck::cast_slice(&view);
        for ((kernel, workgroups, work), ticks) in dispatches.zip(ticks.windows(2)) {
            let key = (kernel.to_string(), workgroups);
            let times = &mut self.profile.times;
            let index = *self.index.entry(key).or_insert_with_key(|(kernel, _)| {
                times.push(GpuTime {
                    kernel: kernel.clone(),
                    workgroups,
                    dispatches: 0,
                    time: Duration::ZERO,
                    bytes: 0,
                    multiplications: 0,
                });
                times.len() - 1
            });
            let time = &mut times[index];
            let nanoseconds = ticks[1].saturating_sub(ticks[0]) as f64 * self.period;
            time.dispatches += 1;
            time.time += Duration::from_nanos(nanoseconds as u64);
            time.bytes += work.bytes;
            time.multiplications += work.multiplications;
        }
        drop(view);
        self.staging.unmap();
    }

    /// What was measured since the last call.
    pub fn take(&mut self) -> GpuProfile {
        self.index.clear();
        let mut profile = std::mem::take(&mut self.profile);
        profile
            .times
            .sort_by_key(|each| std::cmp::Reverse(each.time));
        profile
    }
}
