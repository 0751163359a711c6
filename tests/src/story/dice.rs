//! The dice of the story writer: splitmix64 (Steele, Lea and Flood, "Fast
//! splittable pseudorandom number generators", 2014), so that a seed gives the
//! same story on every machine.

pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `sides - 1`, by the high half of a 128-bit product.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        assert!(sides > 0, "a die needs sides");
        ((u128::from(self.next()) * sides as u128) >> 64) as usize
    }
}
