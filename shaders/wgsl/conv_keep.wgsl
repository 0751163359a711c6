// Keeps the last inputs of a sequence for the convolution of the tokens that follow.
// A lane has a channel.

struct Params {
    // Tokens of the sequence in this step, and the row of the first.
    tokens: u32,
    first_row: u32,
    channels: u32,
    // Inputs that the convolution sees: at most 16.
    width: u32,
}

// [rows, channels]
@group(0) @binding(0) var<storage, read> x: array<f32>;
// [width - 1, channels], and what else there is
@group(0) @binding(1) var<storage, read_write> state: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    if channel >= params.channels {
        return;
    }
    // In ascending order none is overwritten before it is read.
    let before = params.width - 1u;
    for (var i = 0u; i < before; i += 1u) {
        var value: f32;
        if params.tokens + i < before {
            value = state[(params.tokens + i) * params.channels + channel];
        } else {
            let row = params.first_row + params.tokens + i - before;
            value = x[row * params.channels + channel];
        }
        state[i * params.channels + channel] = value;
    }
}
