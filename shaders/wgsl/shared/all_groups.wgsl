// The groups of a row that a workgroup on matrix units multiplies: all.

fn begin_groups() -> u32 {
    return 0u;
}

fn end_groups() -> u32 {
    return row_groups();
}
