// The experts of each token: those with the highest scores, the first of equals,
// weighted by the softmax of these scores. A lane has a token.

struct Params {
    tokens: u32,
    // Experts there are, and how many a token uses.
    count: u32,
    used: u32,
}

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> routes: array<vec2<u32>>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether a score comes after another in descending order.
fn is_after(score: f32, expert: u32, other: f32, other_expert: u32) -> bool {
    return score < other || (score == other && expert > other_expert);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = (workgroup.x + workgroup.y * workgroups.x) * 64u + lane;
    if token >= params.tokens {
        return;
    }
    let begin = token * params.count;
    var highest = 0.0;
    var total = 0.0;
    var last_score = 0.0;
    var last = 0u;
    for (var place = 0u; place < params.used; place += 1u) {
        var found = false;
        var best_score = 0.0;
        var best = 0u;
        for (var expert = 0u; expert < params.count; expert += 1u) {
            let score = scores[begin + expert];
            let open = place == 0u || is_after(score, expert, last_score, last);
            if open && (!found || is_after(best_score, best, score, expert)) {
                found = true;
                best_score = score;
                best = expert;
            }
        }
        if place == 0u {
            highest = best_score;
        }
        let weight = exp(best_score - highest);
        total += weight;
        routes[token * params.used + place] = vec2(best, bitcast<u32>(weight));
        last_score = best_score;
        last = best;
    }
    for (var place = 0u; place < params.used; place += 1u) {
        let at = token * params.used + place;
        routes[at].y = bitcast<u32>(bitcast<f32>(routes[at].y) / total);
    }
}
