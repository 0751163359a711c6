//! The lines of the table, and what they have in common.

use crate::piece::{File, Slot, wgsl};
use crate::table::{Access, Binding, Op, Shader, Workgroup};

const fn read(name: &'static str, shape: &'static str) -> Binding {
    Binding {
        name,
        access: Access::Read,
        shape,
    }
}

const fn write(name: &'static str, shape: &'static str) -> Binding {
    Binding {
        name,
        access: Access::ReadWrite,
        shape,
    }
}

const WEIGHTS: Binding = read(
    "weights",
    "[rows, row_bytes] in the format of the file, 16 bytes more at the end",
);
const QUANTIZED_INPUT: Binding = read("x", "[tokens, inputs / 32] activations of 48 bytes");
const FLOAT_INPUT: Binding = read("x", "[tokens, inputs] f32");
const QUANTIZED: Binding = write("quantized", "[rows, cols / 32] activations of 48 bytes");
const BIAS: Binding = read("bias", "[outputs] f32");
const PRODUCT: Binding = write("out", "[tokens, outputs] f32");
const PRODUCT_PARAMS: &[&str] = &[
    "rows",
    "begin",
    "first_row",
    "row_bytes",
    "inputs",
    "outputs",
    "tokens",
];
const SIBLING_PARAMS: &[&str] = &[
    "rows",
    "begin",
    "row_bytes",
    "inputs",
    "tokens",
    "second",
    "third",
];

/// What siblings bind after the weights and the activations.
const fn sibling_bindings(input: Binding) -> [Binding; 8] {
    [
        WEIGHTS,
        input,
        BIAS,
        PRODUCT,
        read("second_bias", "[outputs] f32"),
        write("second_out", "[tokens, outputs] f32"),
        read("third_bias", "[outputs] f32"),
        write("third_out", "[tokens, outputs] f32"),
    ]
}
const GATED_PARAMS: &[&str] = &[
    "rows",
    "begin",
    "row_bytes",
    "inputs",
    "tokens",
    "outputs",
    "quantized",
];

/// What gate and up bind, which follow each other in one buffer.
const fn gated_bindings(input: Binding) -> [Binding; 6] {
    [
        WEIGHTS,
        input,
        read("gate_bias", "[outputs] f32"),
        read("up_bias", "[outputs] f32"),
        write("out", "[tokens, outputs] f32"),
        QUANTIZED,
    ]
}
const STRETCH_PARAMS: &[&str] = &["rows", "cols", "quantized"];
const EMBED_PARAMS: &[&str] = &["rows", "first_row", "row_bytes", "inputs", "tokens"];
const EXPERT_PARAMS: &[&str] = &[
    "rows",
    "first_row",
    "row_bytes",
    "inputs",
    "outputs",
    "sharing",
];
const ROUTES: Binding = read("routes", "[items] expert, weight");
const ITEMS: Binding = write("out", "[items, outputs] f32");
const TOKENS: Binding = read("tokens", "[tokens] u32");
const EMBEDDED: Binding = write("out", "[tokens, inputs] f32");

/// Weights in a block format, and what they are multiplied with.
const BLOCKS: &[File] = &[
    wgsl!("shared/bytes"),
    wgsl!("shared/group"),
    wgsl!("shared/activation"),
];
/// Their dot products, group by group.
const DOT: &[File] = &[wgsl!("shared/dot")];
/// Weights that are floats, the ends of their rows, and what they are multiplied
/// with.
const BYTES: &[File] = &[wgsl!("shared/bytes")];
const ROW_END: &[File] = &[wgsl!("shared/row_end")];
const FLOATS: &[File] = &[
    wgsl!("shared/bytes"),
    wgsl!("shared/row_end"),
    wgsl!("shared/float_input"),
];
/// Arithmetic in f16. It stands first.
const HALF: &[File] = &[wgsl!("shared/half")];
/// Where the products of one matrix go, of several, and of gate and up.
const ALONE: &[File] = &[wgsl!("shared/product"), wgsl!("shared/weight_row")];
const SIBLINGS: &[File] = &[wgsl!("shared/siblings"), wgsl!("shared/weight_row")];
const GATED: &[File] = &[wgsl!("shared/gated"), wgsl!("shared/weight_row")];
/// A tile of rows and tokens.
const TILE: &[File] = &[wgsl!("shared/tile_64")];
/// Floats that become 8-bit integers.
const ACTIVATION: &[File] = &[wgsl!("shared/activation")];
const QUANTIZE: &[File] = &[wgsl!("shared/quantize")];
const QUANTIZE_QUADS: &[File] = &[wgsl!("shared/quantize_quads")];
/// The entry points of operations on stretches of 32 values.
const STRETCH: &[File] = &[wgsl!("shared/stretch")];
const EMBEDDING: &[File] = &[wgsl!("shared/embedding")];
const EXPERT: &[File] = &[wgsl!("shared/expert")];

/// What products have in common, of one matrix and of siblings, for few tokens
/// and for many; and what operations on elements have.
const MATVEC: Shader = Shader {
    op: Op::MatvecInt8,
    file: wgsl!("matvec_int8"),
    shared: &[],
    slots: &[],
    bindings: &[],
    params: PRODUCT_PARAMS,
    half: false,
    overrides: &["LANES", "ADD", "BIAS"],
    workgroup: Workgroup::Rows(4),
};
const ELEMENTS: Shader = Shader {
    overrides: &[],
    workgroup: Workgroup::Elements(64),
    ..MATVEC
};
const MATMUL: Shader = Shader {
    overrides: &["ADD", "BIAS"],
    workgroup: Workgroup::Tile(64),
    ..MATVEC
};
const SIBLING_MATVEC: Shader = Shader {
    params: SIBLING_PARAMS,
    overrides: &["LANES", "BIAS"],
    ..MATVEC
};
const SIBLING_MATMUL: Shader = Shader {
    params: SIBLING_PARAMS,
    overrides: &["BIAS"],
    ..MATMUL
};

/// Every operation, in the order of [`Op`].
pub static SHADERS: &[Shader] = &[
    Shader {
        op: Op::MatvecInt8,
        file: wgsl!("matvec_int8"),
        shared: &[BLOCKS, DOT, ALONE],
        slots: &[Slot::Int8Format, Slot::Tokens, Slot::Reduce],
        bindings: &[WEIGHTS, QUANTIZED_INPUT, BIAS, PRODUCT],
        ..MATVEC
    },
    Shader {
        op: Op::MatvecFloat,
        file: wgsl!("matvec_float"),
        shared: &[FLOATS, ALONE],
        slots: &[Slot::FloatFormat, Slot::Tokens, Slot::Reduce],
        bindings: &[WEIGHTS, FLOAT_INPUT, BIAS, PRODUCT],
        ..MATVEC
    },
    Shader {
        op: Op::MatmulInt8,
        file: wgsl!("matmul_int8"),
        shared: &[BLOCKS, ALONE, TILE],
        slots: &[Slot::Int8Format],
        bindings: &[WEIGHTS, QUANTIZED_INPUT, BIAS, PRODUCT],
        ..MATMUL
    },
    Shader {
        op: Op::MatmulFloat,
        file: wgsl!("matmul_float"),
        shared: &[FLOATS, ALONE, TILE],
        slots: &[Slot::FloatFormat],
        bindings: &[WEIGHTS, FLOAT_INPUT, BIAS, PRODUCT],
        ..MATMUL
    },
    Shader {
        op: Op::MatmulHalf,
        file: wgsl!("matmul_half"),
        shared: &[HALF, FLOATS, ALONE, TILE],
        slots: &[Slot::FloatFormat],
        bindings: &[WEIGHTS, FLOAT_INPUT, BIAS, PRODUCT],
        half: true,
        ..MATMUL
    },
    Shader {
        op: Op::SiblingMatvecInt8,
        file: wgsl!("matvec_int8"),
        shared: &[BLOCKS, DOT, SIBLINGS],
        slots: &[Slot::Int8Format, Slot::Tokens, Slot::Reduce],
        bindings: &sibling_bindings(QUANTIZED_INPUT),
        ..SIBLING_MATVEC
    },
    Shader {
        op: Op::SiblingMatvecFloat,
        file: wgsl!("matvec_float"),
        shared: &[FLOATS, SIBLINGS],
        slots: &[Slot::FloatFormat, Slot::Tokens, Slot::Reduce],
        bindings: &sibling_bindings(FLOAT_INPUT),
        ..SIBLING_MATVEC
    },
    Shader {
        op: Op::SiblingMatmulInt8,
        file: wgsl!("matmul_int8"),
        shared: &[BLOCKS, SIBLINGS, TILE],
        slots: &[Slot::Int8Format],
        bindings: &sibling_bindings(QUANTIZED_INPUT),
        ..SIBLING_MATMUL
    },
    Shader {
        op: Op::SiblingMatmulFloat,
        file: wgsl!("matmul_float"),
        shared: &[FLOATS, SIBLINGS, TILE],
        slots: &[Slot::FloatFormat],
        bindings: &sibling_bindings(FLOAT_INPUT),
        ..SIBLING_MATMUL
    },
    Shader {
        op: Op::SiblingMatmulHalf,
        file: wgsl!("matmul_half"),
        shared: &[HALF, FLOATS, SIBLINGS, TILE],
        slots: &[Slot::FloatFormat],
        bindings: &sibling_bindings(FLOAT_INPUT),
        half: true,
        ..SIBLING_MATMUL
    },
    Shader {
        op: Op::GatedInt8,
        file: wgsl!("gated_int8"),
        shared: &[BLOCKS, DOT, QUANTIZE, QUANTIZE_QUADS, GATED],
        slots: &[Slot::Int8Format, Slot::Tokens, Slot::Teams],
        bindings: &gated_bindings(QUANTIZED_INPUT),
        params: GATED_PARAMS,
        half: false,
        overrides: &["BIAS"],
        workgroup: Workgroup::Rows(32),
    },
    Shader {
        op: Op::GatedFloat,
        file: wgsl!("gated_float"),
        shared: &[FLOATS, ACTIVATION, QUANTIZE, QUANTIZE_QUADS, GATED],
        slots: &[Slot::FloatFormat, Slot::Tokens, Slot::Teams],
        bindings: &gated_bindings(FLOAT_INPUT),
        params: GATED_PARAMS,
        half: false,
        overrides: &["BIAS"],
        workgroup: Workgroup::Rows(32),
    },
    Shader {
        op: Op::RmsNorm,
        file: wgsl!("rms_norm"),
        shared: &[ACTIVATION, QUANTIZE],
        slots: &[Slot::Reduce],
        bindings: &[
            read("x", "[rows, cols] f32"),
            read("weight", "[cols] f32"),
            write("out", "[rows, cols] f32"),
            QUANTIZED,
        ],
        params: &["cols", "groups", "eps"],
        half: false,
        overrides: &["LANES"],
        workgroup: Workgroup::Row,
    },
    Shader {
        op: Op::Quantize,
        file: wgsl!("quantize"),
        shared: &[ACTIVATION, QUANTIZE, STRETCH],
        slots: &[],
        bindings: &[read("x", "[rows, cols] f32"), QUANTIZED],
        params: STRETCH_PARAMS,
        ..ELEMENTS
    },
    Shader {
        op: Op::SiluMul,
        file: wgsl!("silu_mul"),
        shared: &[ACTIVATION, QUANTIZE, STRETCH],
        slots: &[],
        bindings: &[
            write("gate", "[rows, cols] f32"),
            read("up", "[rows, cols] f32"),
            QUANTIZED,
        ],
        params: STRETCH_PARAMS,
        ..ELEMENTS
    },
    Shader {
        op: Op::RopeAppend,
        file: wgsl!("rope_append"),
        shared: &[],
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
        shared: &[ACTIVATION, QUANTIZE, QUANTIZE_QUADS],
        slots: &[Slot::Cache, Slot::Queries],
        bindings: &[
            read("q", "[rows, heads, k_quads] four f32"),
            read("keys", "[positions, key heads, k_quads] four as stored"),
            read("values", "[positions, key heads, v_quads] four as stored"),
            write("out", "[rows, heads, v_quads] four f32"),
            write("partial", "[splits, tokens, heads, v_quads + 1] four f32"),
            QUANTIZED,
        ],
        params: &[
            "tokens",
            "first_row",
            "position",
            "heads",
            "group",
            "k_quads",
            "v_quads",
            "splits",
            "split_keys",
            "scale",
            "quantized",
        ],
        half: false,
        overrides: &[],
        workgroup: Workgroup::Queries,
    },
    Shader {
        op: Op::AttentionCombine,
        file: wgsl!("attention_combine"),
        shared: &[ACTIVATION, QUANTIZE, QUANTIZE_QUADS],
        slots: &[],
        bindings: &[
            read("partial", "[splits, tokens, heads, v_quads + 1] four f32"),
            write("out", "[rows, heads, v_quads] four f32"),
            QUANTIZED,
        ],
        params: &[
            "tokens",
            "first_row",
            "heads",
            "v_quads",
            "splits",
            "quantized",
        ],
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
        op: Op::Highest,
        file: wgsl!("highest"),
        shared: &[],
        slots: &[Slot::Source],
        bindings: &[
            read("x", "[rows, cols] f32, or column and f32"),
            write("out", "[rows, pieces, count] column, f32"),
        ],
        params: &["cols", "piece", "count"],
        half: false,
        overrides: &[],
        workgroup: Workgroup::Piece,
    },
    Shader {
        op: Op::ExpertInt8,
        file: wgsl!("expert_int8"),
        shared: &[BLOCKS, DOT, EXPERT],
        slots: &[Slot::Int8Format, Slot::Reduce],
        bindings: &[WEIGHTS, QUANTIZED_INPUT, ROUTES, ITEMS],
        params: EXPERT_PARAMS,
        half: false,
        overrides: &["LANES"],
        workgroup: Workgroup::Rows(4),
    },
    Shader {
        op: Op::ExpertFloat,
        file: wgsl!("expert_float"),
        shared: &[BYTES, ROW_END, EXPERT],
        slots: &[Slot::FloatFormat, Slot::Reduce],
        bindings: &[WEIGHTS, FLOAT_INPUT, ROUTES, ITEMS],
        params: EXPERT_PARAMS,
        half: false,
        overrides: &["LANES"],
        workgroup: Workgroup::Rows(4),
    },
    Shader {
        op: Op::Route,
        file: wgsl!("route"),
        shared: &[],
        slots: &[],
        bindings: &[
            read("scores", "[tokens, count] f32"),
            write("routes", "[tokens, used] expert, weight"),
        ],
        params: &["tokens", "count", "used"],
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
