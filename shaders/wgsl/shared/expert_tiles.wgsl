// Products with the experts that tokens are routed to, of many tokens: a workgroup has a
// tile of the items of one expert. An item is a token and one of its experts; which an
// expert has, another operation lists (list_items.wgsl). A row and a token of the tile
// are a row of the expert's matrix and a place in its list.

struct Params {
    // Rows of this slice of all experts' matrices, and where those of the first expert
    // begin, seen from there.
    rows: u32,
    first_row: u32,
    // Bytes of a row.
    row_bytes: u32,
    // Inputs k: weights in a row.
    inputs: u32,
    // Rows that the tensor has of an expert.
    rows_each: u32,
    // Outputs n: those of them that are the matrix.
    outputs: u32,
    // Consecutive items that share a row of x.
    sharing: u32,
    // Tokens m: the most items that an expert can have.
    tokens: u32,
}

// [experts, 1 + tokens] how many items, and which
@group(0) @binding(2) var<storage, read> lists: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
// [experts, outputs]
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Whether products have a bias added.
override BIAS: bool = false;

// No tile has more rows.
const MOST_TILE_ROWS: u32 = 128u;

// The workgroup's expert, where its list begins, and how many items that has.
var<private> expert: u32;
var<private> list: u32;
var<private> count: u32;

// The row of the slice that holds row `row` of the expert. Rows of other slices wrap
// around to numbers that the slice does not have.
fn slice_row(row: u32) -> u32 {
    return expert * params.rows_each + params.first_row + row;
}

// Whether a workgroup's tile has anything to multiply: items, and rows of this slice,
// which may begin within the tile. The answer comes from what is plainly the same for all
// lanes, since barriers follow.
fn has_work(row: u32, token: u32, z: u32) -> bool {
    let own = lists[z * (params.tokens + 1u)];
    expert = z;
    list = z * (params.tokens + 1u) + 1u;
    count = own;
    let before = MOST_TILE_ROWS - 1u;
    let first = z * params.rows_each + params.first_row + row;
    return token < own && first + before < params.rows + before;
}

// The byte at which a row begins; past the end of the slice its last, whose products
// nobody stores.
fn weight_row(row: u32) -> u32 {
    return min(slice_row(row), params.rows - 1u) * params.row_bytes;
}

// The row of x that belongs to an item; past the end of the list to its last.
fn input_row(token: u32) -> u32 {
    return lists[list + min(token, count - 1u)] / params.sharing;
}

fn store(row: u32, token: u32, product: f32) {
    if token >= count || row >= params.outputs || slice_row(row) >= params.rows {
        return;
    }
    var value = product;
    if BIAS {
        value += bias[expert * params.outputs + row];
    }
    out[lists[list + token] * params.outputs + row] = value;
}
