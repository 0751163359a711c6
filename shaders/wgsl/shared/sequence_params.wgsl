// Parameters of attention to one sequence.

struct Params {
    // Tokens of the sequence in this step, the row of the first, its position.
    tokens: u32,
    first_row: u32,
    position: u32,
    // Query heads, and how many of them share a key head.
    heads: u32,
    group: u32,
    // Dimensions of a key and of a value head, in fours.
    k_quads: u32,
    v_quads: u32,
    // Splits of the keys, and keys in each: a multiple of the chunk.
    splits: u32,
    split_keys: u32,
    scale: f32,
    // Positions that a token sees, its own included; without end, if all.
    window: u32,
    // What scores stay below, in magnitude; 0 for none.
    cap: f32,
    // Whether groups are quantized; `v_quads` is then a multiple of 8.
    quantized: u32,
    // Of one token that is appended before: pairs of a head that turn, whether pairs
    // are (i, i + pairs) rather than (2i, 2i + 1), and rows of the step.
    pairs: u32,
    halves: u32,
    rows: u32,
}
