// What gates do: activated(gate) * up, the activation being x / (1 + exp(-x)), the
// form of GELU with tanh, that of gpt-oss, which limits both factors, or the square of
// what is above 0.

const SILU: u32 = 0u;
const GELU: u32 = 1u;
const LIMITED: u32 = 2u;
const SQUARED_RELU: u32 = 3u;

override ACTIVATION: u32 = SILU;

// Of GELU, the exponent's factor is -2 * sqrt(2 / pi).
fn activated(gate: f32) -> f32 {
    switch ACTIVATION {
        case GELU: {
            let exponent = -1.5957691 * gate * fma(0.044715, gate * gate, 1.0);
            return gate / (1.0 + exp(exponent));
        }
        case LIMITED: {
            let limited = min(gate, 7.0);
            return limited / (1.0 + exp(-1.702 * limited));
        }
        case SQUARED_RELU: {
            // What is no number stays so.
            let above = select(gate, 0.0, gate < 0.0);
            return above * above;
        }
        default: {
            return gate / (1.0 + exp(-gate));
        }
    }
}

fn gated(gate: f32, up: f32) -> f32 {
    if ACTIVATION == LIMITED {
        return activated(gate) * (clamp(up, -7.0, 7.0) + 1.0);
    }
    return activated(gate) * up;
}
