//! The table of operations: what each is made of, binds and takes.

pub use crate::list::SHADERS;
use crate::piece::{File, Slot};

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // their files say what they are
pub enum Op {
    MatvecInt8,
    MatvecFloat,
    MatmulInt8,
    MatmulFloat,
    MatmulHalf,
    MatmulUnits,
    SiblingMatvecInt8,
    SiblingMatvecFloat,
    SiblingMatmulInt8,
    SiblingMatmulFloat,
    SiblingMatmulHalf,
    SiblingMatmulUnits,
    /// Of one matrix or of siblings, over splits of the inputs.
    SplitMatmulUnits,
    AddSplits,
    GatedInt8,
    GatedFloat,
    /// Heads times matrices of their own.
    HeadsInt8,
    HeadsFloat,
    Norm,
    Quantize,
    Halves,
    GateMul,
    RopeAppend,
    Resize,
    Attention,
    /// The same of one token, whose keys and values are appended before.
    AttentionAppend,
    /// The same of one token each of several sequences.
    AttentionBatch,
    /// Attention of many queries on matrix units.
    AttentionUnits,
    AttentionCombine,
    EmbedInt8,
    EmbedFloat,
    Gather,
    Deal,
    Join,
    Mul,
    Xielu,
    StateBegin,
    Conv,
    ConvKeep,
    DeltaRule,
    SsmScan,
    Highest,
    ExpertInt8,
    ExpertFloat,
    /// Gate and up of a token's experts.
    ExpertGatedInt8,
    ExpertGatedFloat,
    /// The weighted sum of products with a token's experts.
    ExpertSumInt8,
    ExpertSumFloat,
    /// Of many tokens, an expert's at once.
    ExpertMatmulInt8,
    ExpertMatmulFloat,
    ExpertMatmulHalf,
    ExpertMatmulUnits,
    Route,
    ListItems,
    Mix,
}

/// How an operation uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only reads.
    Read,
    /// It writes, and may read.
    ReadWrite,
}

/// A storage buffer, in group 0; its number is its place in the list.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its name in the shader.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
    /// What is in it.
    pub shape: &'static str,
}

/// A line of the table.
#[derive(Debug)]
pub struct Shader {
    /// The operation.
    pub op: Op,
    /// Its own file.
    pub file: File,
    /// The shared files it needs, in groups that several operations need.
    pub shared: &'static [&'static [File]],
    /// What a caller has to choose.
    pub slots: &'static [Slot],
    /// Its buffers.
    pub bindings: &'static [Binding],
    /// Members of its uniform parameters (group 1, binding 0): words in this
    /// order, all `u32` but for those that the shader has as `f32`.
    pub params: &'static [&'static str],
    /// What the device must have beside compute shaders.
    pub needs: Needs,
    /// Its `override` constants.
    pub overrides: &'static [&'static str],
    /// What one workgroup computes: (x, y, z) in the terms that the shader's
    /// workgroup index counts.
    pub workgroup: Workgroup,
}

/// What an operation needs of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing that not every one has; pieces may.
    Nothing,
    /// Arithmetic in f16.
    Half,
    /// Matrix units for 16 by 16 values in f16 with sums in f32, subgroups of 32,
    /// and the lanes and the workgroup memory of a [tile](crate::piece::UnitTile).
    MatrixUnits,
}

/// How much a workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workgroup {
    /// So many rows of the weights in x (and y, beyond the limit of x), and a
    /// tile of tokens in z.
    Rows(u32),
    /// A square tile: so many rows in x, so many tokens in y; an expert in z.
    Tile(u32),
    /// A tile of its own piece: so many rows in x, so many tokens in y; a split of the
    /// inputs or an expert in z.
    UnitTile,
    /// One row of the activations in x (and y), or one of several lists in x.
    Row,
    /// So many elements in x (and y).
    Elements(u32),
    /// So many columns of a head's matrix in x (and y).
    Columns(u32),
    /// A piece of a row in x, of row y.
    Piece,
    /// A tile of queries in x, those of one sequence after the other's, a key head in
    /// y, a split of the keys in z.
    Queries,
}

impl Op {
    /// The operation's line in the table.
    pub fn shader(self) -> &'static Shader {
        &SHADERS[self as usize]
    }
}
