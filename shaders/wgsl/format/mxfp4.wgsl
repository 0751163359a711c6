// MXFP4: 32 weights of 4-bit floating point (E2M1) with one power of two (E8M0).
//
//     byte   0   1        16
//          | e | qs [16]   |     nibbles as in Q4_0
//
//     weight = 2^(e - 127) * E2M1(nibble)
//
// Doubled elements are integers, so q is twice the element and d is 2^(e - 128).

const OFFSET: u32 = 0u;
const AHEAD: u32 = 4u;
const HAS_MINIMUM: bool = false;

// Twice the element, as signed bytes: 0 1 2 3  4 6 8 12  0 -1 -2 -3  -4 -6 -8 -12
const MXFP4_VALUES: vec4<u32> = vec4(0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu);

// 2^(e - 128). Values below the smallest normal number are left to the device,
// which may flush them to zero; 255 is not a number.
fn half_e8m0(e: u32) -> f32 {
    if e < 2u {
        return bitcast<f32>(0x200000u << e);
    }
    return bitcast<f32>(select((e - 1u) << 23u, 0x7fc00000u, e == 255u));
}

// Weights 32 * index .. of the row that begins at byte `row`.
fn group(row: u32, index: u32) -> Group {
    let qs = aligned_16(row + 16u * index);
    return Group(
        look_up(MXFP4_VALUES, qs & LOW_NIBBLES),
        look_up(MXFP4_VALUES, (qs >> vec4(4u)) & LOW_NIBBLES),
        vec2(1),
        half_e8m0(byte_at(row + 16u * row_groups() + index)),
        vec2(0.0),
    );
}
