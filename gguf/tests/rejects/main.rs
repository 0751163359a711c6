//! Every way a single file can be wrong, one named test each: the error is this line and nothing else, and there is no panic.

mod header;
mod metadata;
mod tensors;
mod truncated;

use gguf::Gguf;

/// Each `bytes` is refused with exactly `message`, by the whole-file parser and by the one for prefixes.
#[track_caller]
fn check_rejects(rows: &[(&[u8], &str)]) {
    for (bytes, message) in rows {
        let error = Gguf::parse(bytes).map(drop).expect_err(message);
        assert_eq!(error.to_string(), *message);
        assert!(
            !message.contains(char::is_control),
            "one line, no control characters: {message:?}"
        );
        match Gguf::parse_prefix(bytes, bytes.len() as u64) {
            Err(by_prefix) => assert_eq!(by_prefix, error),
            Ok(parsed) => panic!("{parsed:?} where the whole file is refused: {message}"),
        }
    }
}

/// Puts the pieces of a file together, correct or not.
#[derive(Default)]
struct Raw(Vec<u8>);

impl Raw {
    fn header(version: u32, tensors: u64, keys: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(version).u64(tensors).u64(keys)
    }

    /// A header for some keys and no tensors.
    fn keys(count: u64) -> Self {
        Self::header(3, 0, count)
    }

    /// A header for some tensors and no keys.
    fn tensors(count: u64) -> Self {
        Self::header(3, count, 0)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    fn string(self, string: impl AsRef<[u8]>) -> Self {
        let string = string.as_ref();
        self.u64(string.len() as u64).bytes(string)
    }

    /// A key and the id of its value's type.
    fn key(self, key: &str, ty: u32) -> Self {
        self.string(key).u32(ty)
    }

    fn u32_key(self, key: &str, value: u32) -> Self {
        self.key(key, 4).u32(value)
    }

    fn tensor(self, name: &str, dims: &[u64], ty: u32, offset: u64) -> Self {
        let head = self.string(name).u32(dims.len() as u32);
        dims.iter()
            .fold(head, |raw, dim| raw.u64(*dim))
            .u32(ty)
            .u64(offset)
    }

    /// Zeros to the next multiple of 32 and `len` more: a place for tensor data.
    fn data(mut self, len: usize) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(32) + len, 0);
        self.0
    }

    /// Room for whatever the counts announce, so that they are believed.
    fn padded(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 4096, 0);
        self.0
    }
}

const F32: u32 = 0;
const Q4_0: u32 = 2;
