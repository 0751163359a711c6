//! Every format of the table against an independent dequantizer, and against
//! what it says of itself.

use super::*;

/// A format's line in the table of the tests.
pub(super) struct Tested {
    pub format: Format,
    /// Blocks and then their weights: see `vectors/make.py`.
    pub vectors: &'static [u8],
}

#[test]
fn table_is_in_variant_order_and_agrees_with_gguf() {
    for (index, info) in TABLE.iter().enumerate() {
        assert_eq!(info.format as usize, index);
        let ty = info.tensor_type;
        assert_eq!(info.block_len, ty.block_len(), "{}", info.name);
        assert_eq!(info.block_bytes, ty.block_bytes(), "{}", info.name);
    }
}

/// Equal, not near: no format rounds differently from the reference. Only the
/// sign of a zero may differ, since `+ m` makes a negative zero positive.
#[test]
fn weights_equal_an_independent_dequantizer() {
    for Tested { format, vectors } in TESTED {
        let FormatInfo {
            name,
            block_len,
            block_bytes,
            ..
        } = *format.info();
        let count = vectors.len() / (block_bytes + 4 * block_len);
        let (blocks, expected) = vectors.split_at(count * block_bytes);
        assert!(count > 0);
        assert_eq!(expected.len(), 4 * count * block_len, "{name}");

        let mut weights = vec![0.0; count * block_len];
        format.dequantize(blocks, &mut weights);
        for (i, expected) in expected.chunks_exact(4).enumerate() {
            let expected = f32::from_le_bytes(expected.try_into().unwrap());
            assert_eq!(
                weights[i],
                expected,
                "{name}, block {}, weight {}",
                i / block_len,
                i % block_len
            );
        }
    }
}
