//! Files made by other programs, from the optional folder `shared` beside the checkout.

use gguf::{Gguf, Parsed};
use std::path::{Path, PathBuf};

fn shared_files() -> Vec<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let mut files = Vec::new();
    for folder in ["models", "vocab"] {
        let Ok(entries) = std::fs::read_dir(shared.join(folder)) else {
            continue;
        };
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "gguf")
    });
    files.sort();
    if files.is_empty() {
        println!("skipped: no GGUF files in {}", shared.display());
    }
    files
}

#[test]
fn every_file_parses_whole_and_by_prefix() {
    for path in shared_files() {
        let bytes = std::fs::read(&path).unwrap();
        let start = std::time::Instant::now();
        let file =
            Gguf::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!(
            "{}: {} keys, {} tensors, {} header bytes, parsed in {:?}",
            path.display(),
            file.metadata().len(),
            file.tensors().len(),
            file.data_offset(),
            start.elapsed()
        );
        assert!(
            file.metadata().require_str("general.architecture").is_ok(),
            "{}",
            path.display()
        );
        for tensor in file.tensors() {
            assert_eq!(
                tensor.data(&bytes).map(|data| data.len() as u64),
                Some(tensor.len_bytes),
                "{}",
                tensor.name
            );
        }
        let file_len = bytes.len() as u64;
        let mut prefix_len = 0;
        let from_prefix = loop {
            match Gguf::parse_prefix(&bytes[..prefix_len], file_len).unwrap() {
                Parsed::Complete(file) => break file,
                Parsed::NeedMore { at_least } => {
                    assert!(
                        at_least > prefix_len as u64 && at_least <= file_len,
                        "{at_least} after {prefix_len}"
                    );
                    prefix_len = (at_least as usize).max(2 * prefix_len).min(bytes.len());
                }
            }
        };
        assert_eq!(from_prefix.tensors(), file.tensors());
    }
}
