// The highest values of each row and the columns they are in: what sampling reads
// back instead of all logits. A workgroup has a piece of a row; what the pieces
// of a row leave goes through a second selection.
//
// Candidates are ordered by value, then by column, the lower first; what is no
// number comes before all numbers, so that nobody misses it. The order is that
// of 64-bit keys, and the lowest key that belongs to the `count` highest is found
// digit by digit (radix selection): how many candidates share the digits found
// so far and have which next digit? It ends as soon as those that share a prefix
// are just as many as are still wanted.

struct Params {
    // Candidates of a row, and of a piece of it.
    cols: u32,
    piece: u32,
    // How many are wanted of each piece.
    count: u32,
}

// [rows, pieces, count] column, bits of an f32; in no order
@group(0) @binding(1) var<storage, read_write> out: array<vec2<u32>>;
@group(1) @binding(0) var<uniform> params: Params;

const LANES: u32 = 256u;
const DIGITS: u32 = 8u;
// The column of no candidate: a piece had too few.
const NOBODY: u32 = 0xffffffffu;

// How many candidates have which next digit.
var<workgroup> counts: array<atomic<u32>, 256>;
// The digits found so far, and where they are.
var<workgroup> prefix: vec2<u32>;
var<workgroup> mask: vec2<u32>;
// How many are wanted of those that share the digits, and whether that is all.
var<workgroup> wanted: u32;
var<workgroup> is_done: u32;
var<workgroup> taken: atomic<u32>;

fn key(candidate: vec2<u32>) -> vec2<u32> {
    let bits = candidate.y;
    let negative = (bits >> 31u) != 0u;
    let ordered = select(bits | 0x80000000u, ~bits, negative);
    let is_number = (bits & 0x7f800000u) != 0x7f800000u;
    return vec2(select(0xffffffffu, ordered, is_number), ~candidate.x);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.y;
    let begin = workgroup.x * params.piece;
    let end = min(begin + params.piece, params.cols);
    if lane == 0u {
        prefix = vec2(0u);
        mask = vec2(0u);
        wanted = params.count;
        atomicStore(&taken, 0u);
    }
    for (var digit = 0u; digit < DIGITS; digit += 1u) {
        atomicStore(&counts[lane], 0u);
        workgroupBarrier();
        let shift = 24u - 8u * (digit & 3u);
        for (var place = begin + lane; place < end; place += LANES) {
            let found = candidate(row, place);
            let k = key(found);
            if found.x != NOBODY && all((k & mask) == prefix) {
                let word = select(k.y, k.x, digit < 4u);
                atomicAdd(&counts[(word >> shift) & 255u], 1u);
            }
        }
        workgroupBarrier();
        if lane == 0u {
            var left = wanted;
            var value = 255u;
            var count = atomicLoad(&counts[value]);
            while count < left && value > 0u {
                left -= count;
                value -= 1u;
                count = atomicLoad(&counts[value]);
            }
            let part = select(vec2(0u, 1u), vec2(1u, 0u), digit < 4u);
            prefix |= part * (value << shift);
            mask |= part * (255u << shift);
            wanted = left;
            is_done = u32(count <= left);
        }
        if workgroupUniformLoad(&is_done) != 0u {
            break;
        }
    }
    let first = (row * workgroups.x + workgroup.x) * params.count;
    for (var place = begin + lane; place < end; place += LANES) {
        let found = candidate(row, place);
        let k = key(found) & mask;
        if found.x != NOBODY && (k.x > prefix.x || (k.x == prefix.x && k.y >= prefix.y)) {
            out[first + atomicAdd(&taken, 1u)] = found;
        }
    }
    workgroupBarrier();
    for (var place = atomicLoad(&taken) + lane; place < params.count; place += LANES) {
        out[first + place] = vec2(NOBODY, 0u);
    }
}
