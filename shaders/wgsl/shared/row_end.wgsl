// The values whose index lies within a row of `length`; zero for the others,
// which belong to the next row or to nobody.
fn within(values: vec4<f32>, index: u32, length: u32) -> vec4<f32> {
    return select(vec4(0.0), values, vec4(index) + vec4(0u, 1u, 2u, 3u) < vec4(length));
}
