// Products of two or three matrices with the same activations, in one dispatch:
// the rows of the matrices follow each other in one buffer.

struct Params {
    // Rows of all matrices, and where in the buffer the first of them is.
    rows: u32,
    begin: u32,
    // Bytes of a row.
    row_bytes: u32,
    // Inputs k: weights in a row.
    inputs: u32,
    // Tokens m.
    tokens: u32,
    // The first rows of the second and of the third matrix; `rows` if there is
    // no third.
    second: u32,
    third: u32,
}

@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> second_bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> second_out: array<f32>;
@group(0) @binding(6) var<storage, read> third_bias: array<f32>;
@group(0) @binding(7) var<storage, read_write> third_out: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether all products have a bias added.
override BIAS: bool = false;

// Stores the product of a row and a token where the row's matrix has it.
fn store(row: u32, token: u32, product: f32) {
    if row >= params.rows || token >= params.tokens {
        return;
    }
    var value = product;
    if row < params.second {
        if BIAS {
            value += bias[row];
        }
        out[token * params.second + row] = value;
    } else if row < params.third {
        let output = row - params.second;
        if BIAS {
            value += second_bias[output];
        }
        second_out[token * (params.third - params.second) + output] = value;
    } else {
        let output = row - params.third;
        if BIAS {
            value += third_bias[output];
        }
        third_out[token * (params.rows - params.third) + output] = value;
    }
}
