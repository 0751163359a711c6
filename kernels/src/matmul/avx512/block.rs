//! The loops around a [`tile`](super::tile): of a *block* of tokens, a few tiles, some
//! octets stay in the first-level cache; those of a sheet come from the second, once,
//! and meet all tiles of the block.

use super::octet::PerLane;
use super::tile::*;
use crate::activation::{Pair, Scaling};
use crate::lines::LINE_BYTES;
use std::arch::asm;
use std::mem::offset_of;
use std::ops::Range;

/// Tiles of a block at most.
pub const TILES: usize = 2;

/// Some octets of each of a strip's sheets.
pub struct Weights<'a> {
    /// Octets of a row.
    pub octets: usize,
    /// Those of each sheet that lie side by side, and of them those that are multiplied.
    pub part: Range<usize>,
    pub range: Range<usize>,
    /// Quants of all sheets and octets, unsigned.
    pub q: &'a [[Quants; ROW_PAIRS]],
    /// Scales: for each octet one, or two if halves are apart.
    pub d: &'a [[PerLane<f32>; ROW_PAIRS]],
    /// Minimums: for each octet as many as the format has.
    pub m: &'a [[PerLane<f32>; ROW_PAIRS]],
}

/// Octets of a block's tokens.
pub struct Tokens<'a> {
    /// All octets of the block's pairs, one pair after the other, as many as a tile has
    /// for each tile, or fewer for the only one; those that are multiplied are those of the
    /// weights.
    pub pairs: &'a [Pair],
    /// What goes with octets of this format: of each tile, for each octet that is
    /// multiplied, for each pair of a whole tile.
    pub beside: &'a [Beside],
}

/// What comes of a block.
pub struct Products<'a> {
    /// Partial sums of each sheet with each pair of a whole tile, of each tile; they begin
    /// with zero where octets begin with a row's first.
    pub sums: &'a mut [Sums],
    /// Products of each sheet with each two pairs, or the one that is left, of a whole
    /// tile, of each tile, once octets have come to the end of a row.
    pub folded: &'a mut [Folded],
}

/// Streams of bytes, one for each pair of each tile and as long as each other, that are
/// asked for, a line of each for each octet of the tile. Their memory is not accessed: they
/// may lie anywhere.
pub struct Ahead {
    /// What comes next of the first.
    next: *const u8,
    /// Where the first ends.
    end: *const u8,
    /// How far each of a tile is from the one before.
    apart: isize,
    /// How far the first of a tile is from that of the tile before.
    tile: isize,
}

impl Ahead {
    /// Asks for what is as long as `bytes` and lies behind.
    pub fn after(bytes: &[u8], scaling: Scaling) -> Ahead {
        let stream = bytes.len() / (TILES * token_pairs(scaling));
        let next = bytes.as_ptr().wrapping_add(bytes.len());
        Ahead {
            next,
            end: next.wrapping_add(stream),
            apart: stream as isize,
            tile: (token_pairs(scaling) * stream) as isize,
        }
    }

    /// Asks for some octets of pairs that have so many.
    #[inline]
    pub fn tokens(pairs: &[Pair], scaling: Scaling, octets: usize, range: Range<usize>) -> Ahead {
        let pair = (octets * size_of::<Pair>()) as isize;
        let pairs = pairs[range].as_ptr_range();
        Ahead {
            next: pairs.start.cast(),
            end: pairs.end.cast(),
            apart: pair,
            tile: token_pairs(scaling) as isize * pair,
        }
    }
}

/// What the loops need between octets, in bytes where nothing else is said.
#[repr(C, align(64))]
struct Between {
    /// Lanes of folded sums in their order.
    sorted: PerLane<u32>,
    /// Octets of a tile; tiles of a block; tiles of this sheet and sheets that are left.
    octets: usize,
    tiles: usize,
    tiles_left: usize,
    sheets_left: usize,
    /// Whether sums have begun, and whether they end.
    begun: bool,
    ends: bool,
    /// From the end of a tile's octets back to where they begin.
    q_back: usize,
    d_back: usize,
    m_back: usize,
    /// From a sheet to the next.
    q_sheet: usize,
    d_sheet: usize,
    m_sheet: usize,
    /// From the end of a tile's octets to the next tile, and from behind the last back
    /// to the first.
    pairs_on: usize,
    pairs_back: usize,
    beside_back: usize,
    /// The same of what is asked for; then what a sheet asked for, and the last place
    /// where that much can be.
    ahead_on: isize,
    ahead_back: isize,
    asked: usize,
    last: *const u8,
}

/// Asks for a line of each of a tile's streams.
#[rustfmt::skip]
macro_rules! ask {
    (adding) => { concat!("prefetcht1 [{ahead}]\n", "prefetcht1 [{ahead} + {apart}]\n") };
    (multiplying) => { concat!(ask!(adding), "prefetcht1 [{ahead} + 2*{apart}]\n") };
}

/// The pairs of a whole tile.
macro_rules! whole_tile {
    (adding) => {
        token_pairs(Scaling::Adding)
    };
    (multiplying) => {
        token_pairs(Scaling::Multiplying)
    };
}

/// The loops over sheets, tiles and octets around what a kind of format does, for as
/// many pairs of tokens as there are in a tile.
#[rustfmt::skip]
macro_rules! sheets {
    ($kind:ident, $scaling:ident, $pairs:ident, $($argument:ident)*) => {
        match ($scaling, $pairs) {
            (Scaling::Adding, 1) => sheets!($kind adding one, $($argument)*),
            (Scaling::Adding, _) => sheets!($kind adding two, $($argument)*),
            (Scaling::Multiplying, 1) => sheets!($kind multiplying one, $($argument)*),
            (Scaling::Multiplying, 2) => sheets!($kind multiplying two, $($argument)*),
            (Scaling::Multiplying, _) => sheets!($kind multiplying three, $($argument)*),
        }
    };
    ($kind:ident $scaling:ident $tokens:ident, $q:ident $d:ident $m:ident $x:ident $pair:ident $beside:ident
     $between:ident $products:ident $ahead:ident) => {
        asm!(
            // Not all tiles use these.
            "/* {m} {pair} */",
            "2:",
            "cmp byte ptr [{between} + {of_begun}], 0",
            "jne 3f",
            "vpxor xmm0, xmm0, xmm0", "vpxor xmm1, xmm1, xmm1",
            "vpxor xmm2, xmm2, xmm2", "vpxor xmm3, xmm3, xmm3",
            "vpxor xmm4, xmm4, xmm4", "vpxor xmm5, xmm5, xmm5",
            "vpxor xmm6, xmm6, xmm6", "vpxor xmm7, xmm7, xmm7",
            "vpxor xmm8, xmm8, xmm8", "vpxor xmm9, xmm9, xmm9",
            "vpxor xmm10, xmm10, xmm10", "vpxor xmm11, xmm11, xmm11",
            "jmp 4f",
            "3:",
            $tokens!($scaling load_sums),
            "4:",
            "mov {octets}, [{between} + {of_octets}]",
            "5:",
            ask!($scaling),
            octet!($kind $scaling $tokens),
            "add {q}, 1024",
            "add {x}, 896",
            "add {beside}, {beside_of_octet}",
            "add {ahead}, 64",
            "dec {octets}",
            "jnz 5b",
            "cmp byte ptr [{between} + {of_ends}], 0",
            "jne 6f",
            $tokens!($scaling store_sums),
            "jmp 7f",
            "6:",
            fold!($scaling),
            "add {folded}, {folded_of_tile}",
            "7:",
            "add {sums}, {sums_of_tile}",
            "sub {q}, [{between} + {of_q_back}]",
            "sub {d}, [{between} + {of_d_back}]",
            "sub {m}, [{between} + {of_m_back}]",
            "add {x}, [{between} + {of_pairs_on}]",
            "add {ahead}, [{between} + {of_ahead_on}]",
            "dec qword ptr [{between} + {of_tiles_left}]",
            "jnz 2b",
            "add {q}, [{between} + {of_q_sheet}]",
            "add {d}, [{between} + {of_d_sheet}]",
            "add {m}, [{between} + {of_m_sheet}]",
            "sub {x}, [{between} + {of_pairs_back}]",
            "sub {beside}, [{between} + {of_beside_back}]",
            "sub {ahead}, [{between} + {of_ahead_back}]",
            // Where nothing is left to ask for, the last once more.
            "mov {octets}, {ahead}",
            "sub {octets}, [{between} + {of_asked}]",
            "cmp {ahead}, [{between} + {of_last}]",
            "cmova {ahead}, {octets}",
            "mov {octets}, [{between} + {of_tiles}]",
            "mov [{between} + {of_tiles_left}], {octets}",
            "dec qword ptr [{between} + {of_sheets_left}]",
            "jnz 2b",
            q = inout(reg) $q => _,
            d = inout(reg) $d => _,
            m = inout(reg) $m => _,
            x = inout(reg) $x => _,
            pair = in(reg) $pair,
            beside = inout(reg) $beside => _,
            sums = inout(reg) $products.sums.as_mut_ptr() => _,
            folded = inout(reg) $products.folded.as_mut_ptr() => _,
            ahead = inout(reg) $ahead.next,
            apart = in(reg) $ahead.apart,
            between = in(reg) &raw mut $between,
            octets = out(reg) _,
            beside_of_octet = const whole_tile!($scaling) * size_of::<Beside>(),
            folded_of_tile = const whole_tile!($scaling).div_ceil(2) * size_of::<Folded>(),
            sums_of_tile = const whole_tile!($scaling) * size_of::<Sums>(),
            of_sorted = const offset_of!(Between, sorted),
            of_octets = const offset_of!(Between, octets),
            of_tiles = const offset_of!(Between, tiles),
            of_tiles_left = const offset_of!(Between, tiles_left),
            of_sheets_left = const offset_of!(Between, sheets_left),
            of_begun = const offset_of!(Between, begun),
            of_ends = const offset_of!(Between, ends),
            of_q_back = const offset_of!(Between, q_back),
            of_d_back = const offset_of!(Between, d_back),
            of_m_back = const offset_of!(Between, m_back),
            of_q_sheet = const offset_of!(Between, q_sheet),
            of_d_sheet = const offset_of!(Between, d_sheet),
            of_m_sheet = const offset_of!(Between, m_sheet),
            of_pairs_on = const offset_of!(Between, pairs_on),
            of_pairs_back = const offset_of!(Between, pairs_back),
            of_beside_back = const offset_of!(Between, beside_back),
            of_ahead_on = const offset_of!(Between, ahead_on),
            of_ahead_back = const offset_of!(Between, ahead_back),
            of_asked = const offset_of!(Between, asked),
            of_last = const offset_of!(Between, last),
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
            out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
            out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
            out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
            out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
            out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
            out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
            options(nostack),
        )
    };
}

/// Multiplies octets of all sheets with those of a block of tokens. Those of a row come
/// slice by slice, in their order.
///
/// # Panics
///
/// If lengths do not fit.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
pub fn multiply<const HALVES: bool, const MINIMUMS: usize>(
    scaling: Scaling,
    weights: Weights<'_>,
    tokens: Tokens<'_>,
    products: Products<'_>,
    ahead: &mut Ahead,
) {
    /// `[token][row]`, from where [`fold`] leaves them: at `[row][token]`, the tokens of
    /// a pair in the first and the third and in the second and the fourth row where they
    /// met the rows as they lie, and with places changed where those were.
    const ADDING: PerLane<u32> = [0, 1, 8, 9, 5, 4, 13, 12, 2, 3, 10, 11, 7, 6, 15, 14];
    /// The same, from `[row][token]` in their order.
    const MULTIPLYING: PerLane<u32> = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];
    let (range, scales) = (weights.range, 1 + usize::from(HALVES));
    let octets = range.len();
    let of_tile = token_pairs(scaling);
    let tiles = tokens.beside.len() / (octets * of_tile);
    let sheets = products.sums.len() / (tiles * of_tile);
    let here = weights.part;
    assert!(here.start <= range.start && range.end <= here.end && here.end <= weights.octets);
    assert!(tiles > 0 && sheets > 0);
    assert_eq!(tokens.beside.len(), tiles * octets * of_tile);
    let pairs = tokens.pairs.len() / (tiles * weights.octets);
    assert_eq!(tokens.pairs.len(), tiles * pairs * weights.octets);
    assert!(pairs == of_tile || tiles == 1 && (1..of_tile).contains(&pairs));
    assert_eq!(products.sums.len(), sheets * tiles * of_tile);
    assert_eq!(products.folded.len(), sheets * tiles * of_tile.div_ceil(2));
    assert_eq!(weights.q.len(), sheets * here.len());
    assert_eq!(weights.d.len(), weights.q.len() * scales);
    assert_eq!(weights.m.len(), weights.q.len() * MINIMUMS);
    let q_of = |octets: usize| octets * size_of::<[Quants; ROW_PAIRS]>();
    let d_of = |octets: usize| octets * scales * size_of::<[PerLane<f32>; ROW_PAIRS]>();
    let m_of = |octets: usize| octets * MINIMUMS * size_of::<[PerLane<f32>; ROW_PAIRS]>();
    let pairs_of = |octets: usize| octets * size_of::<Pair>();
    let asked = octets * LINE_BYTES;
    let mut between = Between {
        sorted: match scaling {
            Scaling::Adding => ADDING,
            Scaling::Multiplying => MULTIPLYING,
        },
        octets,
        tiles,
        tiles_left: tiles,
        sheets_left: sheets,
        begun: range.start > 0,
        ends: range.end == weights.octets,
        q_back: q_of(octets),
        d_back: d_of(octets),
        m_back: m_of(octets),
        q_sheet: q_of(here.len()),
        d_sheet: d_of(here.len()),
        m_sheet: m_of(here.len()),
        pairs_on: pairs_of(of_tile * weights.octets - octets),
        pairs_back: pairs_of(tiles * of_tile * weights.octets),
        beside_back: size_of_val(tokens.beside),
        ahead_on: ahead.tile - asked as isize,
        ahead_back: tiles as isize * ahead.tile - asked as isize,
        asked,
        last: ahead.end.wrapping_sub(asked),
    };
    let first = range.start - here.start;
    let q = weights.q[first..].as_ptr();
    let d = weights.d[first * scales..].as_ptr();
    let m = weights.m[first * MINIMUMS..].as_ptr();
    let x = tokens.pairs[range.start..].as_ptr();
    let pair = pairs_of(weights.octets);
    let beside = tokens.beside.as_ptr();
    match (HALVES, MINIMUMS) {
        // SAFETY: of each sheet, the loops read those octets of `q` and `d`, which need no
        // alignment, of each tile those of its pairs and all of `beside`, which have theirs;
        // of `sums` they read and write what each sheet and tile have, and write that of
        // `folded` where rows end. What is asked for may lie anywhere.
        (false, 0) => unsafe {
            sheets!(plain, scaling, pairs, q d m x pair beside between products ahead)
        },
        // SAFETY: as before; one element of `m` per octet.
        (false, 1) => unsafe {
            sheets!(minimum, scaling, pairs, q d m x pair beside between products ahead)
        },
        // SAFETY: as before; two elements of `m` per octet.
        (false, 2) => unsafe {
            sheets!(minimums, scaling, pairs, q d m x pair beside between products ahead)
        },
        // SAFETY: as in the first case; two elements of `d` per octet.
        (true, 0) => unsafe {
            sheets!(halves, scaling, pairs, q d m x pair beside between products ahead)
        },
        _ => unreachable!("no panel has {MINIMUMS} minimums, halves apart: {HALVES}"),
    }
}
