// A stretch of a row of floats times that of an item: four values.

fn stretches() -> u32 {
    return (params.inputs + 3u) / 4u;
}

fn multiply(row: u32, item: u32, index: u32, sum: f32) -> f32 {
    let at = index * 4u;
    let w = within(weights_4(row, at), at, params.inputs);
    return sum + dot(w, x_4(item, at));
}
