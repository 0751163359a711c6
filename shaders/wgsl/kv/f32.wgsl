// Keys and values as they are.

alias Stored = vec4<f32>;

fn widen(stored: Stored) -> vec4<f32> {
    return stored;
}

fn narrow(values: vec4<f32>) -> Stored {
    return values;
}
