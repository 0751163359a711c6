// Rows of any length, read and written value by value.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;

// A four of a row; zeros past its end.
fn x_4(row: u32, quad: u32) -> vec4<f32> {
    let at = row * params.cols + quad * 4u;
    return within(vec4(x[at], x[at + 1u], x[at + 2u], x[at + 3u]), quad * 4u, params.cols);
}

// A four of the weights of such a row, and of its bias.
fn weight_4(which: u32, quad: u32) -> vec4<f32> {
    let at = which * params.cols + quad * 4u;
    return vec4(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]);
}

fn bias_4(which: u32, quad: u32) -> vec4<f32> {
    let at = which * params.cols + quad * 4u;
    return vec4(bias[at], bias[at + 1u], bias[at + 2u], bias[at + 3u]);
}

fn out_4(row: u32, quad: u32) -> vec4<f32> {
    let at = row * params.cols + quad * 4u;
    return vec4(out[at], out[at + 1u], out[at + 2u], out[at + 3u]);
}

// Stores a four of a row, and nothing past its end.
fn put_4(four: vec4<f32>, row: u32, quad: u32) {
    for (var i = 0u; i < 4u; i += 1u) {
        if quad * 4u + i < params.cols {
            out[row * params.cols + quad * 4u + i] = four[i];
        }
    }
}
