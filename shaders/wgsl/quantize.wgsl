// Activations as 8-bit integers, for products with block formats.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> quantized: array<Activation>;

fn kernel(index: u32, begin: u32, count: u32) {
    var values: array<f32, 32>;
    for (var i = 0u; i < count; i += 1u) {
        values[i] = x[begin + i];
    }
    quantized[index] = quantize(&values);
}
