// gate = silu(gate) * up; and the result as 8-bit integers.

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> quantized: array<Activation>;

fn kernel(index: u32, begin: u32, count: u32) {
    var values: array<f32, 32>;
    for (var i = 0u; i < count; i += 1u) {
        let value = gate[begin + i];
        values[i] = value / (1.0 + exp(-value)) * up[begin + i];
        gate[begin + i] = values[i];
    }
    if params.quantized != 0u {
        quantized[index] = quantize(&values);
    }
}
