// The experts of each token: those whose scores, or what is made of them, are the
// highest, the first of equals, and their weights. A lane has a token.

struct Params {
    tokens: u32,
    // Experts there are, and how many a token uses.
    count: u32,
    used: u32,
    // Factor of the weights.
    scale: f32,
    // What weights are divided by at least, if they are.
    min_sum: f32,
    // Groups of experts, and how many of them a token uses: one if there are none.
    groups: u32,
    used_groups: u32,
}

// [tokens, count] scores, and what is made of them
@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> routes: array<vec2<u32>>;
// [count] added where experts are chosen
@group(0) @binding(2) var<storage, read> bias: array<f32>;
// [count] of what experts make
@group(0) @binding(3) var<storage, read> factors: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// The softmax of the scores that are chosen, of all, or the sigmoid of each.
const CHOSEN: u32 = 0u;
const SOFTMAX: u32 = 1u;
const SIGMOID: u32 = 2u;

// The engine has no more.
const MOST_GROUPS: u32 = 32u;

override GATING: u32 = CHOSEN;
// Whether a bias is added.
override BIAS: bool = false;
// Whether weights are divided by their sum.
override NORMALIZED: bool = false;
// Whether what an expert makes has a factor of its own.
override FACTORS: bool = false;

// Whether a score comes after another in descending order.
fn is_after(score: f32, expert: u32, other: f32, other_expert: u32) -> bool {
    return score < other || (score == other && expert > other_expert);
}

// What experts are chosen by.
fn rank(begin: u32, expert: u32) -> f32 {
    let value = values[begin + expert];
    if BIAS {
        return value + bias[expert];
    }
    return value;
}

// The groups that a token uses, a bit each: those whose two highest ranks add up to
// the most, the first of equals.
fn chosen_groups(begin: u32) -> u32 {
    if params.groups == 1u {
        return 1u;
    }
    let size = params.count / params.groups;
    var sums: array<f32, MOST_GROUPS>;
    for (var group = 0u; group < params.groups; group += 1u) {
        let a = rank(begin, group * size);
        let b = rank(begin, group * size + 1u);
        var first = max(a, b);
        var second = min(a, b);
        for (var i = 2u; i < size; i += 1u) {
            let score = rank(begin, group * size + i);
            second = max(second, min(score, first));
            first = max(score, first);
        }
        sums[group] = first + second;
    }
    var chosen = 0u;
    for (var place = 0u; place < params.used_groups; place += 1u) {
        var best = params.groups;
        for (var group = 0u; group < params.groups; group += 1u) {
            let is_open = (chosen >> group & 1u) == 0u;
            if is_open && (best == params.groups || sums[group] > sums[best]) {
                best = group;
            }
        }
        chosen |= 1u << best;
    }
    return chosen;
}

fn values_of_scores(begin: u32) {
    if GATING == SIGMOID {
        for (var expert = begin; expert < begin + params.count; expert += 1u) {
            values[expert] = 1.0 / (1.0 + exp(-values[expert]));
        }
    } else if GATING == SOFTMAX {
        var highest = values[begin];
        for (var expert = begin + 1u; expert < begin + params.count; expert += 1u) {
            highest = max(highest, values[expert]);
        }
        var total = 0.0;
        for (var expert = begin; expert < begin + params.count; expert += 1u) {
            let value = exp(values[expert] - highest);
            values[expert] = value;
            total += value;
        }
        for (var expert = begin; expert < begin + params.count; expert += 1u) {
            values[expert] /= total;
        }
    }
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
    values_of_scores(begin);
    let groups = chosen_groups(begin);
    let size = params.count / params.groups;
    var highest = 0.0;
    var total = 0.0;
    var last_score = 0.0;
    var last = 0u;
    for (var place = 0u; place < params.used; place += 1u) {
        var found = false;
        var best_score = 0.0;
        var best = 0u;
        for (var expert = 0u; expert < params.count; expert += 1u) {
            let score = rank(begin, expert);
            let is_used = (groups >> (expert / size) & 1u) == 1u;
            let open = is_used && (place == 0u || is_after(score, expert, last_score, last));
            if open && (!found || is_after(best_score, best, score, expert)) {
                found = true;
                best_score = score;
                best = expert;
            }
        }
        if place == 0u {
            highest = values[begin + best];
        }
        var weight = values[begin + best];
        if GATING == CHOSEN {
            weight = exp(weight - highest);
        }
        total += weight;
        routes[token * params.used + place] = vec2(best, bitcast<u32>(weight));
        last_score = best_score;
        last = best;
    }
    // The softmax of those that are chosen divides by its sum already.
    var divisor = 1.0;
    if GATING == CHOSEN {
        divisor = total;
    } else if NORMALIZED {
        divisor = max(total, params.min_sum);
    }
    for (var place = 0u; place < params.used; place += 1u) {
        let at = token * params.used + place;
        var weight = bitcast<f32>(routes[at].y) / divisor * params.scale;
        if FACTORS {
            weight *= factors[routes[at].x];
        }
        routes[at].y = bitcast<u32>(weight);
    }
}
