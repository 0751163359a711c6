// What gates go through: x / (1 + exp(-x)), or the form of GELU with tanh, whose
// exponent has the factor -2 * sqrt(2 / pi).

override GELU: bool = false;

fn activated(x: f32) -> f32 {
    let exponent = select(-x, -1.5957691 * x * fma(0.044715, x * x, 1.0), GELU);
    return x / (1.0 + exp(exponent));
}
