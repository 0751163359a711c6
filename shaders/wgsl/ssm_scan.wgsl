// Selective state spaces as Mamba-2 has them: a head's matrix decays by a factor of each
// token's, that token is added, and C reads it (Dao and Gu, 2024). Columns of a matrix
// never meet: a workgroup has eight of a head, in its memory, for all tokens of a
// sequence.
//
//     lane = (column, every sixteenth row of the matrix)

struct Params {
    // Tokens of the sequence in this step, and the row of the first.
    tokens: u32,
    first_row: u32,
    // Heads, the groups of them that share B and C, and their width.
    heads: u32,
    groups: u32,
    dim: u32,
    // Width of B and of C, rows of a matrix: at most MOST.
    rows: u32,
    channels: u32,
    // Where in the state the matrices begin.
    matrices: u32,
}

// [rows, channels]: heads, groups of B, groups of C
@group(0) @binding(0) var<storage, read> mixed: array<f32>;
// [rows, heads]
@group(0) @binding(1) var<storage, read> steps: array<f32>;
// [heads]: factor of the decay, what is added to steps, and what is let through
@group(0) @binding(2) var<storage, read> decay: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> through: array<f32>;
// the last inputs, and [heads, sixteens of columns, rows, 16]
@group(0) @binding(5) var<storage, read_write> state: array<f32>;
// [rows, heads, dim]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 128u;
const COLUMNS: u32 = 8u;
const PARTS: u32 = LANES / COLUMNS;
const MOST: u32 = 256u;

// [rows][COLUMNS]
var<workgroup> matrix: array<f32, MOST * COLUMNS>;
var<workgroup> b: array<f32, MOST>;
var<workgroup> c: array<f32, MOST>;
// [PARTS][COLUMNS]
var<workgroup> sums: array<f32, LANES>;

// ln(1 + exp(x)): what exceeds max(x, 0) as a series in s = e / (2 + e), below 1/3, since
// the sum would forget most of a small e.
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = e / (2.0 + e);
    let square = s * s;
    var sum = 1.0 / 15.0;
    for (var k = 6u; k > 0u; k -= 1u) {
        sum = fma(sum, square, 1.0 / f32(2u * k + 1u));
    }
    sum = fma(sum, square, 1.0);
    return fma(2.0 * s, sum, select(x, 0.0, x < 0.0));
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let unit = workgroup.x + workgroup.y * workgroups.x;
    // Which column of all heads, and where it is among sixteen in the state.
    let column = unit * COLUMNS + lane % COLUMNS;
    let head = unit * COLUMNS / params.dim;
    let begin = params.matrices + column / 16u * params.rows * 16u + column % 16u;
    let values = params.heads * params.dim;
    let group = head / (params.heads / params.groups) * params.rows;
    let part = lane / COLUMNS;
    // A lane's elements are its own until the end.
    for (var i = part; i < params.rows; i += PARTS) {
        matrix[i * COLUMNS + lane % COLUMNS] = state[begin + i * 16u];
    }
    for (var token = 0u; token < params.tokens; token += 1u) {
        let row = params.first_row + token;
        let at = row * params.channels;
        for (var i = lane; i < params.rows; i += LANES) {
            b[i] = mixed[at + values + group + i];
            c[i] = mixed[at + values + params.groups * params.rows + group + i];
        }
        workgroupBarrier();
        let dt = softplus(steps[row * params.heads + head] + bias[head]);
        let kept = exp(decay[head] * dt);
        let x = mixed[at + column];
        var result = 0.0;
        for (var i = part; i < params.rows; i += PARTS) {
            let value = fma(x * dt, b[i], matrix[i * COLUMNS + lane % COLUMNS] * kept);
            matrix[i * COLUMNS + lane % COLUMNS] = value;
            result = fma(value, c[i], result);
        }
        sums[lane] = result;
        workgroupBarrier();
        if part == 0u {
            var sum = 0.0;
            for (var i = 0u; i < PARTS; i += 1u) {
                sum += sums[i * COLUMNS + lane];
            }
            out[row * values + column] = fma(x, through[head], sum);
        }
        workgroupBarrier();
    }
    for (var i = part; i < params.rows; i += PARTS) {
        state[begin + i * 16u] = matrix[i * COLUMNS + lane % COLUMNS];
    }
}
