// Activations as 8-bit integers, for products with block formats.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> quantized: array<u32>;

fn kernel(begin: u32, count: u32) -> vec4<f32> {
    return vec4(x[begin], x[begin + 1u], x[begin + 2u], x[begin + 3u]);
}
