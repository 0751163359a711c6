// The items of each expert, in their order: a workgroup has an expert, a lane some
// consecutive items. An item is a token and one of its experts.

struct Params {
    items: u32,
    // The most items that an expert can have.
    tokens: u32,
}

// [items] expert, and its weight as the bits of an f32
@group(0) @binding(0) var<storage, read> routes: array<vec2<u32>>;
// [experts, 1 + tokens] how many items, and which
@group(0) @binding(1) var<storage, read_write> lists: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 256u;

// Items that lanes up to each have of the expert.
var<workgroup> totals: array<u32, LANES>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let expert = workgroup.x;
    let each = (params.items + LANES - 1u) / LANES;
    let begin = min(lane * each, params.items);
    let end = min(begin + each, params.items);
    var own = 0u;
    for (var item = begin; item < end; item += 1u) {
        own += select(0u, 1u, routes[item].x == expert);
    }
    var total = own;
    totals[lane] = total;
    workgroupBarrier();
    for (var step = 1u; step < LANES; step *= 2u) {
        if lane >= step {
            total += totals[lane - step];
        }
        workgroupBarrier();
        totals[lane] = total;
        workgroupBarrier();
    }
    // Scores that are no numbers may choose an expert twice: what has no place is left out.
    let list = expert * (params.tokens + 1u);
    if lane == LANES - 1u {
        lists[list] = min(total, params.tokens);
    }
    var place = total - own;
    for (var item = begin; item < end; item += 1u) {
        if routes[item].x == expert && place < params.tokens {
            lists[list + 1u + place] = item;
            place += 1u;
        }
    }
}
