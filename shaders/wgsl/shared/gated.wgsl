// hidden = silu(gate) * up, of two products with the same activations: the rows
// of `up` follow those of `gate` in one buffer. A workgroup makes 32 values of
// each of its tokens, which it also leaves as 8-bit integers; its teams of lanes
// take their rows in turn, PAIRS rows of each matrix at a time.

struct Params {
    // Rows of both matrices, and where in the buffer the first of them is.
    rows: u32,
    begin: u32,
    // Bytes of a row.
    row_bytes: u32,
    // Inputs k: weights in a row.
    inputs: u32,
    // Tokens m.
    tokens: u32,
    // Outputs n: rows of each matrix.
    outputs: u32,
    // Whether groups are quantized; `outputs` is then a multiple of 32.
    quantized: u32,
}

@group(0) @binding(2) var<storage, read> gate_bias: array<f32>;
@group(0) @binding(3) var<storage, read> up_bias: array<f32>;
// [tokens, outputs]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
// [tokens, outputs / 32]
@group(0) @binding(5) var<storage, read_write> quantized: array<Activation>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether both products have a bias added.
override BIAS: bool = false;

const ROWS: u32 = 32u;
const PAIRS: u32 = 2u;
const STEPS: u32 = ROWS / PAIRS;
const VALUES: u32 = 2u * PAIRS * TOKENS;

// [STEPS][PAIRS][gate, up][TOKENS]
var<workgroup> products: array<f32, STEPS * VALUES>;
// [TOKENS][ROWS]
var<workgroup> hidden: array<f32, TOKENS * ROWS>;

fn quad_at(index: u32) -> vec4<f32> {
    let at = index * 4u;
    return vec4(hidden[at], hidden[at + 1u], hidden[at + 2u], hidden[at + 3u]);
}

// Byte at which row `row` of a workgroup's gate or of its up begins.
fn paired_row(row: u32, is_up: u32) -> u32 {
    return weight_row(row + is_up * params.outputs);
}

fn kernel(tile: u32, token_tile: u32, lane: u32) {
    let first = tile * ROWS;
    let token = token_tile * TOKENS;
    for (var step = 0u; step < STEPS; step += teams) {
        let own = step + team;
        var sums: array<f32, VALUES>;
        if own < STEPS {
            add_products(first + own * PAIRS, token, &sums);
        }
        add_team(&sums, own * VALUES, lane);
    }
    workgroupBarrier();
    for (var i = lane; i < TOKENS * ROWS; i += LANES) {
        let row = i % ROWS;
        let at = row * 2u * TOKENS + i / ROWS;
        var gate = products[at];
        var up = products[at + TOKENS];
        let output = min(first + row, params.outputs - 1u);
        if BIAS {
            gate += gate_bias[output];
            up += up_bias[output];
        }
        let value = gate / (1.0 + exp(-gate)) * up;
        hidden[i] = value;
        if first + row < params.outputs && token + i / ROWS < params.tokens {
            out[(token + i / ROWS) * params.outputs + output] = value;
        }
    }
    workgroupBarrier();
    if params.quantized != 0u && lane < TOKENS && token + lane < params.tokens {
        quantized[(token + lane) * (params.outputs / ROWS) + tile] = quantize_quads(lane * 8u);
    }
}
