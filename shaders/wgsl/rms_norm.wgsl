// out = x / sqrt(mean(x^2) + eps) * weight, row by row, or what it has plus that;
// and the same row as 8-bit integers for the products that follow. A workgroup has a row, a lane
// every LANES-th four of it; of these it keeps the first and reads the others
// twice.

struct Params {
    // Values in a row.
    cols: u32,
    // Whether groups are quantized; `cols` is then a multiple of 32.
    quantized: u32,
    eps: f32,
    // Whether it is added to what is there.
    added: u32,
}

@group(0) @binding(3) var<storage, read_write> quantized: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const VALUES: u32 = 1u;

var<workgroup> row_scale: f32;

// Stores a four of the result.
fn put(four: vec4<f32>, row: u32, quad: u32, lane: u32) {
    if params.added != 0u {
        put_4(out_4(row, quad) + four, row, quad);
        return;
    }
    put_4(four, row, quad);
    if params.quantized != 0u {
        quantize(four, lane, row, quad, params.cols / 32u, quad * 4u < params.cols);
    }
}

fn kernel(row: u32, unused: u32, lane: u32) {
    let quads = (params.cols + 3u) / 4u;
    // Past the end of the row there are zeros.
    let kept = x_4(row, min(lane, quads));
    let weights = weight_4(min(lane, quads));
    var squares = array<f32, VALUES>(dot(kept, kept));
    for (var quad = lane + LANES; quad < quads; quad += LANES) {
        let four = x_4(row, quad);
        squares[0] += dot(four, four);
    }
    let sum = reduce(&squares, lane);
    if lane == 0u {
        row_scale = 1.0 / sqrt(sum / f32(params.cols) + params.eps);
    }
    workgroupBarrier();
    let scale = row_scale;
    put(kept * scale * weights, row, lane, lane);
    for (var first = LANES; first < quads; first += LANES) {
        let quad = first + lane;
        put(x_4(row, quad) * scale * weight_4(quad), row, quad, lane);
    }
}
