// A convolution of each channel over a sequence's last inputs, of which those before
// the step are what its state begins with. A lane has a channel of a token.

// Whether results go through silu, and whether something is added before.
override SILU: bool = false;
override BIAS: bool = false;

struct Params {
    // Tokens of the sequence in this step, and the row of the first.
    tokens: u32,
    first_row: u32,
    channels: u32,
    // Inputs that the convolution sees.
    width: u32,
}

// [rows, channels]
@group(0) @binding(0) var<storage, read> x: array<f32>;
// [width, channels]
@group(0) @binding(1) var<storage, read> conv: array<f32>;
// [width - 1, channels], and what else there is
@group(0) @binding(2) var<storage, read> state: array<f32>;
// [rows, channels]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
// [channels]
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    if index >= params.tokens * params.channels {
        return;
    }
    let channel = index % params.channels;
    let token = index / params.channels;
    let before = params.width - 1u;
    var sum = 0.0;
    for (var i = 0u; i < params.width; i += 1u) {
        // The token's own input is the last.
        var value: f32;
        if token + i < before {
            value = state[(token + i) * params.channels + channel];
        } else {
            let row = params.first_row + token + i - before;
            value = x[row * params.channels + channel];
        }
        sum = fma(value, conv[i * params.channels + channel], sum);
    }
    if BIAS {
        sum += bias[channel];
    }
    if SILU {
        sum /= 1.0 + exp(-sum);
    }
    out[(params.first_row + token) * params.channels + channel] = sum;
}
