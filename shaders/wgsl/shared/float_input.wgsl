// Activations [rows, inputs] as floats.

@group(0) @binding(1) var<storage, read> x: array<f32>;

// Four values of a row; zero past its end.
fn x_4(row: u32, index: u32) -> vec4<f32> {
    let at = row * params.inputs + index;
    return within(vec4(x[at], x[at + 1u], x[at + 2u], x[at + 3u]), index, params.inputs);
}
