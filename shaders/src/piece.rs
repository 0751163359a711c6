//! Pieces that fill an operation's open slots.

use gguf::TensorType;

/// A WGSL file.
#[derive(Debug)]
pub struct File {
    /// Path below `wgsl/`, without the ending.
    pub name: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// Includes a WGSL file by its path below `wgsl/`.
macro_rules! wgsl {
    ($name:literal) => {
        $crate::piece::File {
            name: $name,
            text: include_str!(concat!("../wgsl/", $name, ".wgsl")),
        }
    };
}
pub(crate) use wgsl;

/// What an operation leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A block format: `group` reads 32 weights as integers.
    Int8Format,
    /// A float format: `weights_4` reads four weights.
    FloatFormat,
    /// How a workgroup adds up: `reduce`, and the entry point.
    Reduce,
    /// The teams of lanes that a workgroup has: `add_team`, and the entry point.
    Teams,
    /// `TOKENS` that a workgroup computes at once.
    Tokens,
    /// `QUERIES` that a workgroup computes at once.
    Queries,
    /// `LANES` of a workgroup.
    Lanes,
    /// How rows are read and written: `x_4`, `weight_4`, `put_4`.
    Row,
    /// How four neighbouring lanes add up: `add_four`.
    Share,
    /// `TILE_ROWS` and `TILE_TOKENS` that a workgroup computes on matrix units.
    UnitTile,
    /// `WIDTH` of a head on matrix units, at most.
    HeadWidth,
    /// How keys and values are `Stored`.
    Cache,
    /// Where a `candidate` comes from.
    Source,
}

/// A choice for a slot.
#[derive(Debug)]
pub struct Piece {
    /// Which slot it fills.
    pub slot: Slot,
    /// Its files, those it needs first.
    pub files: &'static [File],
    /// Whether the device must have subgroups.
    pub subgroups: bool,
}

impl Piece {
    /// The name of its own file.
    pub fn name(&self) -> &'static str {
        self.files.last().expect("a piece has a file").name
    }
}

/// Sums through workgroup memory.
pub static REDUCE_WORKGROUP: Piece = piece(Slot::Reduce, &[wgsl!("reduce/workgroup")]);

/// Sums within subgroups first. WGSL asks for the directive `enable subgroups;`;
/// naga 30 refuses it and knows the operations without.
pub static REDUCE_SUBGROUP: Piece = Piece {
    subgroups: true,
    ..piece(Slot::Reduce, &[wgsl!("reduce/subgroup")])
};

/// Teams that add up through workgroup memory.
pub static TEAMS_WORKGROUP: Piece = piece(Slot::Teams, &[wgsl!("teams/workgroup")]);

/// Teams that are subgroups.
pub static TEAMS_SUBGROUP: Piece = Piece {
    subgroups: true,
    ..piece(Slot::Teams, &[wgsl!("teams/subgroup")])
};

/// Rows of whole fours.
pub static ROW_FOURS: Piece = piece(Slot::Row, &[wgsl!("row/fours")]);

/// Rows of any length.
pub static ROW_VALUES: Piece = piece(Slot::Row, &[wgsl!("row/values")]);

/// Four lanes that add up through workgroup memory.
pub static SHARE_WORKGROUP: Piece = piece(Slot::Share, &[wgsl!("share/workgroup")]);

/// Four lanes that add up within a subgroup of at least so many.
pub static SHARE_SUBGROUP: Piece = Piece {
    subgroups: true,
    ..piece(Slot::Share, &[wgsl!("share/subgroup")])
};

/// Keys and values as binary16.
pub static CACHE_F16: Piece = piece(Slot::Cache, &[wgsl!("kv/f16")]);

/// Keys and values as they are.
pub static CACHE_F32: Piece = piece(Slot::Cache, &[wgsl!("kv/f32")]);

/// Keys and values as 8-bit integers with scales.
pub static CACHE_Q8_0: Piece = piece(Slot::Cache, &[wgsl!("kv/q8_0")]);

/// Candidates from values.
pub static SOURCE_VALUES: Piece = piece(Slot::Source, &[wgsl!("source/values")]);

/// Candidates from an earlier selection.
pub static SOURCE_PAIRS: Piece = piece(Slot::Source, &[wgsl!("source/pairs")]);

const fn piece(slot: Slot, files: &'static [File]) -> Piece {
    Piece {
        slot,
        files,
        subgroups: false,
    }
}

const fn block(files: &'static [File]) -> Piece {
    piece(Slot::Int8Format, files)
}

const fn float(files: &'static [File]) -> Piece {
    piece(Slot::FloatFormat, files)
}

/// The formats that weights can have.
pub static FORMATS: &[(TensorType, Piece)] = &[
    (TensorType::F32, float(&[wgsl!("format/f32")])),
    (TensorType::F16, float(&[wgsl!("format/f16")])),
    (TensorType::BF16, float(&[wgsl!("format/bf16")])),
    (TensorType::Q4_0, block(&[wgsl!("format/q4_0")])),
    (TensorType::Q4_1, block(&[wgsl!("format/q4_1")])),
    (
        TensorType::Q5_0,
        block(&[wgsl!("shared/bits"), wgsl!("format/q5_0")]),
    ),
    (
        TensorType::Q5_1,
        block(&[wgsl!("shared/bits"), wgsl!("format/q5_1")]),
    ),
    (TensorType::Q8_0, block(&[wgsl!("format/q8_0")])),
    (TensorType::Q2_K, block(&[wgsl!("format/q2_k")])),
    (TensorType::Q3_K, block(&[wgsl!("format/q3_k")])),
    (
        TensorType::Q4_K,
        block(&[wgsl!("shared/scale_min"), wgsl!("format/q4_k")]),
    ),
    (
        TensorType::Q5_K,
        block(&[wgsl!("shared/scale_min"), wgsl!("format/q5_k")]),
    ),
    (TensorType::Q6_K, block(&[wgsl!("format/q6_k")])),
    (
        TensorType::IQ4_NL,
        block(&[wgsl!("shared/iq4_values"), wgsl!("format/iq4_nl")]),
    ),
    (
        TensorType::IQ4_XS,
        block(&[wgsl!("shared/iq4_values"), wgsl!("format/iq4_xs")]),
    ),
    (
        TensorType::IQ1_S,
        block(&[wgsl!("shared/codebook"), wgsl!("format/iq1_s")]),
    ),
    (
        TensorType::IQ1_M,
        block(&[wgsl!("shared/codebook"), wgsl!("format/iq1_m")]),
    ),
    (
        TensorType::IQ2_XXS,
        block(&[wgsl!("shared/codebook"), wgsl!("format/iq2_xxs")]),
    ),
    (
        TensorType::IQ2_XS,
        block(&[wgsl!("shared/codebook"), wgsl!("format/iq2_xs")]),
    ),
    (
        TensorType::IQ2_S,
        block(&[wgsl!("shared/codebook"), wgsl!("format/iq2_s")]),
    ),
    (
        TensorType::IQ3_XXS,
        block(&[wgsl!("shared/codebook"), wgsl!("format/iq3_xxs")]),
    ),
    (
        TensorType::IQ3_S,
        block(&[wgsl!("shared/codebook"), wgsl!("format/iq3_s")]),
    ),
    (TensorType::MXFP4, block(&[wgsl!("format/mxfp4")])),
    (
        TensorType::Q1_0,
        block(&[wgsl!("shared/bits"), wgsl!("format/q1_0")]),
    ),
    (TensorType::Q2_0, block(&[wgsl!("format/q2_0")])),
    (TensorType::TQ1_0, block(&[wgsl!("format/tq1_0")])),
    (TensorType::TQ2_0, block(&[wgsl!("format/tq2_0")])),
];

/// Tokens that a workgroup can compute at once.
pub static TOKENS: &[(u32, Piece)] = &[
    (1, piece(Slot::Tokens, &[wgsl!("tile/tokens_1")])),
    (2, piece(Slot::Tokens, &[wgsl!("tile/tokens_2")])),
    (4, piece(Slot::Tokens, &[wgsl!("tile/tokens_4")])),
    (8, piece(Slot::Tokens, &[wgsl!("tile/tokens_8")])),
];

/// Queries that a workgroup can compute at once.
pub static QUERIES: &[(u32, Piece)] = &[
    (1, piece(Slot::Queries, &[wgsl!("tile/queries_1")])),
    (2, piece(Slot::Queries, &[wgsl!("tile/queries_2")])),
    (4, piece(Slot::Queries, &[wgsl!("tile/queries_4")])),
    (8, piece(Slot::Queries, &[wgsl!("tile/queries_8")])),
];

/// Lanes that a workgroup can have.
pub static LANES: &[(u32, Piece)] = &[
    (256, piece(Slot::Lanes, &[wgsl!("lanes/lanes_256")])),
    (1024, piece(Slot::Lanes, &[wgsl!("lanes/lanes_1024")])),
];

/// What a workgroup computes on matrix units. The smaller one is for little work,
/// which would keep few multiprocessors busy in large tiles.
#[derive(Debug)]
pub struct UnitTile {
    /// Rows of the weights.
    pub rows: u32,
    /// Tokens.
    pub tokens: u32,
    /// Rows and tokens of a subgroup.
    strip: [u32; 2],
    /// The piece that says so to the shader.
    pub piece: Piece,
}

impl UnitTile {
    /// Subgroups of a workgroup.
    fn subgroups(&self) -> u32 {
        let [rows, tokens] = self.strip;
        (self.rows / rows) * (self.tokens / tokens)
    }

    /// Lanes of a workgroup, in subgroups of 32.
    pub fn lanes(&self) -> u32 {
        self.subgroups() * 32
    }

    /// Bytes of workgroup memory: 64 inputs of each row and token, padded by 8, in
    /// f16, and 16 by 16 results for each subgroup.
    pub fn workgroup_bytes(&self) -> u32 {
        (self.rows + self.tokens) * (64 + 8) * 2 + self.subgroups() * 16 * 16 * 4
    }
}

/// Tiles on matrix units, the larger first.
pub static UNIT_TILES: &[UnitTile] = &[
    UnitTile {
        rows: 128,
        tokens: 128,
        strip: [64, 32],
        piece: piece(
            Slot::UnitTile,
            &[wgsl!("tile/strip_4x2"), wgsl!("tile/units_128x128")],
        ),
    },
    UnitTile {
        rows: 64,
        tokens: 64,
        strip: [32, 32],
        piece: piece(
            Slot::UnitTile,
            &[wgsl!("tile/strip_2x2"), wgsl!("tile/units_64x64")],
        ),
    },
];

/// How wide heads can be in attention on matrix units; narrower ones are padded.
#[derive(Debug)]
pub struct HeadWidth {
    /// Dimensions of keys and values.
    pub width: u32,
    /// The piece that says so to the shader.
    pub piece: Piece,
}

impl HeadWidth {
    /// Lanes of a workgroup.
    pub const LANES: u32 = 128;

    /// Queries of a workgroup.
    pub const QUERIES: u32 = 64;

    /// Bytes of workgroup memory: 64 keys or values, padded by 8, in f16; 64 scores
    /// of each query, padded by 8, as f32 and in f16; two values a query, a flag a
    /// subgroup, and what quantizing takes.
    pub fn workgroup_bytes(&self) -> u32 {
        let scores = Self::QUERIES * (64 + 8);
        let quantizing = Self::LANES * 2 * 4;
        64 * (self.width + 8) * 2 + scores * (4 + 2) + Self::QUERIES * 2 * 4 + 4 * 4 + quantizing
    }
}

/// Widths of heads on matrix units, the narrower first.
pub static HEAD_WIDTHS: &[HeadWidth] = &[
    head_width(64, &[wgsl!("tile/heads_64")]),
    head_width(128, &[wgsl!("tile/heads_128")]),
];

const fn head_width(width: u32, files: &'static [File]) -> HeadWidth {
    HeadWidth {
        width,
        piece: piece(Slot::HeadWidth, files),
    }
}

/// The piece of a weight format, if it has one.
pub fn format(ty: TensorType) -> Option<&'static Piece> {
    FORMATS
        .iter()
        .find(|(of, _)| *of == ty)
        .map(|(_, piece)| piece)
}

/// The piece for that many tokens at once.
pub fn tokens(tokens: u32) -> Option<&'static Piece> {
    TOKENS
        .iter()
        .find(|(of, _)| *of == tokens)
        .map(|(_, piece)| piece)
}

/// The piece for that many queries at once.
pub fn queries(queries: u32) -> Option<&'static Piece> {
    QUERIES
        .iter()
        .find(|(of, _)| *of == queries)
        .map(|(_, piece)| piece)
}

/// Every piece that fits a slot.
pub fn choices(slot: Slot) -> Vec<&'static Piece> {
    let numbered = |table: &'static [(u32, Piece)]| table.iter().map(|(_, piece)| piece);
    FORMATS
        .iter()
        .map(|(_, piece)| piece)
        .chain(numbered(TOKENS))
        .chain(numbered(QUERIES))
        .chain(numbered(LANES))
        .chain(UNIT_TILES.iter().map(|tile| &tile.piece))
        .chain(HEAD_WIDTHS.iter().map(|heads| &heads.piece))
        .chain([&REDUCE_WORKGROUP, &REDUCE_SUBGROUP])
        .chain([&TEAMS_WORKGROUP, &TEAMS_SUBGROUP])
        .chain([&ROW_FOURS, &ROW_VALUES])
        .chain([&SHARE_WORKGROUP, &SHARE_SUBGROUP])
        .chain([&CACHE_F16, &CACHE_F32, &CACHE_Q8_0])
        .chain([&SOURCE_VALUES, &SOURCE_PAIRS])
        .filter(|piece| piece.slot == slot)
        .collect()
}
