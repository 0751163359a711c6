// Rows of weights times a few tokens: reading the weights is all the work there
// is. The teams of lanes of a workgroup take its rows in turn, AT_ONCE rows a
// step.
//
// The operation says how many STEPS there are, which rows these are (`step_row`)
// and what becomes of a product (`take`) and of all of them (`finish`); how a row
// and its activations are multiplied is another piece (`add_products`).

const VALUES: u32 = AT_ONCE * TOKENS;

fn kernel(tile: u32, token_tile: u32, lane: u32) {
    let token = token_tile * TOKENS;
    for (var step = 0u; step < STEPS; step += teams) {
        let own = step + team;
        var sums: array<f32, VALUES>;
        if own < STEPS {
            add_products(tile, own, token, &sums);
        }
        add_team(&sums, tile, token, own, lane);
    }
    finish(tile, token, lane);
}
