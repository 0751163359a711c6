// Sums over four neighbouring lanes, within subgroups of at least four: in all
// drivers neighbours in a workgroup of one dimension are neighbours there.

fn add_four(x: f32, lane: u32) -> f32 {
    let pair = x + subgroupShuffleXor(x, 1u);
    return pair + subgroupShuffleXor(pair, 2u);
}
