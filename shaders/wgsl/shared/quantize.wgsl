// Leaves values as 8-bit integers. Lanes hold four values each, neighbouring
// lanes neighbouring fours, eight lanes a group; all lanes of the workgroup come
// here together, LANES of them. The operation has the binding `quantized`.

var<workgroup> magnitudes: array<f32, LANES>;
var<workgroup> sums_of_q: array<i32, LANES>;

// The largest magnitude of a group divided by 127, rounded up to a power of two
// times 1, 9/8, 10/8, 12/8, 14/8 or 15/8; a little above one of these, down.
fn scale_for(amax: f32) -> f32 {
    let bits = (bitcast<u32>(amax / 127.0) + 0x000ffff0u) & 0xfff00000u;
    let eighths = (bits >> 20u) & 7u;
    return bitcast<f32>(bits + (((0x28u >> eighths) & 1u) << 20u));
}

// Quantizes a lane's four, number `quad` of row `row`, a row having so many
// groups; of a lane that has none, nothing is stored.
fn quantize(four: vec4<f32>, lane: u32, row: u32, quad: u32, groups: u32, has_four: bool) {
    let magnitude = abs(four);
    magnitudes[lane] = max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w));
    workgroupBarrier();
    let first = lane & ~7u;
    var amax = 0.0;
    for (var i = 0u; i < 8u; i += 1u) {
        amax = max(amax, magnitudes[first + i]);
    }
    var d = 0.0;
    var q = vec4(0);
    if amax >= AMAX_FLOOR {
        d = scale_for(amax);
        // Rounding may carry the largest value past 127.
        q = clamp(vec4<i32>(round(four * (1.0 / d))), vec4(-127), vec4(127));
    }
    sums_of_q[lane] = q.x + q.y + q.z + q.w;
    workgroupBarrier();
    if !has_four {
        return;
    }
    let index = quad >> 3u;
    let place = quad & 7u;
    let planes = row * PLANES * groups + index;
    quantized[(planes + (place >> 2u) * groups) * 4u + (place & 3u)] = pack4xI8(q);
    if place == 0u {
        let scales = (planes + 2u * groups) * 4u;
        var sums = vec2(0);
        for (var i = 0u; i < 4u; i += 1u) {
            sums += vec2(sums_of_q[first + i], sums_of_q[first + 4u + i]);
        }
        quantized[scales] = bitcast<u32>(d);
        quantized[scales + 1u] = bitcast<u32>(sums.x);
        quantized[scales + 2u] = bitcast<u32>(sums.y);
    }
}
