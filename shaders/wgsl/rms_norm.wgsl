// out = x / sqrt(mean(x^2) + eps) * weight, row by row; and the same row as
// 8-bit integers for the products that follow. A workgroup has a row.

struct Params {
    // Values in a row.
    cols: u32,
    // Groups in a row to be quantized: cols / 32, or 0 if nobody wants them.
    groups: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read_write> quantized: array<Activation>;
@group(1) @binding(0) var<uniform> params: Params;

override LANES: u32 = 256u;
const MAX_LANES: u32 = 256u;
const VALUES: u32 = 1u;

var<workgroup> row_scale: f32;

fn normed(begin: u32, index: u32) -> f32 {
    return x[begin + index] * row_scale * weight[index];
}

fn kernel(row: u32, unused: u32, lane: u32) {
    let begin = row * params.cols;
    var squares: array<f32, VALUES>;
    for (var i = lane; i < params.cols; i += LANES) {
        let value = x[begin + i];
        squares[0] = fma(value, value, squares[0]);
    }
    let sum = reduce(&squares, lane);
    if lane == 0u {
        row_scale = 1.0 / sqrt(sum / f32(params.cols) + params.eps);
    }
    workgroupBarrier();
    for (var i = lane; i < params.cols; i += LANES) {
        out[begin + i] = normed(begin, i);
    }
    for (var group = lane; group < params.groups; group += LANES) {
        var values: array<f32, 32>;
        for (var i = 0u; i < 32u; i += 1u) {
            values[i] = normed(begin, group * 32u + i);
        }
        quantized[row * params.groups + group] = quantize(&values);
    }
}
