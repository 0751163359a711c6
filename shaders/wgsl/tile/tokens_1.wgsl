// Tokens that a workgroup computes at once.
const TOKENS: u32 = 1u;
