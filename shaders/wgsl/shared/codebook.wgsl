// Formats of codebooks: an index stands for four or eight weights, whose places among a
// few values are an entry of 16 bits in a table of ENTRIES. It lies at the end of the
// buffer, behind the rows: as constants, a compiler would keep it in registers. Quants
// are raised by OFFSET, so that they are bytes of 0..128.

// Entry `index` of the codebook.
fn entry(index: u32) -> u32 {
    let begin = 16u * arrayLength(&weights) - 2u * ENTRIES;
    return half_word(begin + 2u * index);
}

// Bits 0, 2, 4 and 6 and what is above each of them, one pair in each byte.
fn pairs_of_bits(bits: u32) -> u32 {
    return (bits & 3u) | ((bits & 12u) << 6u) | ((bits & 48u) << 12u) | ((bits & 192u) << 18u);
}

// Three bits in each byte.
fn threes_of_bits(bits: u32) -> u32 {
    return (bits & 7u) | ((bits & 56u) << 5u) | ((bits & 448u) << 10u) | ((bits & 3584u) << 15u);
}

// All bits of the bytes whose bit of the lower four is set.
fn byte_mask(bits: u32) -> u32 {
    let ones = (bits & 1u) | ((bits & 2u) << 7u) | ((bits & 4u) << 14u) | ((bits & 8u) << 21u);
    return ones * 0xffu;
}

// Magnitudes of at most OFFSET with their signs, raised.
fn raised(magnitudes: u32, signs: u32) -> u32 {
    return OFFSET * 0x01010101u + magnitudes - ((2u * magnitudes) & byte_mask(signs));
}

// Signs of eight weights, of which seven bits are given and which are an even number.
fn even_signs(seven: u32) -> u32 {
    let bits = seven & 127u;
    return bits | ((countOneBits(bits) & 1u) << 7u);
}

// The sub-scale that some bits stand for.
fn odd(bits: u32) -> i32 {
    return i32(2u * bits + 1u);
}

// Magnitudes 8, 25 and 43 by their places.
fn of_two_bits(places: u32) -> u32 {
    return 0x08080808u + 17u * places + ((places >> 1u) & 0x01010101u);
}

// Eight weights of the formats with two bits.
fn eight_of_two_bits(index: u32, signs: u32) -> vec2<u32> {
    let places = entry(index);
    return vec2(
        raised(of_two_bits(pairs_of_bits(places)), signs),
        raised(of_two_bits(pairs_of_bits(places >> 8u)), signs >> 4u),
    );
}

// Eight weights of the formats with one bit, in eighths: 8, 0 or -8, shifted up or down
// by one.
fn eight_of_one_bit(index: u32, down: bool) -> vec2<u32> {
    let places = entry(index);
    let shift = select(0x02020202u, 0u, down);
    return vec2(8u * pairs_of_bits(places), 8u * pairs_of_bits(places >> 8u)) + vec2(shift);
}
