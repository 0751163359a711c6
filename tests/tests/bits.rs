//! The bits of logits, on record: the same on every machine.
//!
//! That all instruction sets of one machine agree is tested elsewhere
//! (`golden.rs`). This test carries the promise from one architecture to the
//! other: x86-64 and 64-bit ARM must both give what stands in
//! `tests/golden/bits.txt`. A change there is a change of what the engine
//! computes, and belongs to a change of a definition.

use firstlight::{Isa, KvFormat, Model, ModelOptions, Sequence, Wanted};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// FNV-1a (Fowler, Noll and Vo), 64 bits, over little-endian bytes.
fn fnv1a(values: &[f32]) -> u64 {
    let bytes = values
        .iter()
        .flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A line of the record: the model's name, and for each cache format the hash of
/// all logits of a prompt that is computed in two steps.
fn line(path: &Path, isa: Isa) -> String {
    let options = ModelOptions {
        threads: Some(2),
        isa: Some(isa),
        ..ModelOptions::default()
    };
    let model = Model::open(path, &options).unwrap();
    let n_vocab = model.config().n_vocab as u32;
    let tokens: Vec<u32> = (0..16).map(|i| (i * i * 7 + i * 3 + 1) % n_vocab).collect();
    let mut line = path.file_stem().unwrap().to_str().unwrap().to_owned();
    for format in [KvFormat::F32, KvFormat::F16, KvFormat::Q8_0] {
        let mut cache = model.cache(format, tokens.len()).unwrap();
        let mut logits = Vec::new();
        // Enough tokens for a panel, then few.
        for tokens in [&tokens[..13], &tokens[13..]] {
            let part = Sequence {
                cache: &mut cache,
                tokens,
                wanted: Wanted::All,
            };
            logits.extend(model.step(&mut [part]).unwrap());
        }
        assert!(
            logits.iter().all(|logit| logit.is_finite()),
            "{line}, {format}"
        );
        line += &format!(" {:016x}", fnv1a(&logits));
    }
    line
}

#[test]
fn logits_have_the_bits_on_record() {
    let mut models: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "gguf")
        })
        .collect();
    models.push(folder().join("../../engine/models/firstlight-stories.gguf"));
    models.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
    let expected = std::fs::read_to_string(folder().join("bits.txt")).unwrap();
    for isa in Isa::available() {
        let found: Vec<String> = models.iter().map(|path| line(path, isa)).collect();
        assert!(
            expected.lines().eq(&found),
            "{isa} gives other bits than tests/golden/bits.txt; it gives\n{}",
            found.join("\n")
        );
    }
}
