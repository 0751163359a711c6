// Rows of whole fours, read and written as vectors.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;

// A four of a row; zeros past its end.
fn x_4(row: u32, quad: u32) -> vec4<f32> {
    let quads = params.cols / 4u;
    return select(vec4(0.0), x[row * quads + quad], quad < quads);
}

// A four of the weights of such a row, and of its bias.
fn weight_4(which: u32, quad: u32) -> vec4<f32> {
    return weight[which * (params.cols / 4u) + quad];
}

fn bias_4(which: u32, quad: u32) -> vec4<f32> {
    return bias[which * (params.cols / 4u) + quad];
}

fn out_4(row: u32, quad: u32) -> vec4<f32> {
    let quads = params.cols / 4u;
    return out[row * quads + min(quad, quads - 1u)];
}

// Stores a four of a row, and nothing past its end.
fn put_4(four: vec4<f32>, row: u32, quad: u32) {
    let quads = params.cols / 4u;
    if quad < quads {
        out[row * quads + quad] = four;
    }
}
