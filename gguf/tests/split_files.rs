//! Models in several files: their names, and what their files say about each other.

use gguf::split::{check_shards, shard_count, shard_names};
use gguf::{Gguf, TensorType, write::Writer};

#[track_caller]
fn check_names(name: &str, expected: Option<&[&str]>) {
    assert_eq!(
        shard_names(name)
            .as_deref()
            .map(|names| names.iter().map(String::as_str).collect()),
        expected.map(Vec::from)
    );
}

#[test]
fn names() {
    let three: &[&str] = &[
        "m-q4-00001-of-00003.gguf",
        "m-q4-00002-of-00003.gguf",
        "m-q4-00003-of-00003.gguf",
    ];
    check_names("m-q4-00001-of-00003.gguf", Some(three));
    check_names("m-q4-00003-of-00003.gguf", Some(three));
    check_names("-00001-of-00001.gguf", Some(&["-00001-of-00001.gguf"]));
    check_names("é-00001-of-00001.gguf", Some(&["é-00001-of-00001.gguf"]));
    for name in [
        "model.gguf",
        "m-00001-of-00002",
        "m-00000-of-00002.gguf",
        "m-00003-of-00002.gguf",
        "m-00000-of-00000.gguf",
        "m-1-of-2.gguf",
        "m-000001-of-000002.gguf",
        "m-0000a-of-00002.gguf",
        "m-+0001-of-00002.gguf",
        "m00001-of-00002.gguf",
        "m-é0001-of-00002.gguf",
        "m-00001-of-é0002.gguf",
        "-of-00001.gguf",
        ".gguf",
        "",
    ] {
        check_names(name, None);
    }
}

/// A shard with its numbers and the names of its tensors.
struct Shard(&'static [(&'static str, i32)], &'static [&'static str]);

impl Shard {
    fn new(no: i32, count: i32, tensors: i32, names: &'static [&'static str]) -> Self {
        Self(
            Box::leak(Box::new([
                ("split.no", no),
                ("split.count", count),
                ("split.tensors.count", tensors),
            ])),
            names,
        )
    }

    fn bytes(&self) -> Vec<u8> {
        let writer = self.0.iter().fold(Writer::new(), |writer, (key, value)| {
            writer.metadata(key, *value)
        });
        self.1
            .iter()
            .fold(writer, |writer, name| {
                writer.tensor(name, TensorType::F32, &[1], &[0; 4])
            })
            .finish()
    }
}

#[track_caller]
fn check(shards: &[Shard], expected: Result<(), &str>) {
    let bytes: Vec<_> = shards.iter().map(Shard::bytes).collect();
    let files: Vec<_> = bytes
        .iter()
        .map(|bytes| Gguf::parse(bytes).unwrap())
        .collect();
    assert_eq!(
        check_shards(&files).map_err(|error| error.to_string()),
        expected.map_err(String::from)
    );
}

#[test]
fn complete_models() {
    check(&[Shard(&[], &["a", "b"])], Ok(()));
    check(&[Shard(&[("split.count", 0)], &["a"])], Ok(()));
    check(&[Shard::new(0, 1, 1, &["a"])], Ok(()));
    check(
        &[
            Shard::new(0, 2, 3, &["a", "b"]),
            Shard::new(1, 2, 3, &["c"]),
        ],
        Ok(()),
    );
    check(
        &[
            Shard::new(0, 3, 2, &[]),
            Shard::new(1, 3, 2, &["a"]),
            Shard::new(2, 3, 2, &["b"]),
        ],
        Ok(()),
    );
}

#[test]
fn missing() {
    check(&[], Err("no shards given, expected at least one"));
    check(
        &[Shard::new(0, 2, 2, &["a"])],
        Err("shard 1 of 1: split.count is 2, expected 1"),
    );
    check(
        &[Shard::new(0, 3, 2, &["a"]), Shard::new(2, 3, 2, &["b"])],
        Err("shard 1 of 2: split.count is 3, expected 2"),
    );
    check(
        &[Shard::new(0, 2, 3, &["a"]), Shard::new(1, 2, 3, &["b"])],
        Err("the 2 shards hold 2 tensors, but split.tensors.count is 3"),
    );
}

#[test]
fn repeated() {
    check(
        &[Shard::new(0, 2, 2, &["a"]), Shard::new(0, 2, 2, &["a"])],
        Err("shards 1 and 2 are both number 0 (split.no)"),
    );
    check(
        &[Shard::new(0, 2, 2, &["a"]), Shard::new(1, 2, 2, &["a"])],
        Err("tensor \"a\" is in shard 1 and again in shard 2"),
    );
}

#[test]
fn mismatched() {
    check(
        &[Shard::new(0, 2, 2, &["a"]), Shard::new(1, 3, 2, &["b"])],
        Err("shard 2 of 2: split.count is 3, expected 2"),
    );
    check(
        &[Shard::new(0, 2, 2, &["a"]), Shard::new(1, 2, 5, &["b"])],
        Err("shard 2 of 2: split.tensors.count is 5, but shard 1 says 2"),
    );
    let not_a_shard = "it is a complete model (split.count is missing or 0), not a shard";
    check(
        &[Shard::new(0, 2, 2, &["a"]), Shard(&[], &["b"])],
        Err(&format!("shard 2 of 2: {not_a_shard}")),
    );
    check(
        &[Shard(&[], &["a"]), Shard::new(1, 2, 2, &["b"])],
        Err(&format!("shard 1 of 2: {not_a_shard}")),
    );
    check(
        &[
            Shard::new(0, 2, 2, &["a"]),
            Shard(&[("split.count", 2)], &["b"]),
        ],
        Err(
            "shard 2 of 2: metadata key \"split.no\" is missing, expected an unsigned 64-bit integer",
        ),
    );
    check(
        &[Shard::new(0, -2, 2, &["a"])],
        Err(
            "shard 1 of 1: metadata key \"split.count\": expected an unsigned 64-bit integer, found i32 -2",
        ),
    );
}

#[test]
fn out_of_order() {
    check(
        &[Shard::new(1, 2, 2, &["a"]), Shard::new(0, 2, 2, &["b"])],
        Err("shard 1 of 2: split.no is 1, expected 0"),
    );
    check(
        &[
            Shard::new(0, 3, 3, &["a"]),
            Shard::new(1, 3, 3, &["b"]),
            Shard::new(7, 3, 3, &["c"]),
        ],
        Err("shard 3 of 3: split.no is 7, expected 2"),
    );
}

#[test]
fn counts() {
    for (keys, expected) in [
        (&[][..], 1),
        (&[("split.count", 0)], 1),
        (&[("split.count", 4)], 4),
    ] {
        let bytes = keys
            .iter()
            .fold(Writer::new(), |writer, (key, value)| {
                writer.metadata(key, *value)
            })
            .finish();
        assert_eq!(
            shard_count(&Gguf::parse(&bytes).unwrap()),
            Ok(expected),
            "{keys:?}"
        );
    }
}
