// Keys and values as binary16, four to two words.

alias Stored = vec2<u32>;

// Fours that are stored together, and in how many elements.
const QUADS: u32 = 1u;
const ELEMENTS: u32 = 1u;

// Where a four lies, and its scale.
fn place(quad: u32) -> u32 {
    return quad;
}

fn scale_place(quad: u32) -> u32 {
    return quad;
}

fn widen(stored: Stored, scale: Stored) -> vec4<f32> {
    return vec4(unpack2x16float(stored.x), unpack2x16float(stored.y));
}

fn narrow(values: ptr<function, array<vec4<f32>, QUADS>>) -> array<Stored, ELEMENTS> {
    let four = (*values)[0];
    return array<Stored, ELEMENTS>(Stored(pack2x16float(four.xy), pack2x16float(four.zw)));
}
