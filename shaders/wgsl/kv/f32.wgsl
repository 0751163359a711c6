// Keys and values as they are.

alias Stored = vec4<f32>;

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
    return stored;
}

fn narrow(values: ptr<function, array<vec4<f32>, QUADS>>) -> array<Stored, ELEMENTS> {
    return array<Stored, ELEMENTS>((*values)[0]);
}
