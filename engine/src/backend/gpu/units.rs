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

/// Workgroups in a large tile that keep a large device busy: fewer take longer than
/// more in the smallest.
const ENOUGH_WORKGROUPS: usize = 100;

/// Workgroups in the smallest tile that splits of the inputs are to come up to.
const SPLIT_WORKGROUPS: usize = 256;

/// Inputs that a split should at least have, and splits that there are at most: what
/// they leave has to be added up.
const SPLIT_INPUTS: usize = 512;
const MOST_SPLITS: usize = 8;

/// Inputs of a step of `matmul_units.wgsl`, of which splits have whole numbers.
const STEP: usize = 64;

/// Tokens of the smallest tile.
const FEWEST_TOKENS: usize = 64;

/// How matrix units compute a product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub tile: &'static UnitTile,
    /// Parts of the inputs that different workgroups sum up, and the inputs of each.
    pub splits: usize,
    pub split_inputs: usize,
    /// Tiles of rows, tiles of tokens, splits.
    pub workgroups: [u32; 3],
}

impl Plan {
    /// The plan in the largest tile that is not mostly empty and makes enough
    /// workgroups; in the smallest, if none does, inputs are split.
    pub fn new(limits: &Limits, [tokens, rows, inputs]: [usize; 3]) -> Plan {
        let count = |tile: &UnitTile| {
            [
                rows.div_ceil(tile.rows as usize),
                tokens.div_ceil(tile.tokens as usize),
            ]
        };
        let is_enough = |tile: &&UnitTile| {
            let fits = tile.tokens as usize <= tokens.next_multiple_of(FEWEST_TOKENS);
            fits && count(tile).iter().product::<usize>() >= ENOUGH_WORKGROUPS
        };
        let (tile, wanted) = match tiles(limits).find(is_enough) {
            Some(tile) if tile.tokens as usize > FEWEST_TOKENS => (tile, 1),
            _ => {
                let last = tiles(limits).last();
                let tile = last.expect("a device with matrix units has room for a tile");
                let workgroups = count(tile).iter().product();
                (tile, SPLIT_WORKGROUPS.div_ceil(workgroups))
            }
        };
        let splits = wanted.min(MOST_SPLITS).min(inputs / SPLIT_INPUTS).max(1);
        let split_inputs = inputs.div_ceil(splits).next_multiple_of(STEP);
        let splits = inputs.div_ceil(split_inputs);
        let [row_tiles, token_tiles] = count(tile);
        Plan {
            tile,
            splits,
            split_inputs,
            workgroups: [row_tiles, token_tiles, splits].map(|count| count as u32),
        }
    }

    /// Plans that need all the shaders which products of such weights need, of
    /// however many tokens. Beyond the last number of tokens here, the largest tile
    /// makes enough workgroups for a single row.
    pub fn of_any_tokens(limits: &Limits, [rows, inputs]: [usize; 2]) -> Vec<Plan> {
        let most = ENOUGH_WORKGROUPS * UNIT_TILES[0].tokens as usize;
        // Tiles have multiples of the fewest tokens: what lies between is alike.
        let counts = (FEWEST_TOKENS..=most).step_by(FEWEST_TOKENS);
        let mut plans: Vec<Plan> = Vec::new();
        for tokens in counts {
            let plan = Plan::new(limits, [tokens, rows, inputs]);
            if !plans.iter().any(|other| other.has_shaders_of(&plan)) {
                plans.push(plan);
            }
        }
        plans
    }

    fn has_shaders_of(&self, other: &Plan) -> bool {
        std::ptr::eq(self.tile, other.tile) && (self.splits > 1) == (other.splits > 1)
    }
}

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

#[cfg(test)]
mod tests {
    use super::{MOST_SPLITS, Plan, SPLIT_INPUTS, STEP};
    use wgpu::Limits;

    fn limits() -> Limits {
        Limits {
            max_compute_workgroup_storage_size: 48 << 10,
            ..Default::default()
        }
    }

    /// Tokens, rows and inputs; the tile, and the splits.
    #[test]
    fn few_workgroups_split_their_inputs() {
        for (shape, tile, splits) in [
            ([512, 4096, 4096], (128, 128), 1),
            ([256, 4096, 4096], (64, 64), 1),
            ([128, 4096, 4096], (64, 64), 2),
            ([128, 28672, 4096], (128, 128), 1),
            ([64, 28672, 4096], (64, 64), 1),
            ([64, 6144, 4096], (64, 64), 3),
            ([64, 4096, 14336], (64, 64), 4),
            ([20, 4096, 4096], (64, 64), 4),
            // Too few inputs.
            ([64, 4096, 1000], (64, 64), 1),
            ([20, 70, 1056], (64, 64), 2),
        ] {
            let plan = Plan::new(&limits(), shape);
            let found = ((plan.tile.rows, plan.tile.tokens), plan.splits);
            assert_eq!(found, (tile, splits), "{shape:?}");
        }
    }

    #[test]
    fn splits_are_whole_steps_and_none_is_empty() {
        for inputs in (32..20000).step_by(32) {
            let plan = Plan::new(&limits(), [64, 1024, inputs]);
            assert!(plan.splits <= MOST_SPLITS);
            assert!(plan.splits == 1 || plan.split_inputs >= SPLIT_INPUTS);
            assert!(plan.split_inputs.is_multiple_of(STEP));
            assert!((plan.splits - 1) * plan.split_inputs < inputs);
            assert!(plan.splits * plan.split_inputs >= inputs);
        }
    }

    /// What is rehearsed suffices for every number of tokens.
    #[test]
    fn any_tokens_need_no_other_shaders() {
        for shape in [[70, 512], [1024, 4096], [6144, 4096], [28672, 4096]] {
            let [rows, inputs] = shape;
            let rehearsed = Plan::of_any_tokens(&limits(), shape);
            for tokens in 17..15000 {
                let plan = Plan::new(&limits(), [tokens, rows, inputs]);
                let known = rehearsed.iter().any(|other| other.has_shaders_of(&plan));
                assert!(known, "{tokens} tokens: {plan:?}");
            }
        }
    }
}
