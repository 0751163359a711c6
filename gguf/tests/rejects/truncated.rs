//! Files of which a part is missing, for good or for the moment.

use crate::{F32, Q4_0, Raw};
use gguf::{Gguf, Parsed, TensorType, write::Writer};

/// A file with every kind of entry.
fn small_file() -> Vec<u8> {
    Writer::new()
        .metadata("general.architecture", "llama")
        .metadata("a.bool", true)
        .metadata("a.f64", 0.5f64)
        .metadata("a.strings", vec!["<s>", "", "é"])
        .metadata("a.floats", vec![0.0f32, -1.5])
        .metadata("a.bools", vec![true, false])
        .tensor("one", TensorType::F32, &[3], &[1; 12])
        .tensor("two", TensorType::Q4_0, &[32, 2], &[2; 36])
        .finish()
}

#[test]
fn a_good_file_truncated_at_every_byte() {
    let mut file = small_file();
    file.truncate(file.len() - 28); // the padding after the last tensor is not missed
    assert!(Gguf::parse(&file).is_ok());
    for len in 0..file.len() {
        let error = Gguf::parse(&file[..len]).map(drop).expect_err("truncated");
        let message = error.to_string();
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

#[test]
fn the_start_of_a_good_file_is_never_an_error() {
    let file = small_file();
    let whole = Gguf::parse(&file).unwrap();
    let mut complete = 0;
    for len in 0..=file.len() {
        match Gguf::parse_prefix(&file[..len], file.len() as u64).unwrap() {
            Parsed::NeedMore { at_least } => {
                assert_eq!(complete, 0, "{len} bytes do not suffice, though fewer did");
                assert!(at_least > len as u64, "{at_least} wanted, {len} given");
                assert!(
                    at_least <= whole.data_offset(),
                    "{at_least} wanted, header ends at {}",
                    whole.data_offset()
                );
            }
            Parsed::Complete(parsed) => {
                complete += 1;
                assert_eq!(parsed.tensors(), whole.tensors());
            }
        }
    }
    assert!(
        complete as u64 > file.len() as u64 - whole.data_offset(),
        "complete before the data begins"
    );
}

#[test]
fn a_header_that_ends_with_the_file() {
    let file = Raw::keys(1).key("a", 8).string("last").0;
    let file_len = file.len() as u64;
    assert_eq!(
        Gguf::parse(&file).unwrap().metadata().require_str("a"),
        Ok("last")
    );
    for len in 0..file.len() {
        let parsed = Gguf::parse_prefix(&file[..len], file_len).unwrap();
        assert!(
            matches!(parsed, Parsed::NeedMore { at_least } if at_least <= file_len),
            "{len}: {parsed:?}"
        );
    }
}

#[test]
fn a_prefix_with_something_wrong_is_an_error_at_once() {
    let file_len = 1 << 40;
    let check = |bytes: &[u8], message: &str| {
        let error = Gguf::parse_prefix(bytes, file_len)
            .map(drop)
            .expect_err(message);
        assert_eq!(error.to_string(), message);
    };
    check(
        &Raw::header(7, 0, 0).0,
        "GGUF version 7 is not supported, expected 2 or 3",
    );
    check(
        &Raw::tensors(2)
            .tensor("t", &[8], F32, 0)
            .tensor("t", &[8], F32, 0)
            .0,
        "tensor \"t\" appears twice",
    );
    check(
        &Raw::tensors(1).tensor("t", &[32, 1 << 40], Q4_0, 0).0,
        "tensor \"t\": its data ends at byte 19791209300064, but the file has 1099511627776; is it complete?",
    );
    assert_eq!(
        Gguf::parse_prefix(b"", 0)
            .map(drop)
            .unwrap_err()
            .to_string(),
        "the file is empty"
    );
}
