// Cuts rows into pieces that go to two tensors in turn.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> first: array<f32>;
@group(0) @binding(2) var<storage, read_write> second: array<f32>;

fn of_first(index: u32, at: u32) {
    first[at] = x[index];
}

fn of_second(index: u32, at: u32) {
    second[at] = x[index];
}
