//! Entries of the tensor table.

use crate::{F32, Raw, check_rejects};
use gguf::{Gguf, TensorType};

#[test]
fn duplicate_tensors() {
    let bytes = Raw::tensors(2)
        .tensor("t", &[8], F32, 0)
        .tensor("t", &[8], F32, 32)
        .data(64);
    check_rejects(&[(&bytes, "tensor \"t\" appears twice")]);
}

#[test]
fn dimension_counts() {
    let n_dims = |count: u32| Raw::tensors(1).string("t").u32(count).padded();
    let refused = |found: u32| format!("tensor \"t\": expected 1 to 4 dimensions, found {found}");
    check_rejects(&[
        (&n_dims(0), &refused(0)),
        (&n_dims(5), &refused(5)),
        (&n_dims(u32::MAX), &refused(u32::MAX)),
    ]);
}

#[test]
fn dimensions_zero_or_negative() {
    let dims = |dims: &[u64]| Raw::tensors(1).tensor("t", dims, F32, 0).data(0);
    let refused = |index: usize, found: u64| {
        format!("tensor \"t\": dimension {index} is {found}, expected 1 to 2^63-1")
    };
    check_rejects(&[
        (&dims(&[0]), &refused(0, 0)),
        (&dims(&[8, 0]), &refused(1, 0)),
        (&dims(&[8, 1, 1, 0]), &refused(3, 0)),
        (&dims(&[1 << 63]), &refused(0, 1 << 63)),
        (&dims(&[8, -1i64 as u64]), &refused(1, u64::MAX)),
    ]);
}

#[test]
fn sizes_that_wrap() {
    let tensor = |dims: &[u64], ty: u32| Raw::tensors(1).tensor("t", dims, ty, 0).data(64);
    let refused = |dims: &[u64]| {
        format!("tensor \"t\": shape {dims:?} has more than 2^63-1 elements or bytes")
    };
    let rows: &[(&[u64], u32)] = &[
        (&[1 << 32, 1 << 32], F32),
        (&[(1 << 42) + 1, 1 << 22], F32),
        (&[1 << 16, 1 << 16, 1 << 16, 1 << 16], F32),
        (&[1 << 16, 1 << 16, 1 << 16, (1 << 16) + 1], F32),
        (&[1 << 62], F32),
        (&[1 << 61], F32),
        (&[1 << 31, 1 << 31], 1),
        (&[i64::MAX as u64, i64::MAX as u64], 24),
    ];
    for &(dims, ty) in rows {
        check_rejects(&[(&tensor(dims, ty), &refused(dims))]);
    }
}

#[test]
fn rows_of_partial_blocks() {
    let tensor =
        |dims: &[u64], ty: TensorType| Raw::tensors(1).tensor("t", dims, ty.id(), 0).data(4096);
    let refused = |cols: u64, len: usize, ty: &str| {
        format!(
            "tensor \"t\": rows of {cols} elements are not a multiple of the {len}-element blocks of {ty}"
        )
    };
    check_rejects(&[
        (&tensor(&[33], TensorType::Q4_0), &refused(33, 32, "Q4_0")),
        (
            &tensor(&[16, 2], TensorType::Q8_0),
            &refused(16, 32, "Q8_0"),
        ),
        (
            &tensor(&[32, 8], TensorType::Q4_K),
            &refused(32, 256, "Q4_K"),
        ),
    ]);
}

#[test]
fn removed_and_unknown_tensor_types() {
    let tensor = |ty: u32| Raw::tensors(1).tensor("t", &[256], ty, 0).data(4096);
    let removed = |name: &str, id: u32| {
        format!(
            "tensor \"t\": type {name} (id {id}) was removed from the format; convert the model again"
        )
    };
    check_rejects(&[
        (&tensor(4), &removed("Q4_2", 4)),
        (&tensor(5), &removed("Q4_3", 5)),
        (&tensor(31), &removed("Q4_0_4_4", 31)),
        (&tensor(33), &removed("Q4_0_8_8", 33)),
        (&tensor(36), &removed("IQ4_NL_4_4", 36)),
        (&tensor(38), &removed("IQ4_NL_8_8", 38)),
        (&tensor(43), "tensor \"t\": unknown type id 43"),
        (
            &tensor(u32::MAX),
            "tensor \"t\": unknown type id 4294967295",
        ),
    ]);
}

#[test]
fn unaligned_offsets() {
    let tensor = |offset: u64| Raw::tensors(1).tensor("t", &[8], F32, offset).data(256);
    let refused = |offset: u64| {
        format!("tensor \"t\": offset {offset} is not a multiple of the alignment 32")
    };
    check_rejects(&[
        (&tensor(1), &refused(1)),
        (&tensor(16), &refused(16)),
        (&tensor(u64::MAX), &refused(u64::MAX)),
    ]);
}

#[test]
fn data_past_the_end() {
    // The table ends at 24 + 33 = 57, data starts at 64.
    let tensor = |offset: u64, len: usize| Raw::tensors(1).tensor("t", &[8], F32, offset).data(len);
    let refused = |end: u128, len: usize| {
        format!(
            "tensor \"t\": its data ends at byte {end}, but the file has {len}; is it complete?"
        )
    };
    let wrapping = u64::MAX - 31;
    check_rejects(&[
        (&tensor(0, 0), &refused(96, 64)),
        (&tensor(0, 31), &refused(96, 95)),
        (&tensor(32, 63), &refused(128, 127)),
        (&tensor(1 << 63, 64), &refused((1 << 63) + 96, 128)),
        (
            &tensor(wrapping, 64),
            &refused(u128::from(wrapping) + 96, 128),
        ),
    ]);
}

#[test]
fn overlapping_tensors() {
    let two = |first: (u64, u64), second: (u64, u64)| {
        // 24 + 2 * 33 = 90, data starts at 96
        Raw::tensors(2)
            .tensor("a", &[first.1], F32, first.0)
            .tensor("b", &[second.1], F32, second.0)
            .data(256)
    };
    check_rejects(&[
        (
            &two((0, 8), (0, 8)),
            "tensors \"a\" (bytes 96..128) and \"b\" (bytes 96..128) overlap",
        ),
        (
            &two((0, 9), (32, 8)),
            "tensors \"a\" (bytes 96..132) and \"b\" (bytes 128..160) overlap",
        ),
        (
            &two((64, 8), (0, 17)),
            "tensors \"b\" (bytes 96..164) and \"a\" (bytes 160..192) overlap",
        ),
    ]);
    assert!(
        Gguf::parse(&two((32, 8), (0, 8))).is_ok(),
        "adjacent and out of order is no overlap"
    );
}
