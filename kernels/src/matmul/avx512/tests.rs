//! Choices that processors make differently, of which only one is theirs: the others must
//! give the same.

use super::codebooks::{self, Unpacked};
use super::octet::Octets;
use super::{in_place, lookup};
use crate::activation::{Int8Buffer, Int8Rows, Order};
use crate::format::{
    Block, BlockIQ1_M, BlockIQ1_S, BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS, BlockIQ3_S, BlockIQ3_XXS,
    BlockQ4_0, BlockQ4_K, BlockQ6_K, BlockQ8_0, blocks,
};
use crate::isa::Isa;
use crate::matmul::codebook::ExpandFn;
use crate::matmul::panel::Panel;
use crate::matmul::{Format, Matrix};
use crate::selftest::{Random, ordinary_weights};
use crate::team::{MatMut, Team, TileMut};

/// Products of few tokens, from so many places at once.
fn product<B: Octets>(weight: Matrix<'_>, x: Int8Rows<'_>, near: bool, streams: usize) -> Vec<u32> {
    let mut products = vec![0.0; x.rows * weight.rows()];
    let mut out = MatMut::new(&mut products, x.rows);
    let (mut out, mut panel) = (TileMut::whole(&mut out), Panel::default());
    // SAFETY: the test runs where there is AVX-512.
    unsafe { in_place::strip::<B>(weight, x, near, streams, &mut out, &mut panel) };
    products.into_iter().map(f32::to_bits).collect()
}

fn check<B: Octets>(format: Format, rows: usize, cols: usize) {
    let mut random = Random(5);
    let bytes = ordinary_weights(format, rows, cols, &mut random);
    let weight = Matrix::new(format, rows, cols, &bytes).unwrap();
    let team = Team::new(1).unwrap();
    for tokens in [1, 2, 5] {
        let x: Vec<f32> = (0..tokens * cols).map(|_| random.float()).collect();
        let mut int8 = Int8Buffer::default();
        team.region(|region| int8.quantize(region, Isa::Avx512, Order::Lanes, &x, tokens));
        let expected = product::<B>(weight, int8.rows(), false, 1);
        for (near, streams) in [(true, 1), (false, 2), (true, 2)] {
            let found = product::<B>(weight, int8.rows(), near, streams);
            let what = format!("{format:?}, {rows} by {cols}, {tokens} tokens, {streams} streams");
            assert_eq!(expected, found, "{what}");
        }
    }
}

#[test]
fn streams_change_nothing() {
    if !Isa::Avx512.is_available() {
        eprintln!("skipped: needs AVX-512");
        return;
    }
    for rows in [1, 2, 7, 64] {
        check::<BlockQ4_0>(Format::Q4_0, rows, 544);
        check::<BlockQ8_0>(Format::Q8_0, rows, 2048);
        check::<BlockQ4_K>(Format::Q4_K, rows, 768);
        check::<BlockQ6_K>(Format::Q6_K, rows, 17 * 1024);
    }
}

/// Blocks unpacked so say what they say.
fn check_unpacked<B: Block>(format: Format, expand: ExpandFn<Unpacked>) {
    let bytes = ordinary_weights(format, 5, 3 * B::LEN, &mut Random(7));
    let blocks = blocks::<B>(&bytes);
    let mut unpacked = vec![bytemuck::Zeroable::zeroed(); blocks.len()];
    // SAFETY: the test runs where there are its instructions.
    unsafe { expand(&bytes, &mut unpacked) };
    for (block, unpacked) in blocks.iter().zip(&unpacked) {
        for group in 0..8 {
            assert_eq!(unpacked.group(group), block.group(group), "{format:?}");
        }
    }
}

#[test]
fn codebooks_are_unpacked_by_either_way() {
    if !Isa::Avx512.is_available() {
        eprintln!("skipped: needs AVX-512");
        return;
    }
    check_unpacked::<BlockIQ1_S>(Format::IQ1_S, codebooks::expand::<BlockIQ1_S>);
    check_unpacked::<BlockIQ1_M>(Format::IQ1_M, codebooks::expand::<BlockIQ1_M>);
    check_unpacked::<BlockIQ2_S>(Format::IQ2_S, codebooks::expand::<BlockIQ2_S>);
    check_unpacked::<BlockIQ2_XS>(Format::IQ2_XS, codebooks::expand::<BlockIQ2_XS>);
    check_unpacked::<BlockIQ2_XXS>(Format::IQ2_XXS, codebooks::expand::<BlockIQ2_XXS>);
    check_unpacked::<BlockIQ3_S>(Format::IQ3_S, codebooks::expand::<BlockIQ3_S>);
    check_unpacked::<BlockIQ3_XXS>(Format::IQ3_XXS, codebooks::expand::<BlockIQ3_XXS>);
    if !lookup::is_available() {
        eprintln!("skipped: codebooks in registers, which needs VBMI");
        return;
    }
    check_unpacked::<BlockIQ2_XS>(Format::IQ2_XS, lookup::expand::<BlockIQ2_XS>);
    check_unpacked::<BlockIQ2_XXS>(Format::IQ2_XXS, lookup::expand::<BlockIQ2_XXS>);
    check_unpacked::<BlockIQ3_S>(Format::IQ3_S, lookup::expand::<BlockIQ3_S>);
    check_unpacked::<BlockIQ3_XXS>(Format::IQ3_XXS, lookup::expand::<BlockIQ3_XXS>);
}
