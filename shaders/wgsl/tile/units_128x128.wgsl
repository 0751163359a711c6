// Rows and tokens that a workgroup computes at once on matrix units.
const TILE_ROWS: u32 = 128u;
const TILE_TOKENS: u32 = 128u;
