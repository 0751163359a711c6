// hidden = gated(gate, up), of two products with the same activations. A workgroup
// makes 32 values of each of its tokens, which it also leaves as 8-bit integers; a step
// takes the same rows of each matrix, two or one. Another file says where these are
// (`gated_row`), which bias belongs to them (`gated_bias`), and how many rows of
// hidden values there are (`hidden_rows`).

@group(0) @binding(2) var<storage, read> gate_bias: array<f32>;
@group(0) @binding(3) var<storage, read> up_bias: array<f32>;
// [tokens or items, outputs]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
// [tokens or items, outputs / 32] activations
@group(0) @binding(5) var<storage, read_write> quantized: array<u32>;

// Whether both products have a bias added.
override BIAS: bool = false;

// Of each matrix.
const ROWS: u32 = 32u;
// Of 8 tokens, registers hold the weights of a row of each, and not all tokens.
const AT_ONCE: u32 = select(4u, 2u, TOKENS == 8u);
const STEPS: u32 = 2u * ROWS / AT_ONCE;
const WEIGHTS_FIRST: bool = TOKENS == 8u;
const QUADS: u32 = ROWS / 4u;

// [TOKENS][ROWS]
var<workgroup> hidden: array<f32, TOKENS * ROWS>;

// The rows of a step: gate and up of an output, then of the next.
fn step_row(tile: u32, token: u32, step: u32, r: u32) -> u32 {
    let output = tile * ROWS + step * (AT_ONCE / 2u) + r / 2u;
    return gated_row(token, output, r % 2u);
}

// [STEPS][AT_ONCE][TOKENS]
var<workgroup> products: array<f32, STEPS * VALUES>;

fn take(tile: u32, token: u32, step: u32, i: u32, product: f32) {
    products[step * VALUES + i] = product;
}

fn finish(tile: u32, token: u32, lane: u32) {
    workgroupBarrier();
    let first = tile * ROWS;
    for (var i = lane; i < TOKENS * ROWS; i += LANES) {
        let row = i % ROWS;
        let at = row * 2u * TOKENS + i / ROWS;
        var gate = products[at];
        var up = products[at + TOKENS];
        let output = min(first + row, params.outputs - 1u);
        if BIAS {
            let bias = gated_bias(token + i / ROWS, output);
            gate += gate_bias[bias];
            up += up_bias[bias];
        }
        let value = gated(gate, up);
        hidden[i] = value;
        if first + row < params.outputs && token + i / ROWS < hidden_rows() {
            out[(token + i / ROWS) * params.outputs + output] = value;
        }
    }
    workgroupBarrier();
    if params.quantized != 0u {
        var four: vec4<f32>;
        if lane < TOKENS * QUADS {
            let at = lane * 4u;
            four = vec4(hidden[at], hidden[at + 1u], hidden[at + 2u], hidden[at + 3u]);
        }
        let row = token + lane / QUADS;
        let has_four = lane < TOKENS * QUADS && row < hidden_rows();
        quantize(four, lane, row, tile * QUADS + lane % QUADS, params.outputs / 32u, has_four);
    }
}
