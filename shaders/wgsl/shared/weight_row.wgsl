// Rows of the weights and of the activations. Those past the end of the slice or
// of the tokens are its last: their products nobody stores.

// The byte at which row `row` of the slice begins.
fn weight_row(row: u32) -> u32 {
    return (params.begin + min(row, params.rows - 1u)) * params.row_bytes;
}

// The row of the activations that is token `token`.
fn input_row(token: u32) -> u32 {
    return min(token, params.tokens - 1u);
}

// Whether a workgroup's tile has anything to multiply: there are no more workgroups.
fn has_work(row: u32, token: u32, z: u32) -> bool {
    return true;
}
