// The delta rule: what a head's matrix recalls of a key is corrected towards the
// value, and the query reads it (Yang et al., 2024). Columns of a matrix never meet:
// a workgroup has sixteen of a head, in its memory, for all tokens of a sequence.
//
//     lane = (column, every eighth row of the matrix)

struct Params {
    // Tokens of the sequence in this step, and the row of the first.
    tokens: u32,
    first_row: u32,
    // Heads of keys and of values, and their width: at most MOST.
    key_heads: u32,
    heads: u32,
    dim: u32,
    channels: u32,
    // Where in the state the matrices begin.
    matrices: u32,
    // Of the norms of queries and keys.
    eps: f32,
    // Heads of values in a row that have the same key head.
    in_a_row: u32,
}

// [rows, channels]: heads of queries, of keys, of values
@group(0) @binding(0) var<storage, read> mixed: array<f32>;
// [rows, heads]
@group(0) @binding(1) var<storage, read> alpha: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
// [heads]: factor of the decay, and what is added to alpha
@group(0) @binding(3) var<storage, read> decay: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
// the last inputs, and [heads, sixteens of columns, dim, 16]
@group(0) @binding(5) var<storage, read_write> state: array<f32>;
// [rows, heads, dim]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 128u;
const COLUMNS: u32 = 16u;
const PARTS: u32 = LANES / COLUMNS;
const MOST: u32 = 128u;

// [dim][COLUMNS]
var<workgroup> matrix: array<f32, MOST * COLUMNS>;
var<workgroup> query: array<f32, MOST>;
var<workgroup> key: array<f32, MOST>;
// [PARTS][COLUMNS]
var<workgroup> sums: array<f32, LANES>;
// Of the query and of the key, [2][PARTS].
var<workgroup> squares: array<f32, 2u * PARTS>;

// The sum of a column's parts. All lanes come here together.
fn sum_of(part: f32, lane: u32) -> f32 {
    sums[lane] = part;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < PARTS; i += 1u) {
        sum += sums[i * COLUMNS + lane % COLUMNS];
    }
    workgroupBarrier();
    return sum;
}

fn softplus(x: f32) -> f32 {
    return select(log(1.0 + exp(x)), x, x > 20.0);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let unit = workgroup.x + workgroup.y * workgroups.x;
    let head = unit / (params.dim / COLUMNS);
    let begin = params.matrices + unit * params.dim * COLUMNS;
    let keys = params.key_heads * params.dim;
    let key_head = head / params.in_a_row % params.key_heads * params.dim;
    let part = lane / COLUMNS;
    for (var i = lane; i < params.dim * COLUMNS; i += LANES) {
        matrix[i] = state[begin + i];
    }
    workgroupBarrier();
    for (var token = 0u; token < params.tokens; token += 1u) {
        let row = params.first_row + token;
        let at = row * params.channels;
        if lane < params.dim {
            query[lane] = mixed[at + key_head + lane];
            key[lane] = mixed[at + keys + key_head + lane];
        }
        workgroupBarrier();
        if lane < 2u * PARTS {
            var sum = 0.0;
            for (var i = lane % PARTS; i < params.dim; i += PARTS) {
                let value = select(key[i], query[i], lane < PARTS);
                sum = fma(value, value, sum);
            }
            squares[lane] = sum;
        }
        workgroupBarrier();
        var query_norm = params.eps;
        var key_norm = params.eps;
        for (var i = 0u; i < PARTS; i += 1u) {
            query_norm += squares[i];
            key_norm += squares[PARTS + i];
        }
        query_norm = 1.0 / sqrt(query_norm * f32(params.dim));
        key_norm = 1.0 / sqrt(key_norm);
        let gate = row * params.heads + head;
        let kept = exp(decay[head] * softplus(alpha[gate] + bias[head]));
        let corrected = 1.0 / (1.0 + exp(-beta[gate]));

        var recalled = 0.0;
        for (var i = part; i < params.dim; i += PARTS) {
            let value = matrix[i * COLUMNS + lane % COLUMNS] * kept;
            matrix[i * COLUMNS + lane % COLUMNS] = value;
            recalled = fma(value, key[i] * key_norm, recalled);
        }
        recalled = sum_of(recalled, lane);
        let values = at + 2u * keys + unit * COLUMNS;
        let delta = (mixed[values + lane % COLUMNS] - recalled) * corrected;
        var result = 0.0;
        for (var i = part; i < params.dim; i += PARTS) {
            let value = fma(delta, key[i] * key_norm, matrix[i * COLUMNS + lane % COLUMNS]);
            matrix[i * COLUMNS + lane % COLUMNS] = value;
            result = fma(value, query[i] * query_norm, result);
        }
        result = sum_of(result, lane);
        if part == 0u {
            out[row * params.heads * params.dim + unit * COLUMNS + lane] = result;
        }
    }
    for (var i = lane; i < params.dim * COLUMNS; i += LANES) {
        state[begin + i] = matrix[i];
    }
}
