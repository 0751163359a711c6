// Attention of one token of a sequence: its queries and its key are turned to its
// position here, and the key and the value are appended to the cache by the
// workgroup that has the last keys, before it reads them.

// [positions, key heads, k_quads] and [positions, key heads, v_quads], as stored
@group(0) @binding(1) var<storage, read_write> keys: array<Stored>;
@group(0) @binding(2) var<storage, read_write> values: array<Stored>;

fn store_key(part: Part, at: u32, stored: Stored) {
    keys[at] = stored;
}

fn store_value(part: Part, at: u32, stored: Stored) {
    values[at] = stored;
}
