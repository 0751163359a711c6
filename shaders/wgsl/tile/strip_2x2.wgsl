// A subgroup's strip of a tile on matrix units: two matrices of rows by two of
// tokens, so that each of them that is loaded is used twice.

const STRIP_ROWS: u32 = 2u * UNIT;
const STRIP_TOKENS: u32 = 2u * UNIT;

var<private> sums_0_0: Sums;
var<private> sums_1_0: Sums;
var<private> sums_0_1: Sums;
var<private> sums_1_1: Sums;

// Multiplies 16 inputs of the step.
fn multiply(row: u32, token: u32, unit: u32) {
    let rows_0 = row_unit(row, unit);
    let rows_1 = row_unit(row + UNIT, unit);
    let tokens_0 = token_unit(token, unit);
    sums_0_0 = coopMultiplyAdd(rows_0, tokens_0, sums_0_0);
    sums_1_0 = coopMultiplyAdd(rows_1, tokens_0, sums_1_0);
    let tokens_1 = token_unit(token + UNIT, unit);
    sums_0_1 = coopMultiplyAdd(rows_0, tokens_1, sums_0_1);
    sums_1_1 = coopMultiplyAdd(rows_1, tokens_1, sums_1_1);
}

// Stores the strip that begins at that row and token. All lanes come here together.
fn store_strip(subgroup: u32, place: u32, row: u32, token: u32) {
    store_unit(sums_0_0, subgroup, place, row, token);
    store_unit(sums_1_0, subgroup, place, row + UNIT, token);
    store_unit(sums_0_1, subgroup, place, row, token + UNIT);
    store_unit(sums_1_1, subgroup, place, row + UNIT, token + UNIT);
}
