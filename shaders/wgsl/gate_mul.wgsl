// gate = gated(gate, up); and the result as 8-bit integers.

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> quantized: array<u32>;

fn kernel(begin: u32, count: u32) -> vec4<f32> {
    var four: vec4<f32>;
    for (var i = 0u; i < 4u; i += 1u) {
        if i < count {
            four[i] = gated(gate[begin + i], up[begin + i]);
            gate[begin + i] = four[i];
        }
    }
    return four;
}
