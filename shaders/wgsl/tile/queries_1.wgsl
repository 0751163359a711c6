// Queries that a workgroup computes at once.
const QUERIES: u32 = 1u;
