// Activations [tokens, inputs] as floats.

@group(0) @binding(1) var<storage, read> x: array<f32>;

// Four values of a token; zero past the end of its row.
fn x_4(token: u32, index: u32) -> vec4<f32> {
    let at = min(token, params.tokens - 1u) * params.inputs + index;
    return within(vec4(x[at], x[at + 1u], x[at + 2u], x[at + 3u]), index, params.inputs);
}

// Four weights of a row of the slice; zero past the end of the row.
fn w_4(row: u32, index: u32) -> vec4<f32> {
    return within(weights_4(weight_row(row), index), index, params.inputs);
}
