// Candidates from values: each with the column it is in.

// [rows, cols], the bits of f32
@group(0) @binding(0) var<storage, read> x: array<u32>;

fn candidate(row: u32, place: u32) -> vec2<u32> {
    return vec2(place, x[row * params.cols + place]);
}
