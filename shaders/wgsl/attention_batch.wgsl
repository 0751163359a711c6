// Attention of one token each of up to four sequences, whose rows follow each other:
// as of one, with keys and values appended before. A sequence has workgroups of its
// own and all have as many splits of as many keys. What a short one does not need
// finds no keys and leaves a part that counts nothing.
//
// WGSL cannot index bindings. Each load of several fours chooses the sequence once,
// not for each of them, so that they stay under way together.

struct Params {
    // Sequences, and the row of the first.
    tokens: u32,
    first_row: u32,
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
    // Pairs of a head that turn, whether pairs are (i, i + pairs) rather than
    // (2i, 2i + 1), and rows of the step.
    pairs: u32,
    halves: u32,
    rows: u32,
    // Positions of the tokens in their sequences.
    position_0: u32,
    position_1: u32,
    position_2: u32,
    position_3: u32,
}

// [positions, key heads, k_quads] and [positions, key heads, v_quads], as stored
@group(0) @binding(1) var<storage, read_write> keys_0: array<Stored>;
@group(0) @binding(2) var<storage, read_write> values_0: array<Stored>;
@group(0) @binding(9) var<storage, read_write> keys_1: array<Stored>;
@group(0) @binding(10) var<storage, read_write> values_1: array<Stored>;
@group(0) @binding(11) var<storage, read_write> keys_2: array<Stored>;
@group(0) @binding(12) var<storage, read_write> values_2: array<Stored>;
@group(0) @binding(13) var<storage, read_write> keys_3: array<Stored>;
@group(0) @binding(14) var<storage, read_write> values_3: array<Stored>;

fn part_of(x: u32) -> Part {
    let tiles = (params.group + QUERIES - 1u) / QUERIES;
    let sequence = x / tiles;
    var position = params.position_0;
    switch sequence {
        case 1u: { position = params.position_1; }
        case 2u: { position = params.position_2; }
        case 3u: { position = params.position_3; }
        default: {}
    }
    return Part(sequence, 1u, position, x % tiles);
}

fn load_keys(part: Part, quads: ptr<function, Places>, fours: ptr<function, Fours>) {
    switch part.first {
        case 0u: {
            for (var i = 0u; i < AHEAD; i += 1u) {
                let quad = (*quads)[i];
                (*fours)[i] = widen(keys_0[place(quad)], keys_0[scale_place(quad)]);
            }
        }
        case 1u: {
            for (var i = 0u; i < AHEAD; i += 1u) {
                let quad = (*quads)[i];
                (*fours)[i] = widen(keys_1[place(quad)], keys_1[scale_place(quad)]);
            }
        }
        case 2u: {
            for (var i = 0u; i < AHEAD; i += 1u) {
                let quad = (*quads)[i];
                (*fours)[i] = widen(keys_2[place(quad)], keys_2[scale_place(quad)]);
            }
        }
        default: {
            for (var i = 0u; i < AHEAD; i += 1u) {
                let quad = (*quads)[i];
                (*fours)[i] = widen(keys_3[place(quad)], keys_3[scale_place(quad)]);
            }
        }
    }
}

fn load_values(part: Part, quads: ptr<function, Places>, fours: ptr<function, Fours>) {
    switch part.first {
        case 0u: {
            for (var i = 0u; i < AHEAD; i += 1u) {
                let quad = (*quads)[i];
                (*fours)[i] = widen(values_0[place(quad)], values_0[scale_place(quad)]);
            }
        }
        case 1u: {
            for (var i = 0u; i < AHEAD; i += 1u) {
                let quad = (*quads)[i];
                (*fours)[i] = widen(values_1[place(quad)], values_1[scale_place(quad)]);
            }
        }
        case 2u: {
            for (var i = 0u; i < AHEAD; i += 1u) {
                let quad = (*quads)[i];
                (*fours)[i] = widen(values_2[place(quad)], values_2[scale_place(quad)]);
            }
        }
        default: {
            for (var i = 0u; i < AHEAD; i += 1u) {
                let quad = (*quads)[i];
                (*fours)[i] = widen(values_3[place(quad)], values_3[scale_place(quad)]);
            }
        }
    }
}

fn store_key(part: Part, at: u32, stored: Stored) {
    switch part.first {
        case 0u: { keys_0[at] = stored; }
        case 1u: { keys_1[at] = stored; }
        case 2u: { keys_2[at] = stored; }
        default: { keys_3[at] = stored; }
    }
}

fn store_value(part: Part, at: u32, stored: Stored) {
    switch part.first {
        case 0u: { values_0[at] = stored; }
        case 1u: { values_1[at] = stored; }
        case 2u: { values_2[at] = stored; }
        default: { values_3[at] = stored; }
    }
}
