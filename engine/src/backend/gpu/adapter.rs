//! Which GPUs there are, and which one computes.

use super::GpuError;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wgpu::{
    Backends, DeviceType, Instance, InstanceDescriptor, InstanceFlags, MemoryBudgetThresholds,
};

/// What kind of device an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// A card with memory of its own.
    Discrete,
    /// Shares memory with the CPU.
    Integrated,
    /// A part of a card, in a virtual machine.
    Virtual,
    /// The CPU itself, behind a graphics interface.
    Software,
    /// The driver does not say.
    Unknown,
}

/// An adapter of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterDescription {
    /// Its name, as the driver has it.
    pub name: String,
    /// What it is.
    pub kind: AdapterKind,
    /// The interface it is reached through.
    pub backend: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// The largest buffer a shader can be given.
    pub binding_limit_bytes: u64,
    /// Smallest and largest subgroup, if shaders may use subgroups.
    pub subgroups: Option<(u32, u32)>,
    /// Whether shaders may compute in f16.
    pub half: bool,
    /// Whether shaders may use matrix units.
    pub matrix_units: bool,
}

impl AdapterDescription {
    fn of(adapter: &wgpu::Adapter) -> AdapterDescription {
        let info = adapter.get_info();
        let subgroups = adapter.features().contains(wgpu::Features::SUBGROUP);
        AdapterDescription {
            name: info.name,
            kind: match info.device_type {
                DeviceType::DiscreteGpu => AdapterKind::Discrete,
                DeviceType::IntegratedGpu => AdapterKind::Integrated,
                DeviceType::VirtualGpu => AdapterKind::Virtual,
                DeviceType::Cpu => AdapterKind::Software,
                DeviceType::Other => AdapterKind::Unknown,
            },
            backend: info.backend.to_string(),
            driver: [info.driver, info.driver_info].join(" ").trim().to_owned(),
            binding_limit_bytes: adapter.limits().max_storage_buffer_binding_size,
            subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
            half: adapter.features().contains(wgpu::Features::SHADER_F16),
            matrix_units: super::units::has(adapter),
        }
    }

    /// Whether it is likely to be faster than the CPU without being asked for.
    ///
    /// Generation is bound by memory: an integrated GPU reads the same memory
    /// as the CPU and is chosen only where it alone can use all of its
    /// bandwidth, on Apple's chips.
    pub fn is_likely_faster(&self) -> bool {
        match self.kind {
            AdapterKind::Discrete | AdapterKind::Virtual => true,
            AdapterKind::Integrated => self.backend == wgpu::Backend::Metal.to_string(),
            AdapterKind::Software | AdapterKind::Unknown => false,
        }
    }

    /// How good a choice it is: higher is better.
    fn rank(&self) -> u32 {
        match self.kind {
            AdapterKind::Discrete => 4,
            AdapterKind::Virtual => 3,
            AdapterKind::Integrated => 2,
            AdapterKind::Unknown => 1,
            AdapterKind::Software => 0,
        }
    }
}

impl fmt::Display for AdapterDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            AdapterKind::Discrete => "discrete",
            AdapterKind::Integrated => "integrated",
            AdapterKind::Virtual => "virtual",
            AdapterKind::Software => "software",
            AdapterKind::Unknown => "unknown",
        };
        write!(f, "{} ({kind}, {}", self.name, self.backend)?;
        if !self.driver.is_empty() {
            write!(f, ", {}", self.driver)?;
        }
        if let Some((min, max)) = self.subgroups {
            match min == max {
                true => write!(f, ", subgroups of {min}")?,
                false => write!(f, ", subgroups of {min} to {max}")?,
            }
        }
        if self.half {
            write!(f, ", f16")?;
        }
        if self.matrix_units {
            write!(f, ", matrix units")?;
        }
        write!(f, ", buffers up to {} MiB)", self.binding_limit_bytes >> 20)
    }
}

/// All adapters of this machine, the best first.
pub fn list_devices() -> Vec<AdapterDescription> {
    adapters(&instance())
        .into_iter()
        .map(|(description, _)| description)
        .collect()
}

/// The best adapter; with `likely_faster`, only one that is likely to be faster
/// than the CPU.
pub(super) fn choose(
    instance: &Instance,
    likely_faster: bool,
) -> Result<(AdapterDescription, wgpu::Adapter), GpuError> {
    adapters(instance)
        .into_iter()
        .find(|(description, _)| !likely_faster || description.is_likely_faster())
        .ok_or_else(|| GpuError::NoAdapter {
            backends: backend_names(),
        })
}

fn backends() -> Backends {
    Backends::VULKAN | Backends::METAL | Backends::DX12
}

fn backend_names() -> String {
    let names = (Instance::enabled_backend_features() & backends())
        .iter_names()
        .map(|(name, _)| name)
        .collect::<Vec<_>>();
    names.join(" or ")
}

/// A connection to the graphics drivers.
pub(super) fn instance() -> Instance {
    Instance::new(InstanceDescriptor {
        backends: backends(),
        // No validation layers: wgpu validates what matters.
        flags: InstanceFlags::empty(),
        // Refuse buffers while there is still room for what the driver needs.
        memory_budget_thresholds: MemoryBudgetThresholds {
            for_resource_creation: Some(90),
            for_device_loss: None,
        },
        ..InstanceDescriptor::new_without_display_handle()
    })
}

fn adapters(instance: &Instance) -> Vec<(AdapterDescription, wgpu::Adapter)> {
    let found = ready(instance.enumerate_adapters(backends()));
    let mut adapters: Vec<_> = found
        .into_iter()
        .map(|adapter| (AdapterDescription::of(&adapter), adapter))
        .collect();
    adapters.sort_by_key(|(description, _)| std::cmp::Reverse(description.rank()));
    adapters
}

/// The result of a future that is ready at once, as all of wgpu's are outside
/// of browsers.
pub(super) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a native device answers at once"),
    }
}
