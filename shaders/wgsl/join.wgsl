// Puts rows together from pieces of two tensors in turn.

@group(0) @binding(0) var<storage, read> first: array<f32>;
@group(0) @binding(1) var<storage, read> second: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

fn of_first(index: u32, at: u32) {
    out[index] = first[at];
}

fn of_second(index: u32, at: u32) {
    out[index] = second[at];
}
