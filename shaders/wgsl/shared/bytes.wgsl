// Weights as they lie in the file, read at byte addresses.
//
// Blocks are 17 to 210 bytes long, so most begin between two words. A word at
// any address is cut out of the two it lies in; which two is the same for a
// whole block, so neighbouring loads share a word.

@group(0) @binding(0) var<storage, read> weights: array<u32>;

// The upper part of `low` followed by the lower part of `high`: the word that
// begins `shift` bits into `low`, `shift` below 32.
fn cut(low: vec4<u32>, high: vec4<u32>, shift: u32) -> vec4<u32> {
    // In two steps because a shift by 32 is not defined.
    return (low >> vec4(shift)) | ((high << vec4(31u - shift)) << vec4(1u));
}

// 16 bytes from a multiple of four.
fn aligned_16(byte: u32) -> vec4<u32> {
    let word = byte >> 2u;
    return vec4(weights[word], weights[word + 1u], weights[word + 2u], weights[word + 3u]);
}

// 16 bytes from anywhere.
fn bytes_16(byte: u32) -> vec4<u32> {
    let low = aligned_16(byte);
    return cut(low, vec4(low.yzw, weights[(byte >> 2u) + 4u]), (byte & 3u) * 8u);
}

// Four bytes from anywhere.
fn bytes_4(byte: u32) -> u32 {
    let word = byte >> 2u;
    let shift = (byte & 3u) * 8u;
    return (weights[word] >> shift) | ((weights[word + 1u] << (31u - shift)) << 1u);
}

// Two bytes from a multiple of two, as a word.
fn half_word(byte: u32) -> u32 {
    return (weights[byte >> 2u] >> ((byte & 2u) * 8u)) & 0xffffu;
}

// One byte.
fn byte_at(byte: u32) -> u32 {
    return (weights[byte >> 2u] >> ((byte & 3u) * 8u)) & 0xffu;
}

// A byte as a signed integer.
fn signed(byte: u32) -> i32 {
    return i32(byte << 24u) >> 24u;
}

// A binary16 in the low half of a word.
fn half(bits: u32) -> f32 {
    return unpack2x16float(bits & 0xffffu).x;
}
