//! What lines of the table have in common: bindings, parameters, shared files.

use crate::piece::{File, Slot, wgsl};
use crate::table::{Access, Binding, Needs, Op, Shader, Workgroup};

pub(crate) const fn read(name: &'static str, shape: &'static str) -> Binding {
    Binding {
        name,
        access: Access::Read,
        shape,
    }
}

pub(crate) const fn write(name: &'static str, shape: &'static str) -> Binding {
    Binding {
        name,
        access: Access::ReadWrite,
        shape,
    }
}

pub(crate) const WEIGHTS: Binding = read(
    "weights",
    "[rows, row_bytes] vectors of 16 bytes, as the format's layout has them",
);
pub(crate) const QUANTIZED_INPUT: Binding =
    read("x", "[tokens, inputs / 32] activations: three planes a row");
pub(crate) const HALVES_INPUT: Binding = read(
    "x",
    "[tokens, inputs] f16, as the operation that makes halves leaves them",
);
pub(crate) const SCALES: Binding = read("scales", "[tokens] f32");
pub(crate) const FLOAT_INPUT: Binding = read("x", "[tokens, inputs] f32");
pub(crate) const QUANTIZED: Binding = write(
    "quantized",
    "[rows, cols / 32] activations: three planes a row",
);
pub(crate) const BIAS: Binding = read("bias", "[outputs] f32");
pub(crate) const PRODUCT: Binding = write("out", "[tokens, outputs] f32");
pub(crate) const SECOND_BIAS: Binding = read("second_bias", "[outputs] f32");
pub(crate) const SECOND_PRODUCT: Binding = write("second_out", "[tokens, outputs] f32");
pub(crate) const THIRD_BIAS: Binding = read("third_bias", "[outputs] f32");
pub(crate) const THIRD_PRODUCT: Binding = write("third_out", "[tokens, outputs] f32");
/// What splits of the inputs leave of products.
pub(crate) const SPLIT_SUMS: &str = "[splits, tokens, rows] f32, a token's rows padded to fours";
pub(crate) const PRODUCT_PARAMS: &[&str] = &[
    "rows",
    "begin",
    "first_row",
    "row_bytes",
    "inputs",
    "outputs",
    "tokens",
];
pub(crate) const SIBLING_PARAMS: &[&str] = &[
    "rows",
    "begin",
    "row_bytes",
    "inputs",
    "tokens",
    "second",
    "third",
];

pub(crate) const SPLIT_PARAMS: &[&str] = &[
    "rows",
    "begin",
    "row_bytes",
    "inputs",
    "tokens",
    "split_inputs",
];

/// What products of an expert's items bind.
pub(crate) const fn expert_bindings(input: Binding) -> [Binding; 5] {
    [WEIGHTS, input, read("lists", LISTS), ITEMS, EXPERT_BIASES]
}

/// What the weighted sum of products with experts binds.
pub(crate) const fn expert_sum_bindings(input: Binding) -> [Binding; 5] {
    [WEIGHTS, input, ROUTES, PRODUCT, EXPERT_BIASES]
}

/// What siblings bind after the weights and the activations.
pub(crate) const fn sibling_bindings(input: Binding) -> [Binding; 8] {
    [
        WEIGHTS,
        input,
        BIAS,
        PRODUCT,
        SECOND_BIAS,
        SECOND_PRODUCT,
        THIRD_BIAS,
        THIRD_PRODUCT,
    ]
}

/// The same on matrix units.
pub(crate) const fn sibling_bindings_on_units() -> [Binding; 9] {
    let siblings = sibling_bindings(HALVES_INPUT);
    let mut all = [SCALES; 9];
    let mut index = 0;
    while index < siblings.len() {
        all[index] = siblings[index];
        index += 1;
    }
    all
}

/// What attention binds, beside the cache, and what it has in common.
pub(crate) const QUERIES: Binding = read("q", "[rows, heads, k_quads] four f32");
pub(crate) const STORED_KEYS: &str = "[positions, key heads, k_quads] four as stored";
pub(crate) const STORED_VALUES: &str = "[positions, key heads, v_quads] four as stored";
pub(crate) const ATTENDED: Binding = write("out", "[rows, heads, v_quads] four f32");
pub(crate) const PARTIAL: Binding =
    write("partial", "[splits, tokens, heads, v_quads + 1] four f32");
pub(crate) const NEW_KEYS: Binding = read("k", "[rows, key heads, k_quads] four f32");
pub(crate) const NEW_VALUES: Binding = read("v", "[rows, key heads, v_quads] four f32");
pub(crate) const ANGLES: Binding = read("angles", "[2, rows, pairs / 2] four f32: cosines, sines");
pub(crate) const ATTENTION: Shader = Shader {
    op: Op::Attention,
    shared: &[ACTIVATION, QUANTIZE, ATTEND, ONE_SEQUENCE],
    slots: &[Slot::Cache, Slot::Queries, Slot::Share],
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
        "window",
        "cap",
        "quantized",
        "pairs",
        "halves",
        "rows",
    ],
    overrides: &[],
    workgroup: Workgroup::Queries,
    ..MATVEC
};

/// What attention of several sequences takes.
pub(crate) const BATCH_PARAMS: &[&str] = &[
    "tokens",
    "first_row",
    "heads",
    "group",
    "k_quads",
    "v_quads",
    "splits",
    "split_keys",
    "scale",
    "window",
    "cap",
    "quantized",
    "pairs",
    "halves",
    "rows",
    "position_0",
    "position_1",
    "position_2",
    "position_3",
];

pub(crate) const GATED_PARAMS: &[&str] = &[
    "rows",
    "begin",
    "row_bytes",
    "inputs",
    "tokens",
    "outputs",
    "quantized",
];

/// What gate and up bind, which follow each other in one buffer.
pub(crate) const fn gated_bindings(input: Binding) -> [Binding; 6] {
    [
        WEIGHTS,
        input,
        read("gate_bias", "[outputs] f32"),
        read("up_bias", "[outputs] f32"),
        write("out", "[tokens, outputs] f32"),
        QUANTIZED,
    ]
}

pub(crate) const GATED_EXPERTS_PARAMS: &[&str] = &[
    "first_row",
    "up",
    "row_bytes",
    "inputs",
    "rows_each",
    "outputs",
    "sharing",
    "items",
    "quantized",
];

/// The same of experts.
pub(crate) const fn gated_experts_bindings(input: Binding) -> [Binding; 7] {
    let [weights, input, gate_bias, up_bias, out, quantized] = gated_bindings(input);
    [weights, input, gate_bias, up_bias, out, quantized, ROUTES]
}

pub(crate) const STRETCH_PARAMS: &[&str] = &["rows", "cols", "quantized"];
/// What a layer remembers that has a state: inputs of a convolution, and the matrices of
/// Gated DeltaNet.
pub(crate) const STATE: &str =
    "[width - 1, channels] and [heads, sixteens of columns, rows, 16] f32";
pub(crate) const CONV_PARAMS: &[&str] = &["tokens", "first_row", "channels", "width"];
pub(crate) const EMBED_PARAMS: &[&str] = &["rows", "first_row", "row_bytes", "inputs", "tokens"];
pub(crate) const HEADS_PARAMS: &[&str] = &[
    "rows",
    "first_row",
    "row_bytes",
    "inputs",
    "outputs",
    "heads",
    "tokens",
];
pub(crate) const HEADS: Binding = write("out", "[tokens, heads, outputs] f32");
pub(crate) const PIECES_PARAMS: &[&str] = &["len", "first_width", "second_width"];
pub(crate) const EXPERT_PARAMS: &[&str] = &[
    "rows",
    "first_row",
    "row_bytes",
    "inputs",
    "rows_each",
    "outputs",
    "sharing",
    "tokens",
];
pub(crate) const LISTS: &str = "[experts, 1 + tokens] how many items, and which";
pub(crate) const EXPERT_BIASES: Binding = read("bias", "[experts, outputs] f32");
pub(crate) const ROUTES: Binding = read("routes", "[items] expert, weight");
pub(crate) const ITEMS: Binding = write("out", "[items, outputs] f32");
pub(crate) const TOKENS: Binding = read("tokens", "[tokens] u32");
pub(crate) const EMBEDDED: Binding = write("out", "[tokens, inputs] f32");

/// Weights in a block format.
pub(crate) const BLOCKS: &[File] = &[wgsl!("shared/bytes"), wgsl!("shared/group")];
/// Activations in 8-bit integers as the input.
pub(crate) const INT8_INPUT: &[File] = &[wgsl!("shared/activation"), wgsl!("shared/int8_input")];
/// A few tokens times rows of blocks, and times rows of floats.
pub(crate) const INT8_STEPS: &[File] = &[
    wgsl!("shared/dot"),
    wgsl!("shared/steps"),
    wgsl!("shared/steps_int8"),
];
pub(crate) const FLOAT_STEPS: &[File] = &[wgsl!("shared/steps"), wgsl!("shared/steps_float")];
/// An item times its expert's row, of blocks and of floats.
pub(crate) const INT8_ITEM: &[File] = &[wgsl!("shared/dot"), wgsl!("shared/item_int8")];
pub(crate) const FLOAT_ITEM: &[File] = &[wgsl!("shared/item_float")];
/// Weights that are floats, the ends of their rows, and what they are multiplied
/// with.
pub(crate) const BYTES: &[File] = &[wgsl!("shared/bytes")];
pub(crate) const ROW_END: &[File] = &[wgsl!("shared/row_end")];
pub(crate) const FLOATS: &[File] = &[
    wgsl!("shared/bytes"),
    wgsl!("shared/row_end"),
    wgsl!("shared/float_input"),
];
/// Arithmetic in f16, and matrix units. They stand first.
pub(crate) const HALF: &[File] = &[wgsl!("shared/half")];
pub(crate) const UNITS: &[File] = &[wgsl!("shared/matrix_units")];
/// Where the scales of tokens in f16 are, and the groups that a workgroup
/// multiplies: all.
pub(crate) const HALVES_ALONE: &[File] =
    &[wgsl!("shared/halves_alone"), wgsl!("shared/all_groups")];
pub(crate) const HALVES_SIBLINGS: &[File] =
    &[wgsl!("shared/halves_siblings"), wgsl!("shared/all_groups")];
pub(crate) const HALVES_EXPERTS: &[File] =
    &[wgsl!("shared/halves_experts"), wgsl!("shared/all_groups")];
/// Where sums over splits of the inputs go, and which groups a workgroup multiplies.
pub(crate) const SPLITS: &[File] = &[wgsl!("shared/splits"), wgsl!("shared/weight_row")];
/// Where the products of one matrix go, of several, of experts, and of gate and up.
pub(crate) const ALONE: &[File] = &[wgsl!("shared/product"), wgsl!("shared/weight_row")];
pub(crate) const SIBLINGS: &[File] = &[wgsl!("shared/siblings"), wgsl!("shared/weight_row")];
pub(crate) const GATED: &[File] = &[wgsl!("shared/gated_matrices"), wgsl!("shared/weight_row")];
pub(crate) const GATED_EXPERTS: &[File] = &[wgsl!("shared/gated_experts")];
pub(crate) const EXPERT: &[File] = &[wgsl!("shared/experts")];
pub(crate) const EXPERT_TILES: &[File] = &[wgsl!("shared/experts"), wgsl!("shared/expert_tiles")];
pub(crate) const FLOAT_WEIGHTS: &[File] = &[wgsl!("shared/float_weights")];
/// A tile of rows and tokens.
pub(crate) const TILE: &[File] = &[wgsl!("shared/tile_64")];
/// Floats that become 8-bit integers.
pub(crate) const ACTIVATION: &[File] = &[wgsl!("shared/activation")];
pub(crate) const QUANTIZE: &[File] = &[wgsl!("shared/quantize")];
/// What attention takes and leaves, on matrix units too: beside parameters.
pub(crate) const ATTENTION_ENDS: &[File] = &[wgsl!("shared/attention_ends")];
pub(crate) const SEQUENCE_PARAMS: &[File] = &[wgsl!("shared/sequence_params")];
/// Attention, to the cache of one sequence, with keys and values appended before.
pub(crate) const ATTEND: &[File] = &[wgsl!("shared/attention_ends"), wgsl!("shared/attention")];
pub(crate) const ONE_SEQUENCE: &[File] = &[
    wgsl!("shared/sequence_params"),
    wgsl!("shared/one_sequence"),
];
pub(crate) const APPEND: &[File] = &[wgsl!("shared/append")];
/// Turns of heads.
pub(crate) const TURN: &[File] = &[wgsl!("shared/turn")];
/// The entry point of operations on fours of rows.
pub(crate) const GATE: &[File] = &[wgsl!("shared/gate")];
pub(crate) const STRETCH: &[File] = &[wgsl!("shared/stretch")];
pub(crate) const EMBEDDING: &[File] = &[wgsl!("shared/embedding")];
pub(crate) const PIECES: &[File] = &[wgsl!("shared/pieces")];

/// What products have in common, of one matrix and of siblings, for few tokens
/// and for many; and what operations on elements have.
pub(crate) const MATVEC: Shader = Shader {
    op: Op::MatvecInt8,
    file: wgsl!("matvec"),
    shared: &[],
    slots: &[],
    bindings: &[],
    params: PRODUCT_PARAMS,
    needs: Needs::Nothing,
    overrides: &["ADD", "BIAS"],
    workgroup: Workgroup::Rows(8),
};
pub(crate) const ELEMENTS: Shader = Shader {
    overrides: &[],
    workgroup: Workgroup::Elements(64),
    ..MATVEC
};
pub(crate) const MATMUL: Shader = Shader {
    overrides: &["ADD", "BIAS"],
    workgroup: Workgroup::Tile(64),
    ..MATVEC
};
pub(crate) const EXPERT_MATMUL: Shader = Shader {
    params: EXPERT_PARAMS,
    overrides: &["BIAS"],
    ..MATMUL
};
pub(crate) const SIBLING_MATVEC: Shader = Shader {
    params: SIBLING_PARAMS,
    overrides: &["BIAS"],
    ..MATVEC
};
pub(crate) const SIBLING_MATMUL: Shader = Shader {
    params: SIBLING_PARAMS,
    overrides: &["BIAS"],
    ..MATMUL
};
