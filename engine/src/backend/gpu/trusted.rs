//! Shaders are compiled without some of the checks that wgpu adds for those of
//! strangers.

#![allow(unsafe_code)]

use wgpu::{Device, ShaderModule, ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource};

/// A module of one of our shaders.
///
/// By default wgpu gives every loop a counter of 64 bits that ends it, and every
/// division a test of the divisor. Loops with such a counter are not unrolled, and
/// what was meant to be in registers goes through memory: on an NVIDIA H200 that
/// made prompts six times slower.
pub(super) fn module(device: &Device, label: &'static str, text: String) -> ShaderModule {
    let checks = ShaderRuntimeChecks {
        force_loop_bounding: false,
        int_div_checks: false,
        ..ShaderRuntimeChecks::checked()
    };
    let descriptor = ShaderModuleDescriptor {
        label: Some(label),
        source: ShaderSource::Wgsl(text.into()),
    };
    // SAFETY: every loop of the shaders counts, or halves, towards a bound that does
    // not move, so that it ends; divisors are constants, numbers of lanes, or
    // shapes, and code that divides by a shape runs only if it is not zero. Indices
    // stay checked.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}
