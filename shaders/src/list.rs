//! The lines of the table.

use crate::parts::*;
use crate::piece::{Slot, wgsl};
use crate::table::{Needs, Op, Shader, Workgroup};

/// Every operation, in the order of [`Op`].
pub static SHADERS: &[Shader] = &[
    Shader {
        op: Op::MatvecInt8,
        file: wgsl!("matvec"),
        shared: &[BLOCKS, INT8_INPUT, INT8_STEPS, ALONE],
        slots: &[Slot::Int8Format, Slot::Tokens, Slot::Teams],
        bindings: &[WEIGHTS, QUANTIZED_INPUT, BIAS, PRODUCT],
        ..MATVEC
    },
    Shader {
        op: Op::MatvecFloat,
        file: wgsl!("matvec"),
        shared: &[FLOATS, FLOAT_STEPS, ALONE],
        slots: &[Slot::FloatFormat, Slot::Tokens, Slot::Teams],
        bindings: &[WEIGHTS, FLOAT_INPUT, BIAS, PRODUCT],
        ..MATVEC
    },
    Shader {
        op: Op::MatmulInt8,
        file: wgsl!("matmul_int8"),
        shared: &[BLOCKS, INT8_INPUT, ALONE, TILE],
        slots: &[Slot::Int8Format],
        bindings: &[WEIGHTS, QUANTIZED_INPUT, BIAS, PRODUCT],
        ..MATMUL
    },
    Shader {
        op: Op::MatmulFloat,
        file: wgsl!("matmul_float"),
        shared: &[FLOATS, FLOAT_WEIGHTS, ALONE, TILE],
        slots: &[Slot::FloatFormat],
        bindings: &[WEIGHTS, FLOAT_INPUT, BIAS, PRODUCT],
        ..MATMUL
    },
    Shader {
        op: Op::MatmulHalf,
        file: wgsl!("matmul_half"),
        shared: &[HALF, FLOATS, FLOAT_WEIGHTS, ALONE, TILE],
        slots: &[Slot::FloatFormat],
        bindings: &[WEIGHTS, FLOAT_INPUT, BIAS, PRODUCT],
        needs: Needs::Half,
        ..MATMUL
    },
    Shader {
        op: Op::MatmulUnits,
        file: wgsl!("matmul_units"),
        shared: &[UNITS, BLOCKS, ALONE, HALVES_ALONE],
        slots: &[Slot::Int8Format, Slot::UnitTile],
        bindings: &[WEIGHTS, HALVES_INPUT, BIAS, PRODUCT, SCALES],
        needs: Needs::MatrixUnits,
        workgroup: Workgroup::UnitTile,
        ..MATMUL
    },
    Shader {
        op: Op::SiblingMatvecInt8,
        file: wgsl!("matvec"),
        shared: &[BLOCKS, INT8_INPUT, INT8_STEPS, SIBLINGS],
        slots: &[Slot::Int8Format, Slot::Tokens, Slot::Teams],
        bindings: &sibling_bindings(QUANTIZED_INPUT),
        ..SIBLING_MATVEC
    },
    Shader {
        op: Op::SiblingMatvecFloat,
        file: wgsl!("matvec"),
        shared: &[FLOATS, FLOAT_STEPS, SIBLINGS],
        slots: &[Slot::FloatFormat, Slot::Tokens, Slot::Teams],
        bindings: &sibling_bindings(FLOAT_INPUT),
        ..SIBLING_MATVEC
    },
    Shader {
        op: Op::SiblingMatmulInt8,
        file: wgsl!("matmul_int8"),
        shared: &[BLOCKS, INT8_INPUT, SIBLINGS, TILE],
        slots: &[Slot::Int8Format],
        bindings: &sibling_bindings(QUANTIZED_INPUT),
        ..SIBLING_MATMUL
    },
    Shader {
        op: Op::SiblingMatmulFloat,
        file: wgsl!("matmul_float"),
        shared: &[FLOATS, FLOAT_WEIGHTS, SIBLINGS, TILE],
        slots: &[Slot::FloatFormat],
        bindings: &sibling_bindings(FLOAT_INPUT),
        ..SIBLING_MATMUL
    },
    Shader {
        op: Op::SiblingMatmulHalf,
        file: wgsl!("matmul_half"),
        shared: &[HALF, FLOATS, FLOAT_WEIGHTS, SIBLINGS, TILE],
        slots: &[Slot::FloatFormat],
        bindings: &sibling_bindings(FLOAT_INPUT),
        needs: Needs::Half,
        ..SIBLING_MATMUL
    },
    Shader {
        op: Op::SiblingMatmulUnits,
        file: wgsl!("matmul_units"),
        shared: &[UNITS, BLOCKS, SIBLINGS, HALVES_SIBLINGS],
        slots: &[Slot::Int8Format, Slot::UnitTile],
        bindings: &sibling_bindings_on_units(),
        needs: Needs::MatrixUnits,
        workgroup: Workgroup::UnitTile,
        ..SIBLING_MATMUL
    },
    Shader {
        op: Op::SplitMatmulUnits,
        file: wgsl!("matmul_units"),
        shared: &[UNITS, BLOCKS, SPLITS],
        slots: &[Slot::Int8Format, Slot::UnitTile],
        bindings: &[WEIGHTS, HALVES_INPUT, write("partial", SPLIT_SUMS), SCALES],
        params: SPLIT_PARAMS,
        needs: Needs::MatrixUnits,
        overrides: &[],
        workgroup: Workgroup::UnitTile,
    },
    Shader {
        op: Op::AddSplits,
        file: wgsl!("add_splits"),
        shared: &[],
        slots: &[],
        bindings: &[
            read("partial", SPLIT_SUMS),
            BIAS,
            PRODUCT,
            SECOND_BIAS,
            SECOND_PRODUCT,
            THIRD_BIAS,
            THIRD_PRODUCT,
        ],
        params: &[
            "rows",
            "tokens",
            "splits",
            "first_row",
            "outputs",
            "second",
            "third",
        ],
        overrides: &["ADD", "BIAS"],
        ..ELEMENTS
    },
    Shader {
        op: Op::GatedInt8,
        file: wgsl!("gated"),
        shared: &[BLOCKS, INT8_INPUT, INT8_STEPS, QUANTIZE, WEIGHT_ROW, GATE],
        slots: &[Slot::Int8Format, Slot::Tokens, Slot::Teams],
        bindings: &gated_bindings(QUANTIZED_INPUT),
        params: GATED_PARAMS,
        needs: Needs::Nothing,
        overrides: &["BIAS", "ACTIVATION"],
        workgroup: Workgroup::Rows(32),
    },
    Shader {
        op: Op::GatedFloat,
        file: wgsl!("gated"),
        shared: &[FLOATS, FLOAT_STEPS, ACTIVATION, QUANTIZE, WEIGHT_ROW, GATE],
        slots: &[Slot::FloatFormat, Slot::Tokens, Slot::Teams],
        bindings: &gated_bindings(FLOAT_INPUT),
        params: GATED_PARAMS,
        needs: Needs::Nothing,
        overrides: &["BIAS", "ACTIVATION"],
        workgroup: Workgroup::Rows(32),
    },
    Shader {
        op: Op::Norm,
        file: wgsl!("norm"),
        shared: &[ACTIVATION, QUANTIZE, ROW_END],
        slots: &[Slot::Lanes, Slot::Row, Slot::Reduce],
        bindings: &[
            read("x", "[rows, cols] f32"),
            read("weight", "[weights, cols] f32"),
            write("out", "[rows, cols] f32"),
            QUANTIZED,
            read("bias", "[weights, cols] f32"),
        ],
        params: &["cols", "quantized", "eps", "added", "weights"],
        needs: Needs::Nothing,
        overrides: &["LAYER", "BIAS"],
        workgroup: Workgroup::Row,
    },
    Shader {
        op: Op::Quantize,
        file: wgsl!("quantize"),
        shared: &[ACTIVATION, QUANTIZE, STRETCH],
        slots: &[],
        bindings: &[read("x", "[rows, cols] f32"), QUANTIZED],
        params: STRETCH_PARAMS,
        workgroup: Workgroup::Elements(256),
        ..ELEMENTS
    },
    Shader {
        op: Op::Halves,
        file: wgsl!("halves"),
        shared: &[ACTIVATION],
        slots: &[],
        bindings: &[
            read("x", "[rows, cols / 32] activations: three planes a row"),
            write("halves", "[rows, cols] f16"),
            write("scales", "[rows] f32"),
        ],
        params: &["rows", "cols"],
        workgroup: Workgroup::Row,
        ..ELEMENTS
    },
    Shader {
        op: Op::GateMul,
        file: wgsl!("gate_mul"),
        shared: &[ACTIVATION, QUANTIZE, STRETCH, GATE],
        slots: &[],
        bindings: &[
            write("gate", "[rows, cols] f32"),
            read("up", "[rows, cols] f32"),
            QUANTIZED,
        ],
        params: STRETCH_PARAMS,
        overrides: &["ACTIVATION", "ALONE"],
        workgroup: Workgroup::Elements(256),
        ..ELEMENTS
    },
    Shader {
        op: Op::RopeAppend,
        file: wgsl!("rope_append"),
        shared: &[TURN],
        slots: &[Slot::Cache],
        bindings: &[
            write("q", "[rows, heads, k_dim] f32"),
            read("k", "[rows, kv_heads, k_dim] f32"),
            read("v", "[rows, kv_heads, v_dim] f32"),
            read("angles", "[2, rows, 2 * pairs] f32: cosines, sines"),
            write("keys", "[positions, kv_heads, k_quads] four as stored"),
            write("values", "[positions, kv_heads, v_quads] four as stored"),
        ],
        params: &[
            "tokens",
            "first_row",
            "position",
            "heads",
            "kv_heads",
            "k_dim",
            "v_dim",
            "k_quads",
            "v_quads",
            "pairs",
            "halves",
            "rows",
        ],
        ..ELEMENTS
    },
    Shader {
        op: Op::Resize,
        file: wgsl!("resize"),
        shared: &[],
        slots: &[],
        bindings: &[
            read("x", "[heads, head_dim] f32"),
            write("out", "[heads, new_dim] f32"),
        ],
        params: &["heads", "head_dim", "new_dim"],
        ..ELEMENTS
    },
    Shader {
        op: Op::Attention,
        file: wgsl!("attention"),
        bindings: &[
            QUERIES,
            read("keys", STORED_KEYS),
            read("values", STORED_VALUES),
            ATTENDED,
            PARTIAL,
            QUANTIZED,
        ],
        ..ATTENTION
    },
    Shader {
        op: Op::AttentionAppend,
        file: wgsl!("attention_append"),
        shared: &[ACTIVATION, QUANTIZE, ATTEND, ONE_SEQUENCE, APPEND],
        bindings: &[
            QUERIES,
            write("keys", STORED_KEYS),
            write("values", STORED_VALUES),
            ATTENDED,
            PARTIAL,
            QUANTIZED,
            NEW_KEYS,
            NEW_VALUES,
            ANGLES,
        ],
        ..ATTENTION
    },
    Shader {
        op: Op::AttentionBatch,
        file: wgsl!("attention_batch"),
        shared: &[ACTIVATION, QUANTIZE, ATTEND, APPEND],
        bindings: &[
            QUERIES,
            write("keys_0", STORED_KEYS),
            write("values_0", STORED_VALUES),
            ATTENDED,
            PARTIAL,
            QUANTIZED,
            NEW_KEYS,
            NEW_VALUES,
            ANGLES,
            write("keys_1", STORED_KEYS),
            write("values_1", STORED_VALUES),
            write("keys_2", STORED_KEYS),
            write("values_2", STORED_VALUES),
            write("keys_3", STORED_KEYS),
            write("values_3", STORED_VALUES),
        ],
        params: BATCH_PARAMS,
        ..ATTENTION
    },
    Shader {
        op: Op::AttentionUnits,
        file: wgsl!("attention_units"),
        shared: &[UNITS, ACTIVATION, QUANTIZE, SEQUENCE_PARAMS, ATTENTION_ENDS],
        slots: &[Slot::Cache, Slot::HeadWidth],
        bindings: &[
            QUERIES,
            read("keys", STORED_KEYS),
            read("values", STORED_VALUES),
            ATTENDED,
            PARTIAL,
            QUANTIZED,
        ],
        needs: Needs::MatrixUnits,
        ..ATTENTION
    },
    Shader {
        op: Op::AttentionCombine,
        file: wgsl!("attention_combine"),
        shared: &[ACTIVATION, QUANTIZE],
        slots: &[],
        bindings: &[
            read("partial", "[splits, tokens, heads, v_quads + 1] four f32"),
            write("out", "[rows, heads, v_quads] four f32"),
            QUANTIZED,
            read("sinks", "[heads] f32"),
        ],
        params: &[
            "tokens",
            "first_row",
            "heads",
            "v_quads",
            "splits",
            "quantized",
        ],
        overrides: &["SINKS"],
        ..ELEMENTS
    },
    Shader {
        op: Op::EmbedInt8,
        file: wgsl!("embed_int8"),
        shared: &[BLOCKS, EMBEDDING],
        slots: &[Slot::Int8Format],
        bindings: &[WEIGHTS, TOKENS, EMBEDDED],
        params: EMBED_PARAMS,
        ..ELEMENTS
    },
    Shader {
        op: Op::EmbedFloat,
        file: wgsl!("embed_float"),
        shared: &[BYTES, EMBEDDING],
        slots: &[Slot::FloatFormat],
        bindings: &[WEIGHTS, TOKENS, EMBEDDED],
        params: EMBED_PARAMS,
        ..ELEMENTS
    },
    Shader {
        op: Op::Gather,
        file: wgsl!("gather"),
        shared: &[],
        slots: &[],
        bindings: &[
            read("x", "[any, cols] f32"),
            read("indices", "[rows] u32"),
            write("out", "[rows, cols] f32"),
        ],
        params: &["rows", "cols"],
        ..ELEMENTS
    },
    Shader {
        op: Op::Deal,
        file: wgsl!("deal"),
        shared: &[],
        slots: &[],
        bindings: &[
            read("x", "[rows, 2 * cols] f32"),
            write("first", "[rows, cols] f32"),
            write("second", "[rows, cols] f32"),
        ],
        params: &["len", "width"],
        ..ELEMENTS
    },
    Shader {
        op: Op::Mul,
        file: wgsl!("mul"),
        shared: &[],
        slots: &[],
        bindings: &[
            write("x", "[len] f32"),
            read("factors", "[len / width] f32"),
        ],
        params: &["len", "width"],
        overrides: &["SIGMOID"],
        ..ELEMENTS
    },
    Shader {
        op: Op::StateBegin,
        file: wgsl!("state_begin"),
        shared: &[],
        slots: &[],
        bindings: &[
            write("state", STATE),
            write("saved", STATE),
            write("marked", STATE),
        ],
        params: &["len", "source", "mark"],
        ..ELEMENTS
    },
    Shader {
        op: Op::Conv,
        file: wgsl!("conv"),
        shared: &[],
        slots: &[],
        bindings: &[
            read("x", "[rows, channels] f32"),
            read("conv", "[width, channels] f32"),
            read("state", STATE),
            write("out", "[rows, channels] f32"),
        ],
        params: CONV_PARAMS,
        overrides: &["SILU"],
        ..ELEMENTS
    },
    Shader {
        op: Op::ConvKeep,
        file: wgsl!("conv_keep"),
        shared: &[],
        slots: &[],
        bindings: &[read("x", "[rows, channels] f32"), write("state", STATE)],
        params: CONV_PARAMS,
        ..ELEMENTS
    },
    Shader {
        op: Op::DeltaRule,
        file: wgsl!("delta_rule"),
        shared: &[],
        slots: &[],
        bindings: &[
            read("mixed", "[rows, channels] f32"),
            read("alpha", "[rows, heads] f32"),
            read("beta", "[rows, heads] f32"),
            read("decay", "[heads] f32"),
            read("bias", "[heads] f32"),
            write("state", STATE),
            write("out", "[rows, heads, dim] f32"),
        ],
        params: &[
            "tokens",
            "first_row",
            "key_heads",
            "heads",
            "dim",
            "channels",
            "matrices",
            "eps",
        ],
        workgroup: Workgroup::Columns(16),
        ..ELEMENTS
    },
    Shader {
        op: Op::Highest,
        file: wgsl!("highest"),
        shared: &[],
        slots: &[Slot::Source],
        bindings: &[
            read("x", "[rows, cols] f32, or column and f32"),
            write("out", "[rows, pieces, count] column, f32"),
        ],
        params: &["cols", "piece", "count"],
        needs: Needs::Nothing,
        overrides: &[],
        workgroup: Workgroup::Piece,
    },
    Shader {
        op: Op::ExpertInt8,
        file: wgsl!("expert"),
        shared: &[BLOCKS, INT8_INPUT, INT8_STEPS],
        slots: &[Slot::Int8Format, Slot::Teams],
        bindings: &[WEIGHTS, QUANTIZED_INPUT, ROUTES, ITEMS, EXPERT_BIASES],
        params: EXPERT_PARAMS,
        needs: Needs::Nothing,
        overrides: &["BIAS"],
        workgroup: Workgroup::Rows(8),
    },
    Shader {
        op: Op::ExpertFloat,
        file: wgsl!("expert"),
        shared: &[FLOATS, FLOAT_STEPS],
        slots: &[Slot::FloatFormat, Slot::Teams],
        bindings: &[WEIGHTS, FLOAT_INPUT, ROUTES, ITEMS, EXPERT_BIASES],
        params: EXPERT_PARAMS,
        needs: Needs::Nothing,
        overrides: &["BIAS"],
        workgroup: Workgroup::Rows(8),
    },
    Shader {
        op: Op::Route,
        file: wgsl!("route"),
        shared: &[],
        slots: &[],
        bindings: &[
            write("values", "[tokens, count] f32"),
            write("routes", "[tokens, used] expert, weight"),
            read("bias", "[count] f32"),
        ],
        params: &["tokens", "count", "used", "scale", "min_sum"],
        overrides: &["BIAS", "GATING", "NORMALIZED"],
        ..ELEMENTS
    },
    Shader {
        op: Op::Mix,
        file: wgsl!("mix"),
        shared: &[],
        slots: &[],
        bindings: &[
            read("x", "[tokens, used, cols] f32"),
            read("routes", "[tokens, used] expert, weight"),
            write("sum", "[tokens, cols] f32"),
        ],
        params: &["tokens", "cols", "used"],
        ..ELEMENTS
    },
];
