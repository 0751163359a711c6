// Products with the experts that tokens are routed to, of many tokens: a workgroup has a
// tile of the items of one expert. Which an expert has, another operation lists
// (list_items.wgsl). A row and a token of the tile are a row of the expert's matrix and a
// place in its list.

// [experts, 1 + tokens] how many items, and which
@group(0) @binding(2) var<storage, read> lists: array<u32>;

// No tile has more rows.
const MOST_TILE_ROWS: u32 = 128u;

// The workgroup's expert, where its list begins, and how many items that has.
var<private> expert: u32;
var<private> list: u32;
var<private> count: u32;

// Whether a workgroup's tile has anything to multiply: items, and rows of this slice,
// which may begin within the tile. The answer comes from what is plainly the same for all
// lanes, since barriers follow.
fn has_work(row: u32, token: u32, z: u32) -> bool {
    let begin = z * (params.tokens + 1u);
    let own = lists[begin];
    expert = z;
    list = begin + 1u;
    count = own;
    let before = MOST_TILE_ROWS - 1u;
    return token < own && slice_row(z, row) + before < params.rows + before;
}

fn weight_row(row: u32) -> u32 {
    return expert_row(expert, row);
}

// The row of x that belongs to an item; past the end of the list to its last.
fn input_row(token: u32) -> u32 {
    return lists[list + min(token, count - 1u)] / params.sharing;
}

fn store(row: u32, token: u32, product: f32) {
    if token < count {
        store_item(lists[list + token], expert, row, product);
    }
}
