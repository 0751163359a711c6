// Weights on the device: rows of whole vectors of 16 bytes, the fields of a row's
// blocks in planes (shaders/src/layout.rs).

@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;

// 16 bytes from a multiple of 16.
fn aligned_16(byte: u32) -> vec4<u32> {
    return weights[byte >> 4u];
}

// Four bytes from a multiple of four.
fn word_at(byte: u32) -> u32 {
    return weights[byte >> 4u][(byte >> 2u) & 3u];
}

// Two bytes from a multiple of two, as a word.
fn half_word(byte: u32) -> u32 {
    return (word_at(byte) >> ((byte & 2u) * 8u)) & 0xffffu;
}

// One byte.
fn byte_at(byte: u32) -> u32 {
    return (word_at(byte) >> ((byte & 3u) * 8u)) & 0xffu;
}

// A byte as a signed integer.
fn signed(byte: u32) -> i32 {
    return i32(byte << 24u) >> 24u;
}

// A binary16 in the low half of a word.
fn half(bits: u32) -> f32 {
    return unpack2x16float(bits & 0xffffu).x;
}

// Eight bytes from a multiple of eight.
fn pair_at(byte: u32) -> vec2<u32> {
    let all = weights[byte >> 4u];
    return select(all.xy, all.zw, (byte & 8u) != 0u);
}
