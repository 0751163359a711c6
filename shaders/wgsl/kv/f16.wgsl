// Keys and values as binary16, four to two words.

alias Stored = vec2<u32>;

fn widen(stored: Stored) -> vec4<f32> {
    return vec4(unpack2x16float(stored.x), unpack2x16float(stored.y));
}

fn narrow(values: vec4<f32>) -> Stored {
    return Stored(pack2x16float(values.xy), pack2x16float(values.zw));
}
