// out = x / sqrt(mean(x^2) + eps) * weight, row by row; and the same row as
// 8-bit integers for the products that follow. A workgroup has a row, a lane
// every LANES-th four of it; of these it keeps the first KEPT and reads the
// others twice.

struct Params {
    // Values in a row.
    cols: u32,
    // Whether groups are quantized; `cols` is then a multiple of 32.
    quantized: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read_write> quantized: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 256u;
const VALUES: u32 = 1u;
const KEPT: u32 = 4u;

var<workgroup> row_scale: f32;

fn x_4(row: u32, quad: u32) -> vec4<f32> {
    let at = row * params.cols + quad * 4u;
    return within(vec4(x[at], x[at + 1u], x[at + 2u], x[at + 3u]), quad * 4u, params.cols);
}

fn weight_4(quad: u32) -> vec4<f32> {
    let at = quad * 4u;
    return vec4(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]);
}

// Stores a four of the result.
fn put(four: vec4<f32>, row: u32, quad: u32, lane: u32) {
    for (var i = 0u; i < 4u; i += 1u) {
        if quad * 4u + i < params.cols {
            out[row * params.cols + quad * 4u + i] = four[i];
        }
    }
    if params.quantized != 0u {
        quantize(four, lane, row, quad, params.cols / 32u, quad * 4u < params.cols);
    }
}

fn kernel(row: u32, unused: u32, lane: u32) {
    let quads = (params.cols + 3u) / 4u;
    var kept: array<vec4<f32>, KEPT>;
    var weights: array<vec4<f32>, KEPT>;
    var squares: array<f32, VALUES>;
    for (var k = 0u; k < KEPT; k += 1u) {
        kept[k] = x_4(row, min(lane + k * LANES, quads));
        weights[k] = weight_4(min(lane + k * LANES, quads));
        squares[0] += dot(kept[k], kept[k]);
    }
    for (var quad = lane + KEPT * LANES; quad < quads; quad += LANES) {
        let four = x_4(row, quad);
        squares[0] += dot(four, four);
    }
    let sum = reduce(&squares, lane);
    if lane == 0u {
        row_scale = 1.0 / sqrt(sum / f32(params.cols) + params.eps);
    }
    workgroupBarrier();
    let scale = row_scale;
    for (var k = 0u; k < KEPT; k += 1u) {
        if k * LANES < quads {
            put(kept[k] * scale * weights[k], row, lane + k * LANES, lane);
        }
    }
    for (var first = KEPT * LANES; first < quads; first += LANES) {
        let quad = first + lane;
        put(x_4(row, quad) * scale * weight_4(quad), row, quad, lane);
    }
}
