//! The tensor types of the format: one line per type, and nothing else in this crate knows their sizes.
//!
//! Source of ids and sizes: the `ggml_type` list and the block layouts of the ggml project, as published in the `gguf`
//! Python package (`GGMLQuantizationType`, `GGML_QUANT_SIZES`). One size differs from that package: Q8_1 is 36 bytes
//! (two f16 and 32 × i8), as in ggml itself; the package still lists the former layout with two f32. Q2_0 is newer than the
//! package; a fork wrote files with the same id and blocks of 128, whose tensors then appear to overlap or to end too late.

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
    Q2_0    = 42,  64,  18;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits per element, the figure by which quantizations are commonly known: a second opinion on every line.
    #[test]
    fn bits_per_element() {
        let bits: &[(TensorType, f64)] = &[
            (TensorType::F32, 32.0),
            (TensorType::F16, 16.0),
            (TensorType::Q4_0, 4.5),
            (TensorType::Q4_1, 5.0),
            (TensorType::Q5_0, 5.5),
            (TensorType::Q5_1, 6.0),
            (TensorType::Q8_0, 8.5),
            (TensorType::Q8_1, 9.0),
            (TensorType::Q2_K, 2.625),
            (TensorType::Q3_K, 3.4375),
            (TensorType::Q4_K, 4.5),
            (TensorType::Q5_K, 5.5),
            (TensorType::Q6_K, 6.5625),
            (TensorType::Q8_K, 9.125),
            (TensorType::IQ2_XXS, 2.0625),
            (TensorType::IQ2_XS, 2.3125),
            (TensorType::IQ3_XXS, 3.0625),
            (TensorType::IQ1_S, 1.5625),
            (TensorType::IQ4_NL, 4.5),
            (TensorType::IQ3_S, 3.4375),
            (TensorType::IQ2_S, 2.5625),
            (TensorType::IQ4_XS, 4.25),
            (TensorType::I8, 8.0),
            (TensorType::I16, 16.0),
            (TensorType::I32, 32.0),
            (TensorType::I64, 64.0),
            (TensorType::F64, 64.0),
            (TensorType::IQ1_M, 1.75),
            (TensorType::BF16, 16.0),
            (TensorType::TQ1_0, 1.6875),
            (TensorType::TQ2_0, 2.0625),
            (TensorType::MXFP4, 4.25),
            (TensorType::NVFP4, 4.5),
            (TensorType::Q1_0, 1.125),
            (TensorType::Q2_0, 2.25),
        ];
        assert_eq!(
            bits.iter().map(|(ty, _)| *ty).collect::<Vec<_>>(),
            TensorType::ALL
        );
        for &(ty, expected) in bits {
            assert_eq!(
                ty.block_bytes() as f64 * 8.0 / ty.block_len() as f64,
                expected,
                "{ty}"
            );
        }
    }

    #[test]
    fn ids_and_names_lead_back() {
        for &ty in TensorType::ALL {
            assert_eq!(TensorType::from_id(ty.id()), Some(ty));
            assert_eq!(TensorType::from_name(&ty.name().to_lowercase()), Some(ty));
            assert_eq!(
                TensorType::removed_name(ty.id()),
                None,
                "{ty} was removed and is in the table"
            );
        }
        assert!(TensorType::ALL.is_sorted(), "the table is by ascending id");
        assert_eq!(
            TensorType::from_name("Q4_K_M"),
            None,
            "the name of a mixture, not of a type"
        );
    }

    #[test]
    fn ids_in_between_are_the_removed_ones() {
        let last = TensorType::ALL[TensorType::ALL.len() - 1].id();
        for id in 0..=last {
            assert_ne!(
                TensorType::from_id(id).is_some(),
                TensorType::removed_name(id).is_some(),
                "id {id}"
            );
        }
        assert_eq!(TensorType::from_id(last + 1), None);
    }

    #[test]
    fn row_bytes() {
        let rows: &[(TensorType, u64, Option<u64>)] = &[
            (TensorType::Q4_0, 4096, Some(2304)),
            (TensorType::Q6_K, 256, Some(210)),
            (TensorType::Q6_K, 128, None),
            (TensorType::Q4_0, 33, None),
            (TensorType::F32, 0, Some(0)),
            (TensorType::I8, u64::MAX, Some(u64::MAX)),
            (TensorType::F16, u64::MAX, None),
        ];
        for &(ty, k, expected) in rows {
            assert_eq!(ty.row_bytes(k), expected, "{ty}, {k} elements");
        }
    }
}
