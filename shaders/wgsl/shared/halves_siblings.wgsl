// What a token's products are multiplied with in the end.
@group(0) @binding(8) var<storage, read> scales: array<f32>;
