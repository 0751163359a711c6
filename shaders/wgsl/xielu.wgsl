// x = xielu(x), whose shape is learned for each layer:
//
//     alpha_p * x^2 + beta * x                             where x > 0
//     alpha_n * (exp(min(x, eps)) - 1 - x) + beta * x      elsewhere

struct Params {
    len: u32,
    alpha_n: f32,
    alpha_p: f32,
    beta: f32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    if index >= params.len {
        return;
    }
    let value = x[index];
    let above = params.alpha_p * value * value;
    let below = params.alpha_n * (exp(min(value, params.eps)) - 1.0 - value);
    x[index] = select(below, above, value > 0.0) + params.beta * value;
}
