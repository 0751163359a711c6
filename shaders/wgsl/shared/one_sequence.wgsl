// Attention to one sequence, whose cache is `keys` and `values`.

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
