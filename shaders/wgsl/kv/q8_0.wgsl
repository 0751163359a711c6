// Keys and values as 8-bit integers, 32 with a scale:
//
//     word   0       7   8
//          | q [32]    | d |        value = d * q
//
// d = amax / 127 rounded to binary16, q = round(x / d), as on the CPU. The scale
// is kept as an f32, so that a block is whole words.

alias Stored = u32;

// Fours that are stored together, and in how many elements.
const QUADS: u32 = 8u;
const ELEMENTS: u32 = 9u;

// Where a four lies, and its scale.
fn place(quad: u32) -> u32 {
    return quad / QUADS * ELEMENTS + quad % QUADS;
}

fn scale_place(quad: u32) -> u32 {
    return quad / QUADS * ELEMENTS + QUADS;
}

fn widen(stored: Stored, scale: Stored) -> vec4<f32> {
    return vec4<f32>(unpack4xI8(stored)) * bitcast<f32>(scale);
}

fn narrow(values: ptr<function, array<vec4<f32>, QUADS>>) -> array<Stored, ELEMENTS> {
    var largest = vec4(0.0);
    for (var i = 0u; i < QUADS; i += 1u) {
        largest = max(largest, abs((*values)[i]));
    }
    let amax = max(max(largest.x, largest.y), max(largest.z, largest.w));
    let d = unpack2x16float(pack2x16float(vec2(amax / 127.0, 0.0))).x;
    var out: array<Stored, ELEMENTS>;
    if d > 0.0 {
        for (var i = 0u; i < QUADS; i += 1u) {
            let q = clamp(round((*values)[i] * (1.0 / d)), vec4(-127.0), vec4(127.0));
            out[i] = pack4xI8(vec4<i32>(q));
        }
        out[QUADS] = bitcast<u32>(d);
    }
    return out;
}
