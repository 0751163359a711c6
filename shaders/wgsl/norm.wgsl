// out = (x - mean) / sqrt(mean((x - mean)^2) + eps) * weight + bias, row by row, or what it
// has plus that; the mean that is taken away is that of a layer norm, and 0 in an RMS norm. And
// the same row as 8-bit integers for the products that follow. A workgroup has a row, a lane
// every LANES-th four of it; of these it keeps the first and reads the others again for
// each sum and for the result.

struct Params {
    // Values in a row.
    cols: u32,
    // Whether groups are quantized; `cols` is then a multiple of 32.
    quantized: u32,
    eps: f32,
    // Whether it is added to what is there.
    added: u32,
    // Rows take turns with the weights of so many.
    weights: u32,
}

// Whether it is a layer norm.
override LAYER: bool = false;
// Whether there is a bias.
override BIAS: bool = false;

@group(0) @binding(3) var<storage, read_write> quantized: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const VALUES: u32 = 1u;

var<workgroup> row_sum: f32;

// Gives every lane the sum of everyone's value.
fn sum_of(value: f32, lane: u32) -> f32 {
    var values = array<f32, VALUES>(value);
    let sum = reduce(&values, lane);
    if lane == 0u {
        row_sum = sum;
    }
    workgroupBarrier();
    return row_sum;
}

// A four of a row less its mean; zeros past its end.
fn centered(four: vec4<f32>, quad: u32, mean: f32) -> vec4<f32> {
    if LAYER {
        return within(four - mean, quad * 4u, params.cols);
    }
    return four;
}

// Stores a four of the result, made of one that is centered and scaled.
fn put(normed: vec4<f32>, weights: vec4<f32>, row: u32, quad: u32, lane: u32) {
    var four = normed * weights;
    if BIAS {
        four += bias_4(row % params.weights, quad);
    }
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
    let which = row % params.weights;
    // Past the end of the row there are zeros.
    var kept = x_4(row, min(lane, quads));
    let weights = weight_4(which, min(lane, quads));
    var mean = 0.0;
    if LAYER {
        var four = kept;
        for (var quad = lane + LANES; quad < quads; quad += LANES) {
            four += x_4(row, quad);
        }
        mean = sum_of(dot(four, vec4(1.0)), lane) / f32(params.cols);
        kept = centered(kept, lane, mean);
    }
    var squares = dot(kept, kept);
    for (var quad = lane + LANES; quad < quads; quad += LANES) {
        let four = centered(x_4(row, quad), quad, mean);
        squares += dot(four, four);
    }
    let scale = 1.0 / sqrt(sum_of(squares, lane) / f32(params.cols) + params.eps);
    put(kept * scale, weights, row, lane, lane);
    for (var first = LANES; first < quads; first += LANES) {
        let quad = first + lane;
        let four = centered(x_4(row, quad), quad, mean);
        put(four * scale, weight_4(which, quad), row, quad, lane);
    }
}
