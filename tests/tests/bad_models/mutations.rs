//! Files with bytes changed at random.

use super::{generate, options};
use firstlight::Model;
use firstlight_tests::tiny::{Random, Tiny};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// Bytes changed at random in what comes before the weights: whatever is
/// accepted also generates, or says what is wrong.
#[test]
fn headers_with_changed_bytes() {
    const MUTATIONS: usize = 3000;
    const LONGEST: Duration = Duration::from_secs(5);
    let model = Tiny::default();
    let good = model.bytes();
    let header_len = gguf::Gguf::parse(&good).unwrap().data_offset() as usize;
    let file = model.write();
    let start = Instant::now();
    let (mut random, mut opened, mut generated, mut done) = (Random::new(20), 0, 0, 0);
    // Where numbers stand: the vocabulary is most of the header, and dull.
    let text = good
        .windows(22)
        .position(|bytes| bytes == b"tokenizer.ggml.tokens\x09")
        .unwrap();
    let table = good
        .windows(17)
        .position(|bytes| bytes == b"token_embd.weight")
        .unwrap();
    while done < MUTATIONS && start.elapsed() < LONGEST {
        let mut bytes = good.clone();
        let mut changes = Vec::new();
        for _ in 0..1 + random.below(3) {
            let at = match random.below(4) {
                0 => random.below(header_len),
                1 => random.below(text),
                _ => table - 8 + random.below(header_len - table + 8),
            };
            let value = match random.below(6) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at].wrapping_add(1),
                3 => bytes[at].wrapping_sub(1),
                4 => bytes[at] ^ 1 << random.below(8),
                _ => random.bits() as u8,
            };
            bytes[at] = value;
            changes.push((at, value));
        }
        std::fs::write(file.path(), &bytes).unwrap();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let model = Model::open(file.path(), &options()).map_err(|error| error.to_string())?;
            opened += 1;
            generate(&model, "the", 2).map_err(|error| error.to_string())
        }));
        match outcome {
            Err(_) => panic!("panicked with {changes:?} changed"),
            Ok(Ok(_)) => generated += 1,
            Ok(Err(message)) => assert!(
                message.lines().count() == 1
                    && !message.contains(char::is_control)
                    && message.len() < 2000,
                "{changes:?}: {message:?}"
            ),
        }
        done += 1;
    }
    println!(
        "{done} mutations in {:.1?}: {opened} opened, {generated} generated",
        start.elapsed()
    );
    assert!(done >= 200, "only {done} mutations in {LONGEST:?}");
    assert!(
        opened < done && generated > 0,
        "{opened} opened, {generated} generated"
    );
}
