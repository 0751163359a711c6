// The widest head, in dimensions; narrower ones are padded with zeros.
const WIDTH: u32 = 64u;
