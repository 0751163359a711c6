// Lanes of a workgroup: so many every device has.
const LANES: u32 = 256u;
