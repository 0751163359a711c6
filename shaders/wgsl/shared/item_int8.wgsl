// A stretch of a row of blocks times that of an item: a group.

fn stretches() -> u32 {
    return row_groups();
}

fn multiply(row: u32, item: u32, index: u32, sum: f32) -> f32 {
    return dot_group(group(row, index), activation(item, index), sum);
}
