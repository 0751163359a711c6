//! The small models of `tests/golden`, and something to read for them.

use firstlight::{Model, ModelOptions};
use std::path::Path;

/// Opens a model that two threads compute.
pub fn open(path: &Path) -> Model {
    let options = ModelOptions {
        threads: Some(2),
        ..ModelOptions::default()
    };
    Model::open(path, &options).unwrap()
}

/// Opens the model of that name.
pub fn model(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    open(&folder.join(format!("{name}.gguf")))
}

/// So many tokens that these models have, of sixty different ones.
pub fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|i| 3 + i * 7 % 60).collect()
}
