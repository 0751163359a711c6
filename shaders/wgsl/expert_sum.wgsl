// The sum over a token's experts of products, each times the expert's weight: of each
// item, one of a token's experts, a vector times the matrix of its expert. A team of
// lanes makes an output at a time; it takes several items at once, so that so many loads
// are under way. Another file multiplies (`stretches`, `multiply`).

// Whether what they make is added to what was there.
override ADDS: bool = false;
// Items at once, at most MOST.
override AT_ONCE: u32 = 1u;

// [items] expert, and its weight as the bits of an f32
@group(0) @binding(2) var<storage, read> routes: array<vec2<u32>>;

const MOST: u32 = 4u;
const ROWS: u32 = 8u;
const STEPS: u32 = ROWS;
const VALUES: u32 = 1u;

// The weight of an item's product; none if another slice has the row.
fn weight_of(item: u32, row: u32) -> f32 {
    let route = routes[item];
    return select(0.0, bitcast<f32>(route.y), slice_row(route.x, row) < params.rows);
}

// The sum of the products that make an output of a token, as far as this lane adds it up.
fn add_items(token: u32, row: u32) -> f32 {
    let begin = token * params.sharing;
    let end = begin + params.sharing;
    var sum = 0.0;
    for (var first = begin; first < end; first += AT_ONCE) {
        var rows: array<u32, MOST>;
        for (var i = 0u; i < MOST; i += 1u) {
            rows[i] = expert_row(routes[min(first + i, end - 1u)].x, row);
        }
        var products: array<f32, MOST>;
        for (var index = team_lane; index < stretches(); index += team_lanes) {
            for (var i = 0u; i < MOST; i += 1u) {
                if i < AT_ONCE {
                    let item = min(first + i, end - 1u);
                    products[i] = multiply(rows[i], item, index, products[i]);
                }
            }
        }
        for (var i = 0u; i < MOST; i += 1u) {
            if i < AT_ONCE && first + i < end {
                sum += weight_of(first + i, row) * products[i];
            }
        }
    }
    return sum;
}

fn kernel(tile: u32, token: u32, lane: u32) {
    for (var step = 0u; step < STEPS; step += teams) {
        let own = step + team;
        var sums: array<f32, VALUES>;
        if own < STEPS {
            sums[0] = add_items(token, tile * ROWS + own);
        }
        add_team(&sums, tile, token, own, lane);
    }
}

fn take(tile: u32, token: u32, step: u32, i: u32, product: f32) {
    let row = tile * ROWS + step;
    if row >= params.outputs {
        return;
    }
    let at = token * params.outputs + row;
    var value = product;
    if BIAS {
        let begin = token * params.sharing;
        for (var item = begin; item < begin + params.sharing; item += 1u) {
            let expert = routes[item].x;
            value = fma(weight_of(item, row), bias[expert * params.outputs + row], value);
        }
    }
    if ADDS {
        value += out[at];
    }
    out[at] = value;
}
