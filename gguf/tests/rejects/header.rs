//! What stands in the first 24 bytes, or instead of them.

use crate::{Raw, check_rejects};

#[test]
fn empty() {
    check_rejects(&[(b"", "the file is empty")]);
}

#[test]
fn shorter_than_the_header() {
    check_rejects(&[
        (
            b"G",
            "the file has 1 bytes, too few for the 24-byte GGUF header",
        ),
        (
            b"GGUF",
            "the file has 4 bytes, too few for the 24-byte GGUF header",
        ),
        (
            &Raw::header(3, 0, 0).0[..23],
            "the file has 23 bytes, too few for the 24-byte GGUF header",
        ),
    ]);
}

#[test]
fn other_formats() {
    let not_gguf = "not a GGUF file: it looks like";
    let rows: &[(&[u8], &str)] = &[
        (
            b"tjgg\x03\0\0\0",
            "a GGJT model, a format from before GGUF; convert the model again",
        ),
        (
            b"fmgg\x01\0\0\0",
            "a GGMF model, a format from before GGUF; convert the model again",
        ),
        (
            b"lmgg\0\x7d\0\0",
            "a GGML model, a format from before GGUF; convert the model again",
        ),
        (
            b"algg\x01\0\0\0",
            "a GGLA adapter, a format from before GGUF; convert the adapter again",
        ),
        (
            b"FUGG\x03\0\0\0",
            "GGUF with its bytes swapped; convert the model to little-endian",
        ),
        (
            b"\x60\x01\0\0\0\0\0\0{\"__metadata__\":{}}",
            "a safetensors file; convert the model to GGUF",
        ),
        (
            b"PK\x03\x04\0\0",
            "a zip archive, such as a PyTorch checkpoint",
        ),
        (
            b"\x80\x02}q\0",
            "a Python pickle, such as an old PyTorch checkpoint",
        ),
        (
            b"\n<!doctype html><title>404</title>",
            "an HTML or XML page, perhaps the error page of a download",
        ),
        (
            b"{\"error\":\"Repository not found\"}",
            "JSON text, perhaps the error message of a download",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "a Git LFS pointer; fetch the file itself with `git lfs pull`",
        ),
        (b"\x1f\x8b\x08", "gzip data; decompress it first"),
        (b"\x28\xb5\x2f\xfd", "zstd data; decompress it first"),
        (b"\x7fELF\x02", "an ELF executable"),
        (b"MZ\x90\0", "a Windows executable"),
    ];
    for (bytes, name) in rows {
        let message = format!("{not_gguf} {name}");
        let longer = [*bytes, &[b' '; 100]].concat();
        check_rejects(&[(bytes, &message), (&longer, &message)]);
    }
}

#[test]
fn unrecognised_bytes() {
    let wanted = "not a GGUF file: expected it to start with \"GGUF\", found bytes";
    check_rejects(&[
        (b"once upon a time", &format!("{wanted} [6f, 6e, 63, 65]")),
        (b"\x1b[2J", &format!("{wanted} [1b, 5b, 32, 4a]")),
        (&[0; 100], &format!("{wanted} [00, 00, 00, 00]")),
        (b"GGUX", &format!("{wanted} [47, 47, 55, 58]")),
    ]);
}

#[test]
fn versions() {
    let version_1 = "GGUF version 1 is not supported, expected 2 or 3 \
        (version 1 was replaced in 2023; convert the model again)";
    check_rejects(&[
        (
            &Raw::header(0, 0, 0).0,
            "GGUF version 0 is not supported, expected 2 or 3",
        ),
        (&Raw::header(1, 0, 0).0, version_1),
        (
            &Raw::header(4, 0, 0).0,
            "GGUF version 4 is not supported, expected 2 or 3",
        ),
        (
            &Raw::header(99, 0, 0).0,
            "GGUF version 99 is not supported, expected 2 or 3",
        ),
        (
            &Raw::header(u32::MAX, 0, 0).0,
            "GGUF version 4294967295 is not supported, expected 2 or 3",
        ),
    ]);
}

#[test]
fn big_endian() {
    let refused = |version: u32| {
        format!(
            "big-endian GGUF (version {version}) is not supported; convert the model to little-endian"
        )
    };
    check_rejects(&[
        (&Raw::header(3u32.swap_bytes(), 0, 0).0, &refused(3)),
        (&Raw::header(2u32.swap_bytes(), 0, 0).0, &refused(2)),
    ]);
}

#[test]
fn counts_above_the_limit() {
    let tensors = |count: u64| {
        format!("the header announces {count} tensors, more than the limit of 1048576")
    };
    let keys = |count: u64| {
        format!("the header announces {count} metadata keys, more than the limit of 65536")
    };
    check_rejects(&[
        (&Raw::header(3, 1 << 63, 0).padded(), &tensors(1 << 63)),
        (&Raw::header(3, u64::MAX, 0).padded(), &tensors(u64::MAX)),
        (&Raw::header(3, 1 << 32, 0).padded(), &tensors(1 << 32)),
        (&Raw::header(3, 0, 1 << 63).padded(), &keys(1 << 63)),
        (&Raw::header(3, 0, u64::MAX).padded(), &keys(u64::MAX)),
        (&Raw::header(3, 0, 1 << 32).padded(), &keys(1 << 32)),
    ]);
}

#[test]
fn counts_above_what_the_file_holds() {
    let room = |what: &str, count: u64, min_bytes: u64, remaining: u64| {
        format!(
            "the header announces {count} {what} of at least {min_bytes} bytes each, \
             but only {remaining} bytes remain in the file"
        )
    };
    check_rejects(&[
        (&Raw::header(3, 1, 0).0, &room("tensors", 1, 33, 0)),
        (
            &Raw::header(3, 1 << 20, 0).padded(),
            &room("tensors", 1 << 20, 33, 4096),
        ),
        (&Raw::header(3, 0, 1).0, &room("metadata keys", 1, 14, 0)),
        (
            &Raw::header(3, 0, 1 << 16).padded(),
            &room("metadata keys", 1 << 16, 14, 4096),
        ),
    ]);
}
