// Candidates that an earlier selection has left.

// [rows, cols] column, bits of an f32
@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>;

fn candidate(row: u32, place: u32) -> vec2<u32> {
    return x[row * params.cols + place];
}
