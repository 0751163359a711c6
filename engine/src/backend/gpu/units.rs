//! Matrix units, which wgpu 30 offers as an experiment («cooperative matrices»).

#![allow(unsafe_code)]

use wgpu::{CooperativeMatrixProperties, CooperativeScalarType, ExperimentalFeatures, Features};

/// What an adapter must offer.
pub(super) const FEATURES: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    .union(Features::SHADER_F16)
    .union(Features::SUBGROUP);

/// Lanes of the smallest subgroup that `matmul_units.wgsl` works with.
const SUBGROUP: u32 = 32;

/// Whether an adapter has the units that the shaders use.
pub(super) fn has(adapter: &wgpu::Adapter) -> bool {
    let usable = |unit: &CooperativeMatrixProperties| {
        [unit.m_size, unit.n_size, unit.k_size] == [16; 3]
            && unit.ab_type == CooperativeScalarType::F16
            && unit.cr_type == CooperativeScalarType::F32
    };
    adapter.features().contains(FEATURES)
        && adapter.get_info().subgroup_min_size >= SUBGROUP
        && adapter.cooperative_matrix_properties().iter().any(usable)
}

/// The consent that wgpu asks for.
pub(super) fn consent(wanted: bool) -> ExperimentalFeatures {
    match wanted {
        // SAFETY: what we acknowledge is that wgpu's part of this may have bugs.
        // Only who asks for matrix units gets them, and only shaders that naga
        // validates use them.
        true => unsafe { ExperimentalFeatures::enabled() },
        false => ExperimentalFeatures::disabled(),
    }
}
