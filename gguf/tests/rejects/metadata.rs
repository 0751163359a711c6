//! Names, metadata values and arrays.

use crate::{Raw, check_rejects};
use gguf::Gguf;

#[test]
fn names_of_impossible_length() {
    let past_end = |place: &str, start: u64, end: u128, file_len: u64| {
        format!("{place}: needs bytes {start}..{end}, but the file ends at {file_len}")
    };
    let key = |len: u64| Raw::keys(1).u64(len).padded();
    let tensor = |len: u64| Raw::tensors(1).u64(len).padded();
    let too_long = |place: &str, len: u64| {
        format!("{place}: the name has {len} bytes, more than the limit of 65535")
    };
    check_rejects(&[
        (&key(0), "metadata key 1 of 1: the name is empty"),
        (&key(5000), &past_end("metadata key 1 of 1", 32, 5032, 4128)),
        (&key(65536), &too_long("metadata key 1 of 1", 65536)),
        (&key(1 << 63), &too_long("metadata key 1 of 1", 1 << 63)),
        (&tensor(0), "name of tensor 1 of 1: the name is empty"),
        (
            &tensor(5000),
            &past_end("name of tensor 1 of 1", 32, 5032, 4128),
        ),
        (
            &tensor(u64::MAX),
            &too_long("name of tensor 1 of 1", u64::MAX),
        ),
    ]);
}

#[test]
fn strings_of_impossible_length() {
    let string = |len: u64| Raw::keys(1).key("a", 8).u64(len).padded();
    let past_end = |end: u128| {
        format!("value of metadata key \"a\": needs bytes 45..{end}, but the file ends at 4141")
    };
    check_rejects(&[
        (&string(4097), &past_end(4142)),
        (&string(1 << 63), &past_end((1 << 63) + 45)),
        (&string(u64::MAX), &past_end(u128::from(u64::MAX) + 45)),
    ]);
}

#[test]
fn names_that_are_not_utf8() {
    check_rejects(&[
        (
            &Raw::keys(1).string(b"ab\xff\xfe").u32(4).u32(1).0,
            "metadata key 1 of 1: invalid UTF-8 at byte 34, found [ff, fe]",
        ),
        (
            &Raw::tensors(1).string(b"\xc3(").padded(),
            "name of tensor 1 of 1: invalid UTF-8 at byte 32, found [c3, 28]",
        ),
    ]);
}

#[test]
fn terminal_escapes_and_nul_stay_out_of_messages() {
    let long = "n".repeat(200);
    check_rejects(&[
        (
            &Raw::keys(1).key("a\x1b[2J\0\n\u{202e}", 99).padded(),
            r#"metadata key "a\u{1b}[2J\0\n\u{202e}": unknown value type 99, expected 0 to 12"#,
        ),
        (
            &Raw::tensors(1).tensor("\x1b]0;x\x07", &[1], 99, 0).padded(),
            r#"tensor "\u{1b}]0;x\u{7}": unknown type id 99"#,
        ),
        (
            &Raw::tensors(1).tensor(&long, &[1], 99, 0).padded(),
            &format!(
                "tensor \"{}\"… (200 bytes): unknown type id 99",
                &long[..120]
            ),
        ),
    ]);
}

#[test]
fn duplicate_keys() {
    let bytes = Raw::keys(3)
        .u32_key("a", 1)
        .u32_key("b", 1)
        .u32_key("a", 1)
        .0;
    check_rejects(&[(&bytes, "metadata key \"a\" appears twice")]);
}

#[test]
fn unknown_value_types() {
    let unknown =
        |id: u32| format!("metadata key \"a\": unknown value type {id}, expected 0 to 12");
    let array_of = |ty: u32| Raw::keys(1).key("a", 9).u32(ty).u64(1).padded();
    check_rejects(&[
        (&Raw::keys(1).key("a", 13).padded(), &unknown(13)),
        (
            &Raw::keys(1).key("a", u32::MAX).padded(),
            &unknown(u32::MAX),
        ),
        (&array_of(13), &unknown(13)),
        (&array_of(u32::MAX), &unknown(u32::MAX)),
    ]);
}

#[test]
fn bools_other_than_0_and_1() {
    let message = "metadata key \"a\": 2 is not a bool, expected 0 or 1";
    let array = Raw::keys(1).key("a", 9).u32(7).u64(3).bytes(&[0, 1, 2]).0;
    check_rejects(&[
        (&Raw::keys(1).key("a", 7).bytes(&[2]).0, message),
        (&array, message),
    ]);
}

#[test]
fn arrays_nested_too_deep() {
    let nested = |levels: usize| {
        (0..levels)
            .fold(Raw::keys(1).key("a", 9), |raw, _| raw.u32(9).u64(1))
            .u32(0)
            .u64(0)
    };
    let message = "metadata key \"a\": arrays nested more than 8 deep";
    assert!(Gguf::parse(&nested(7).0).is_ok(), "8 levels are allowed");
    check_rejects(&[(&nested(8).0, message), (&nested(100_000).0, message)]);
}

#[test]
fn arrays_of_impossible_length() {
    let array = |ty: u32, len: u64| Raw::keys(1).key("a", 9).u32(ty).u64(len).padded();
    let past_end = |len_bytes: u128| {
        format!(
            "value of metadata key \"a\": needs bytes 49..{}, but the file ends at 4145",
            len_bytes + 49
        )
    };
    const SATURATED: u128 = u64::MAX as u128;
    check_rejects(&[
        (&array(0, 4097), &past_end(4097)),
        (&array(0, 1 << 62), &past_end(1 << 62)),
        (&array(4, 1 << 62), &past_end(SATURATED)),
        (&array(10, u64::MAX), &past_end(SATURATED)),
        (&array(8, 513), &past_end(513 * 8)),
        (&array(8, 1 << 62), &past_end(SATURATED)),
        (&array(9, 342), &past_end(342 * 12)),
        (&array(9, 1 << 62), &past_end(SATURATED)),
    ]);
}

#[test]
fn alignments() {
    let alignment = |value: u32| Raw::keys(1).u32_key("general.alignment", value).padded();
    let refused = |found: u64| {
        format!(
            "metadata key general.alignment: expected a power of two from 8 to 1048576, found {found}"
        )
    };
    check_rejects(&[
        (&alignment(0), &refused(0)),
        (&alignment(3), &refused(3)),
        (&alignment(4), &refused(4)),
        (&alignment(48), &refused(48)),
        (&alignment(1 << 21), &refused(1 << 21)),
        (&alignment(1 << 31), &refused(1 << 31)),
        (
            &Raw::keys(1).key("general.alignment", 8).string("32").0,
            "metadata key \"general.alignment\": expected an unsigned 64-bit integer, found string \"32\"",
        ),
        (
            &Raw::keys(1)
                .key("general.alignment", 5)
                .u32(-32i32 as u32)
                .0,
            "metadata key \"general.alignment\": expected an unsigned 64-bit integer, found i32 -32",
        ),
    ]);
}
