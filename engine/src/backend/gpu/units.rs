//! Matrix units, which wgpu 30 offers as an experiment («cooperative matrices»).

#![allow(unsafe_code)]

use super::context::Context;
use super::pipelines::{Kernel, Pipelines};
use super::products::format_piece;
use kernels::Format;
use shaders::Op;
use shaders::piece::{self, HEAD_WIDTHS, HeadWidth, UNIT_TILES, UnitTile};
use std::sync::Arc;
use wgpu::{
    CooperativeMatrixProperties, CooperativeScalarType, ExperimentalFeatures, Features, Limits,
};

/// What an adapter must offer.
pub(super) const FEATURES: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    .union(Features::SHADER_F16)
    .union(Features::SUBGROUP);

/// Lanes of the subgroups that `matmul_units.wgsl` counts on.
const SUBGROUP: u32 = 32;

/// Whether an adapter has the units that the shaders use.
pub(super) fn has(adapter: &wgpu::Adapter) -> bool {
    let usable = |unit: &CooperativeMatrixProperties| {
        [unit.m_size, unit.n_size, unit.k_size] == [16; 3]
            && unit.ab_type == CooperativeScalarType::F16
            && unit.cr_type == CooperativeScalarType::F32
    };
    let info = adapter.get_info();
    adapter.features().contains(FEATURES)
        && [info.subgroup_min_size, info.subgroup_max_size] == [SUBGROUP; 2]
        && adapter.cooperative_matrix_properties().iter().any(usable)
        && tiles(&adapter.limits()).next().is_some()
}

/// The tiles that a device has lanes and workgroup memory for, the largest first.
pub(super) fn tiles(limits: &Limits) -> impl Iterator<Item = &'static UnitTile> + use<> {
    let (bytes, lanes) = (
        limits.max_compute_workgroup_storage_size,
        limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x),
    );
    (UNIT_TILES.iter()).filter(move |tile| tile.workgroup_bytes() <= bytes && tile.lanes() <= lanes)
}

/// The narrowest heads of at least that width for which a device has lanes and
/// workgroup memory.
pub(super) fn heads(limits: &Limits, width: usize) -> Option<&'static HeadWidth> {
    let fits = |heads: &&HeadWidth| {
        heads.workgroup_bytes() <= limits.max_compute_workgroup_storage_size
            && HeadWidth::LANES <= limits.max_compute_invocations_per_workgroup
    };
    let mut wide_enough = (HEAD_WIDTHS.iter()).filter(|heads| heads.width as usize >= width);
    wide_enough.next().filter(fits)
}

/// Whether the driver compiles shaders for them, a product and attention. One that
/// does not may take the device with it: the device is of no use then.
pub(super) fn compile(context: &Arc<Context>) -> bool {
    let tile = tiles(&context.limits).next().expect("it has units");
    let pieces = [format_piece(Format::Q4_K), &tile.piece];
    let mut product = Kernel::new(Op::MatmulUnits, &pieces);
    // As residuals are added, with which every layer ends.
    product.constants[2] = Some(("ADD", 1));
    let attention = |heads: &'static HeadWidth| {
        Kernel::new(Op::AttentionUnits, &[&piece::CACHE_F16, &heads.piece])
    };
    let mut kernels = vec![product];
    kernels.extend(heads(&context.limits, 128).map(attention));
    let threads = kernels.len();
    Pipelines::new(context.clone()).compile_all(kernels, threads);
    context.wait();
    context.check().is_ok()
}

/// The consent that wgpu asks for.
pub(super) fn consent(wanted: bool) -> ExperimentalFeatures {
    match wanted {
        // SAFETY: what we acknowledge is that wgpu's part of this may have bugs.
        // Only shaders that naga validates use it, and the self-test compares what
        // they compute; without them, it is not asked for.
        true => unsafe { ExperimentalFeatures::enabled() },
        false => ExperimentalFeatures::disabled(),
    }
}
