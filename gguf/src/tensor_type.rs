//! The tensor types of the format: one line per type, and nothing else in this crate knows their sizes.
//!
//! Source of ids and sizes: the `ggml_type` list and the block layouts of the ggml project, as published in the `gguf`
//! Python package (`GGMLQuantizationType`, `GGML_QUANT_SIZES`). One size differs from that package: Q8_1 is 36 bytes
//! (two f16 and 32 × i8), as in ggml itself; the package still lists the former layout with two f32.

use std::fmt;

macro_rules! tensor_types {
    ($($name:ident = $id:literal, $block_len:literal, $block_bytes:literal;)*) => {
        /// How the elements of a tensor are stored.
        ///
        /// Elements come in blocks of [`block_len`](Self::block_len) consecutive elements of a row, each
        /// [`block_bytes`](Self::block_bytes) long. All types the format knows are here, also those no kernel computes with.
        #[allow(non_camel_case_types, missing_docs)] // the names are the format's
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum TensorType {
            $($name = $id,)*
        }

        impl TensorType {
            /// Every type, by ascending id.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The type with this id in a file, if there is one.
            pub const fn from_id(id: u32) -> Option<Self> {
                match id {
                    $($id => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The format's name, such as `Q4_K`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Elements per block.
            pub const fn block_len(self) -> usize {
                match self {
                    $(Self::$name => $block_len,)*
                }
            }

            /// Bytes per block.
            pub const fn block_bytes(self) -> usize {
                match self {
                    $(Self::$name => $block_bytes,)*
                }
            }
        }
    };
}

tensor_types! {
    // name = id, elements per block, bytes per block;
    F32     =  0,   1,   4;
    F16     =  1,   1,   2;
    Q4_0    =  2,  32,  18;
    Q4_1    =  3,  32,  20;
    Q5_0    =  6,  32,  22;
    Q5_1    =  7,  32,  24;
    Q8_0    =  8,  32,  34;
    Q8_1    =  9,  32,  36;
    Q2_K    = 10, 256,  84;
    Q3_K    = 11, 256, 110;
    Q4_K    = 12, 256, 144;
    Q5_K    = 13, 256, 176;
    Q6_K    = 14, 256, 210;
    Q8_K    = 15, 256, 292;
    IQ2_XXS = 16, 256,  66;
    IQ2_XS  = 17, 256,  74;
    IQ3_XXS = 18, 256,  98;
    IQ1_S   = 19, 256,  50;
    IQ4_NL  = 20,  32,  18;
    IQ3_S   = 21, 256, 110;
    IQ2_S   = 22, 256,  82;
    IQ4_XS  = 23, 256, 136;
    I8      = 24,   1,   1;
    I16     = 25,   1,   2;
    I32     = 26,   1,   4;
    I64     = 27,   1,   8;
    F64     = 28,   1,   8;
    IQ1_M   = 29, 256,  56;
    BF16    = 30,   1,   2;
    TQ1_0   = 34, 256,  54;
    TQ2_0   = 35, 256,  66;
    MXFP4   = 39,  32,  17;
    NVFP4   = 40,  64,  36;
    Q1_0    = 41, 128,  18;
}

/// Types that once had an id and were withdrawn from the format; files with them need to be converted again.
const REMOVED: &[(u32, &str)] = &[
    (4, "Q4_2"),
    (5, "Q4_3"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
];

impl TensorType {
    /// The type with this name, whatever the case of its letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|ty| ty.name().eq_ignore_ascii_case(name))
    }

    /// The name of a type that was withdrawn from the format and no longer has a layout.
    pub fn removed_name(id: u32) -> Option<&'static str> {
        REMOVED
            .iter()
            .find(|(removed, _)| *removed == id)
            .map(|(_, name)| *name)
    }

    /// The id in a file.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// Bytes of a row of `k` elements; `None` when `k` is not a multiple of the block length or the size exceeds u64.
    pub const fn row_bytes(self, k: u64) -> Option<u64> {
        let block_len = self.block_len() as u64;
        if !k.is_multiple_of(block_len) {
            return None;
        }
        (k / block_len).checked_mul(self.block_bytes() as u64)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
