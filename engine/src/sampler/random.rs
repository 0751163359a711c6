//! Random numbers that are the same on every machine.

/// splitmix64 (Steele, Lea and Flood, 2014).
pub(super) struct Random(u64);

impl Random {
    /// Starts with a seed, or with one that differs from call to call.
    pub fn new(seed: Option<u64>) -> Random {
        Random(seed.unwrap_or_else(fresh_seed))
    }

    /// Uniform in 0..1, 24 bits.
    pub fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }
}

/// Differs from call to call: the standard library seeds its hasher from the
/// operating system.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::SystemTime::now())
}
