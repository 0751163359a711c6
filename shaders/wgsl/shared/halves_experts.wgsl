// What a row's products are multiplied with in the end.
@group(0) @binding(5) var<storage, read> scales: array<f32>;
