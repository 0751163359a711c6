// A subgroup's strip of a tile on matrix units: four matrices of rows by four of
// tokens, so that each of them that is loaded is used four times.

const STRIP_ROWS: u32 = 4u * UNIT;
const STRIP_TOKENS: u32 = 4u * UNIT;

var<private> sums_0_0: Sums;
var<private> sums_1_0: Sums;
var<private> sums_2_0: Sums;
var<private> sums_3_0: Sums;
var<private> sums_0_1: Sums;
var<private> sums_1_1: Sums;
var<private> sums_2_1: Sums;
var<private> sums_3_1: Sums;
var<private> sums_0_2: Sums;
var<private> sums_1_2: Sums;
var<private> sums_2_2: Sums;
var<private> sums_3_2: Sums;
var<private> sums_0_3: Sums;
var<private> sums_1_3: Sums;
var<private> sums_2_3: Sums;
var<private> sums_3_3: Sums;

// Multiplies 16 inputs of the step.
fn multiply(row: u32, token: u32, unit: u32) {
    let rows_0 = row_unit(row, unit);
    let rows_1 = row_unit(row + UNIT, unit);
    let rows_2 = row_unit(row + 2u * UNIT, unit);
    let rows_3 = row_unit(row + 3u * UNIT, unit);
    let tokens_0 = token_unit(token, unit);
    sums_0_0 = coopMultiplyAdd(rows_0, tokens_0, sums_0_0);
    sums_1_0 = coopMultiplyAdd(rows_1, tokens_0, sums_1_0);
    sums_2_0 = coopMultiplyAdd(rows_2, tokens_0, sums_2_0);
    sums_3_0 = coopMultiplyAdd(rows_3, tokens_0, sums_3_0);
    let tokens_1 = token_unit(token + UNIT, unit);
    sums_0_1 = coopMultiplyAdd(rows_0, tokens_1, sums_0_1);
    sums_1_1 = coopMultiplyAdd(rows_1, tokens_1, sums_1_1);
    sums_2_1 = coopMultiplyAdd(rows_2, tokens_1, sums_2_1);
    sums_3_1 = coopMultiplyAdd(rows_3, tokens_1, sums_3_1);
    let tokens_2 = token_unit(token + 2u * UNIT, unit);
    sums_0_2 = coopMultiplyAdd(rows_0, tokens_2, sums_0_2);
    sums_1_2 = coopMultiplyAdd(rows_1, tokens_2, sums_1_2);
    sums_2_2 = coopMultiplyAdd(rows_2, tokens_2, sums_2_2);
    sums_3_2 = coopMultiplyAdd(rows_3, tokens_2, sums_3_2);
    let tokens_3 = token_unit(token + 3u * UNIT, unit);
    sums_0_3 = coopMultiplyAdd(rows_0, tokens_3, sums_0_3);
    sums_1_3 = coopMultiplyAdd(rows_1, tokens_3, sums_1_3);
    sums_2_3 = coopMultiplyAdd(rows_2, tokens_3, sums_2_3);
    sums_3_3 = coopMultiplyAdd(rows_3, tokens_3, sums_3_3);
}

// Stores the strip that begins at that row and token. All lanes come here together.
fn store_strip(subgroup: u32, place: u32, row: u32, token: u32) {
    store_unit(sums_0_0, subgroup, place, row, token);
    store_unit(sums_1_0, subgroup, place, row + UNIT, token);
    store_unit(sums_2_0, subgroup, place, row + 2u * UNIT, token);
    store_unit(sums_3_0, subgroup, place, row + 3u * UNIT, token);
    store_unit(sums_0_1, subgroup, place, row, token + UNIT);
    store_unit(sums_1_1, subgroup, place, row + UNIT, token + UNIT);
    store_unit(sums_2_1, subgroup, place, row + 2u * UNIT, token + UNIT);
    store_unit(sums_3_1, subgroup, place, row + 3u * UNIT, token + UNIT);
    store_unit(sums_0_2, subgroup, place, row, token + 2u * UNIT);
    store_unit(sums_1_2, subgroup, place, row + UNIT, token + 2u * UNIT);
    store_unit(sums_2_2, subgroup, place, row + 2u * UNIT, token + 2u * UNIT);
    store_unit(sums_3_2, subgroup, place, row + 3u * UNIT, token + 2u * UNIT);
    store_unit(sums_0_3, subgroup, place, row, token + 3u * UNIT);
    store_unit(sums_1_3, subgroup, place, row + UNIT, token + 3u * UNIT);
    store_unit(sums_2_3, subgroup, place, row + 2u * UNIT, token + 3u * UNIT);
    store_unit(sums_3_3, subgroup, place, row + 3u * UNIT, token + 3u * UNIT);
}
