// Activations [rows, inputs / 32] as 8-bit integers.

@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;

fn activation(row: u32, index: u32) -> Activation {
    let groups = row_groups();
    let at = row * PLANES * groups + index;
    let scales = x[at + 2u * groups];
    return Activation(
        x[at],
        x[at + groups],
        bitcast<f32>(scales.x),
        bitcast<vec2<i32>>(scales.yz),
    );
}
