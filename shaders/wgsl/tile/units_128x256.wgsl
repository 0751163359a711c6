// Rows and tokens that a workgroup computes at once on matrix units, and inputs of a
// step.
const TILE_ROWS: u32 = 128u;
const TILE_TOKENS: u32 = 256u;
const STEP: u32 = 32u;
