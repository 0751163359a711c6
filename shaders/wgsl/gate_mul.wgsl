// gate = gated(gate, up), or activated(gate) where nothing is gated; and the result as
// 8-bit integers.

// Whether nothing is gated.
override ALONE: bool = false;

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> quantized: array<u32>;

fn result(at: u32) -> f32 {
    if ALONE {
        return activated(gate[at]);
    }
    return gated(gate[at], up[at]);
}

fn kernel(begin: u32, count: u32) -> vec4<f32> {
    var four: vec4<f32>;
    for (var i = 0u; i < 4u; i += 1u) {
        if i < count {
            four[i] = result(begin + i);
            gate[begin + i] = four[i];
        }
    }
    return four;
}
