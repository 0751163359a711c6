// Attention to one sequence, whose cache is `keys` and `values`.

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
    // Whether groups are quantized; `v_quads` is then a multiple of 8.
    quantized: u32,
    // Of one token that is appended before: pairs of a head that turn, whether pairs
    // are (i, i + pairs) rather than (2i, 2i + 1), and rows of the step.
    pairs: u32,
    halves: u32,
    rows: u32,
}

fn part_of(x: u32) -> Part {
    return Part(0u, params.tokens, params.position, x);
}

fn load_keys(part: Part, quads: ptr<function, Places>, fours: ptr<function, Fours>) {
    for (var i = 0u; i < AHEAD; i += 1u) {
        let quad = (*quads)[i];
        (*fours)[i] = widen(keys[place(quad)], keys[scale_place(quad)]);
    }
}

fn load_values(part: Part, quads: ptr<function, Places>, fours: ptr<function, Fours>) {
    for (var i = 0u; i < AHEAD; i += 1u) {
        let quad = (*quads)[i];
        (*fours)[i] = widen(values[place(quad)], values[scale_place(quad)]);
    }
}
