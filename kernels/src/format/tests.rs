//! Every format of the table against an independent dequantizer, and against
//! what it says of itself.

use super::*;
use crate::selftest::Random;

/// A format's line in the table of the tests.
pub(super) struct Tested {
    pub format: Format,
    /// Blocks and then their weights: see `vectors/make.py`.
    pub vectors: &'static [u8],
    /// For block formats.
    pub declared: Option<Declared>,
}

/// What a block format says of itself, and its groups to compare with it.
pub(super) struct Declared {
    offset: u8,
    max: u8,
    subscales: bool,
    minimum: Minimum,
    /// Every group of whole blocks, in order.
    groups: fn(&[u8]) -> Vec<Group>,
}

impl Declared {
    pub const fn of<B: Block>() -> Declared {
        Declared {
            offset: B::OFFSET,
            max: B::MAX,
            subscales: B::SUBSCALES,
            minimum: B::MINIMUM,
            groups: |bytes| {
                let groups = |block: &B| -> Vec<Group> {
                    (0..B::LEN / GROUP).map(|i| block.group(i)).collect()
                };
                blocks::<B>(bytes).iter().flat_map(groups).collect()
            },
        }
    }
}

/// The block formats.
fn block_formats() -> impl Iterator<Item = (&'static FormatInfo, &'static Declared)> {
    TESTED
        .iter()
        .filter_map(|row| Some((row.format.info(), row.declared.as_ref()?)))
}

/// Blocks of any bits.
fn random_blocks(info: &FormatInfo, count: usize) -> Vec<u8> {
    let mut random = Random(info.block_bytes as u64);
    (0..count * info.block_bytes)
        .map(|_| random.next() as u8)
        .collect()
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
    for Tested {
        format, vectors, ..
    } in TESTED
    {
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

/// The bounds are also reached, so that they are not wider than need be.
#[test]
fn quants_reach_their_bounds_and_stay_within() {
    for (info, declared) in block_formats() {
        let groups = (declared.groups)(&random_blocks(info, 256));
        let shifted = || {
            let quants = groups.iter().flat_map(|group| group.q);
            quants.map(|q| i16::from(q) + i16::from(declared.offset))
        };
        assert_eq!(
            (shifted().min(), shifted().max()),
            (Some(0), Some(i16::from(declared.max))),
            "{}",
            info.name
        );
    }
}

#[test]
fn subscales_and_minimums_are_what_is_declared() {
    for (info, declared) in block_formats() {
        let name = info.name;
        let groups = (declared.groups)(&random_blocks(info, 256));
        let ones = groups.iter().all(|group| group.s == [1, 1]);
        assert_eq!(ones, !declared.subscales, "{name}");
        let all_minimums = |holds: fn([u32; 2]) -> bool| {
            groups.iter().all(|group| holds(group.m.map(f32::to_bits)))
        };
        let found = if all_minimums(|m| m == [0, 0]) {
            Minimum::None
        } else if all_minimums(|m| m[0] == m[1]) {
            Minimum::Per32
        } else {
            Minimum::Per16
        };
        assert_eq!(found, declared.minimum, "{name}");
    }
}

#[test]
fn dequantization_follows_the_groups() {
    for (info, declared) in block_formats() {
        let bytes = random_blocks(info, 64);
        let mut weights = vec![0.0; 64 * info.block_len];
        info.format.dequantize(&bytes, &mut weights);
        let groups = (declared.groups)(&bytes);
        assert_eq!(groups.len() * GROUP, weights.len(), "{}", info.name);
        for (at, found) in weights.iter().enumerate() {
            let (group, i) = (&groups[at / GROUP], at % GROUP);
            let (q, s) = (f32::from(group.q[i]), f32::from(group.s[i / 16]));
            let expected = group.d * s * q + group.m[i / 16];
            assert!(
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                "{}, weight {at}: expected {expected:e}, found {found:e}",
                info.name
            );
        }
    }
}

/// No bit of a block is ignored. A single block may not tell: the sign of a
/// zero in MXFP4 means nothing, and neither do scales under a NaN.
#[test]
fn every_bit_counts() {
    for (info, declared) in block_formats() {
        let bits = |bytes: &[u8]| -> Vec<_> {
            let bits = |group: &Group| {
                let (d, m) = (group.d.to_bits(), group.m.map(f32::to_bits));
                (group.q, group.s, d, m)
            };
            (declared.groups)(bytes).iter().map(bits).collect()
        };
        let mut ignored: Vec<usize> = (0..8 * info.block_bytes).collect();
        for block in random_blocks(info, 16).chunks_exact(info.block_bytes) {
            let before = bits(block);
            ignored.retain(|&bit| {
                let mut flipped = block.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                bits(&flipped) == before
            });
        }
        assert!(
            ignored.is_empty(),
            "{} ignores bits {ignored:?} of a block",
            info.name
        );
    }
}
