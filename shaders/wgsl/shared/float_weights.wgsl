// Four weights of a row of the slice; zero past the end of the row.
fn w_4(row: u32, index: u32) -> vec4<f32> {
    return within(weights_4(weight_row(row), index), index, params.inputs);
}
