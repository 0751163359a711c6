// Where rows of the weights begin.

// The byte at which row `row` of the slice begins; that of its last row for rows
// past its end, whose products nobody stores.
fn weight_row(row: u32) -> u32 {
    return (params.begin + min(row, params.rows - 1u)) * params.row_bytes;
}
