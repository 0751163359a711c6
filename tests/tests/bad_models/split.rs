//! Models in several files: opened whole from any part, or refused.

use super::{generate, options};
use firstlight::Model;
use firstlight_tests::tiny::{Shape, Tiny};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PARTS: usize = 3;

/// A model cut into parts, in a folder of its own that is removed at the end.
struct Split {
    folder: PathBuf,
    parts: Vec<Tiny>,
}

impl Split {
    /// The tensors dealt to three parts. `of` tells the models apart.
    fn new(of: &Shape) -> Split {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!(
            "firstlight-split-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Relaxed)
        );
        let whole = Tiny::new(of);
        let names: Vec<String> = whole
            .tensors()
            .iter()
            .map(|tensor| tensor.name.clone())
            .collect();
        let part = |no: usize| {
            let others = names
                .iter()
                .enumerate()
                .filter(|(index, _)| index % PARTS != no);
            others.fold(whole.clone(), |part, (_, name)| part.without_tensor(name))
        };
        let numbered = |no: usize| {
            part(no)
                .set("split.no", no as u16)
                .set("split.count", PARTS as u16)
                .set("split.tensors.count", names.len() as i32)
        };
        let folder = std::env::temp_dir().join(unique);
        std::fs::create_dir(&folder).unwrap();
        Split {
            folder,
            parts: (0..PARTS).map(numbered).collect(),
        }
    }

    /// Where part `no` (from 1) lies.
    fn path(&self, no: usize) -> PathBuf {
        self.folder.join(format!("tiny-{no:05}-of-{PARTS:05}.gguf"))
    }

    fn write(self) -> Split {
        for (index, part) in self.parts.iter().enumerate() {
            std::fs::write(self.path(index + 1), part.bytes()).unwrap();
        }
        self
    }

    /// The part's key is set to another value.
    fn set(mut self, no: usize, key: &str, value: u16) -> Split {
        self.parts[no - 1] = self.parts[no - 1].clone().set(key, value);
        self
    }

    /// Opening part `no` is refused, with that message about part `named`.
    #[track_caller]
    fn refused(&self, no: usize, named: usize, expected: &str) {
        let message = match Model::open(self.path(no), &options()) {
            Ok(_) => panic!("opened, expected: {expected}"),
            Err(error) => error.to_string(),
        };
        let expected = format!("{}: {expected}", self.path(named).display());
        assert!(message.starts_with(&expected), "{message}\n{expected}");
        assert!(!message.contains('\n'), "{message}");
    }
}

impl Drop for Split {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn split() -> Split {
    Split::new(&Shape::default())
}

#[test]
fn a_split_model_opens_from_any_part() {
    let whole = super::open(&Tiny::default()).unwrap();
    let expected = generate(&whole, "the hen", 20).unwrap();
    let split = split().write();
    for no in 1..=PARTS {
        let model = Model::open(split.path(no), &options()).unwrap();
        assert_eq!(model.tensor_bytes(), whole.tensor_bytes());
        assert_eq!(
            generate(&model, "the hen", 20).unwrap(),
            expected,
            "part {no}"
        );
    }
}

#[test]
fn a_part_is_missing() {
    for missing in 1..=PARTS {
        let split = split().write();
        std::fs::remove_file(split.path(missing)).unwrap();
        for no in 1..=PARTS {
            split.refused(no, missing, "cannot be opened: No such file");
        }
    }
}

#[test]
fn a_part_is_another_file() {
    let split = split().write();
    std::fs::copy(split.path(1), split.path(2)).unwrap();
    // The same tensors again are not what the parts have together.
    split.refused(1, 1, "shards 1 and 2 are both number 0 (split.no)");
    let whole = Tiny::default().bytes();
    std::fs::write(split.path(2), &whole).unwrap();
    split.refused(
        1,
        1,
        "shard 2 of 3: it is a complete model (split.count is missing or 0), not a shard",
    );
    std::fs::write(split.path(2), b"<html>").unwrap();
    split.refused(1, 2, "not a GGUF file: it looks like an HTML or XML page");
    std::fs::write(split.path(2), &split.parts[1].bytes()[..1000]).unwrap();
    split.refused(1, 2, "");
    std::fs::remove_file(split.path(2)).unwrap();
    std::fs::create_dir(split.path(2)).unwrap();
    split.refused(1, 2, "expected a regular file, found a directory");
}

#[test]
fn parts_that_disagree() {
    let rows = [
        (
            1,
            "split.no",
            1,
            "shards 1 and 2 are both number 1 (split.no)",
        ),
        (3, "split.no", 7, "shard 3 of 3: split.no is 7, expected 2"),
        (
            2,
            "split.count",
            4,
            "shard 2 of 3: split.count is 4, expected 3",
        ),
        (
            2,
            "split.tensors.count",
            5,
            "shard 2 of 3: split.tensors.count is 5, but shard 1 says 21",
        ),
    ];
    for (no, key, value, expected) in rows {
        split().set(no, key, value).write().refused(1, 1, expected);
    }
    let mut twice = split();
    let name = twice.parts[0].tensors()[0].name.clone();
    let other = twice.parts[1].tensors()[0].name.clone();
    twice.parts[1] = twice.parts[1]
        .clone()
        .edit(&other, |tensor| tensor.name = name.clone());
    twice.write().refused(
        1,
        1,
        &format!("tensor \"{name}\" is in shard 1 and again in shard 2"),
    );
    // Of another model: the numbers fit, the shapes do not.
    let mut mixed = split();
    let larger = Shape {
        n_ff: 64,
        ..Shape::default()
    };
    mixed.parts[2] = Split::new(&larger).parts[2].clone();
    let message = Model::open(mixed.write().path(1), &options())
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.contains(" has shape ") && message.contains(", expected "),
        "{message}"
    );
}

#[test]
fn parts_in_the_wrong_order() {
    let mut swapped = split();
    swapped.parts.swap(0, 1);
    swapped
        .write()
        .refused(1, 1, "shard 1 of 3: split.no is 1, expected 0");
}

#[test]
fn a_name_that_only_looks_like_a_part() {
    let split = split();
    for (name, opens) in [
        ("m-00001-of-00001.gguf", true),
        ("m-00001-of-00002.gguf", false),
        ("m-0001-of-0002.gguf", true),
    ] {
        let path = split.folder.join(name);
        std::fs::write(&path, Tiny::default().bytes()).unwrap();
        assert_eq!(Model::open(&path, &options()).is_ok(), opens, "{name}");
    }
}
