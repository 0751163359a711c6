// Lanes of a workgroup: as many as most devices have.
const LANES: u32 = 1024u;
