//! Recognises what people open by mistake, so that the error can say what the file is instead of only what it is not.

/// The name of the format that `bytes`, the start of a file, appears to be in.
pub(crate) fn recognise(bytes: &[u8]) -> Option<&'static str> {
    // The legacy formats stored their four letters as a little-endian number, hence reversed in the file.
    const MAGICS: &[(&[u8], &str)] = &[
        (
            b"tjgg",
            "a GGJT model, a format from before GGUF; convert the model again",
        ),
        (
            b"fmgg",
            "a GGMF model, a format from before GGUF; convert the model again",
        ),
        (
            b"lmgg",
            "a GGML model, a format from before GGUF; convert the model again",
        ),
        (
            b"algg",
            "a GGLA adapter, a format from before GGUF; convert the adapter again",
        ),
        (
            b"FUGG",
            "GGUF with its bytes swapped; convert the model to little-endian",
        ),
        (b"PK\x03\x04", "a zip archive, such as a PyTorch checkpoint"),
        (
            b"\x80\x02",
            "a Python pickle, such as an old PyTorch checkpoint",
        ),
        (
            b"version https://git-lfs",
            "a Git LFS pointer; fetch the file itself with `git lfs pull`",
        ),
        (b"\x1f\x8b", "gzip data; decompress it first"),
        (b"\x28\xb5\x2f\xfd", "zstd data; decompress it first"),
        (b"\x7fELF", "an ELF executable"),
        (b"MZ", "a Windows executable"),
    ];
    if let Some((_, name)) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(name);
    }
    // safetensors: length of a JSON header as u64, then the header
    if bytes.get(8) == Some(&b'{')
        && bytes
            .first_chunk()
            .is_some_and(|len| u64::from_le_bytes(*len) < 1 << 32)
    {
        return Some("a safetensors file; convert the model to GGUF");
    }
    match bytes.trim_ascii_start().first() {
        Some(b'<') => Some("an HTML or XML page, perhaps the error page of a download"),
        Some(b'{') => Some("JSON text, perhaps the error message of a download"),
        _ => None,
    }
}
