// The 16 low bits of `bits`, each the lowest of a byte of four words.
fn bytes_of_bits(bits: u32) -> vec4<u32> {
    let nibbles = (vec4(bits) >> vec4(0u, 4u, 8u, 12u)) & vec4(15u);
    // Bit i of a nibble lands at bit 8i: shifted copies at 0, 7, 14 and 21.
    return (nibbles * 0x00204081u) & vec4(0x01010101u);
}
