// Makes an Activation of 32 values.

fn quantize(x: ptr<function, array<f32, 32>>) -> Activation {
    var amax = 0.0;
    for (var i = 0u; i < 32u; i += 1u) {
        amax = max(amax, abs((*x)[i]));
    }
    var out: Activation;
    if amax < AMAX_FLOOR {
        return out;
    }
    let scale = 127.0 / amax;
    var sums = vec2(0);
    for (var word = 0u; word < 8u; word += 1u) {
        let i = word * 4u;
        let values = vec4((*x)[i], (*x)[i + 1u], (*x)[i + 2u], (*x)[i + 3u]);
        // Rounding may carry the largest value past 127.
        let q = clamp(vec4<i32>(round(values * scale)), vec4(-127), vec4(127));
        let packed = pack4xI8(q);
        let half = word >> 2u;
        sums[half] += q.x + q.y + q.z + q.w;
        if half == 0u {
            out.low[word & 3u] = packed;
        } else {
            out.high[word & 3u] = packed;
        }
    }
    out.d = amax / 127.0;
    out.sum_low = out.d * f32(sums.x);
    out.sum_high = out.d * f32(sums.y);
    return out;
}
