// Turns of heads to their positions. The operation has the binding `angles`: cosines
// [rows, 2 * pairs] at both dimensions of a pair, then signed sines: those of the
// second dimensions are as they are, those of the first negative.

// The dimension that turns with `dim`.
fn partner(dim: u32) -> u32 {
    if params.halves == 0u {
        return dim ^ 1u;
    }
    return select(dim - params.pairs, dim + params.pairs, dim < params.pairs);
}

// What a row's turn makes of dimension `dim`, which is `x`, the one that turns
// with it being `other`.
fn turned(row: u32, dim: u32, x: f32, other: f32) -> f32 {
    let width = 2u * params.pairs;
    let at = row * width + dim;
    return fma(x, angles[at], other * angles[params.rows * width + at]);
}
