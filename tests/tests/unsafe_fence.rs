//! Where `unsafe` may stand: the list of files, kept by hand on purpose.

use std::path::{Path, PathBuf};

/// Files and folders with `unsafe`, and why.
const FENCED: &[(&str, &str)] = &[
    (
        "engine/src/backend/gpu/compiled.rs",
        "hands compiled shaders back to the driver",
    ),
    (
        "engine/src/backend/gpu/trusted.rs",
        "compiles shaders without checks of their loops",
    ),
    (
        "engine/src/backend/gpu/units.rs",
        "agrees to an experiment of wgpu's",
    ),
    ("engine/src/mapping.rs", "maps files"),
    ("engine/src/scheduling.rs", "asks the scheduler"),
    ("engine/src/signals.rs", "handles signals"),
    ("kernels/src/isa.rs", "asks the processor for its family"),
    (
        "kernels/src/inlined.rs",
        "an array is written element by element",
    ),
    (
        "kernels/src/team.rs",
        "hands out disjoint parts of outputs to threads",
    ),
    ("kernels/src/lanes/", "vector instructions"),
    ("kernels/src/limits/", "vector instructions"),
    ("kernels/src/matmul/avx2/", "vector instructions"),
    ("kernels/src/matmul/avx512/", "vector instructions"),
    ("kernels/src/matmul/neon/", "vector instructions"),
    (
        "kernels/src/matmul/codebook.rs",
        "calls kernels that the registry has checked",
    ),
    (
        "kernels/src/prefetch.rs",
        "asks for memory before it is read",
    ),
    (
        "kernels/src/matmul/registry.rs",
        "calls kernels after checking the instruction set",
    ),
    (
        "kernels/src/matmul/scalar.rs",
        "has the signature of all kernels",
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn unsafe_stands_only_in_fenced_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for folder in ["gguf", "kernels", "shaders", "engine", "tests", "benches"] {
        let folder = root.join(folder);
        if folder.is_dir() {
            sources(&folder, &mut files);
        }
    }
    assert!(files.len() > 50, "found only {} source files", files.len());
    // Spelled so that this file does not find itself.
    let word = ["un", "safe"].concat();
    let mut outside = Vec::new();
    for file in files {
        let name = file
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/");
        let text = std::fs::read_to_string(&file).unwrap();
        let uses = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("//"))
            .any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '"');
                words.any(|found| found == word)
            });
        if uses
            && !FENCED
                .iter()
                .any(|(fence, _)| name == *fence || fence.ends_with('/') && name.starts_with(fence))
        {
            outside.push(name);
        }
    }
    assert!(
        outside.is_empty(),
        "{word} outside of the fence: {outside:?}"
    );
}
