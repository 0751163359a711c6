// The 16 low bits of `bits`, spread over the bytes of four words, each in the
// place of bit 4.
fn fifth_bits(bits: u32) -> vec4<u32> {
    let nibbles = (vec4(bits) >> vec4(0u, 4u, 8u, 12u)) & vec4(15u);
    // Bit i of a nibble lands at bit 8i: shifted copies at 0, 7, 14 and 21.
    return ((nibbles * 0x00204081u) & vec4(0x01010101u)) << vec4(4u);
}
