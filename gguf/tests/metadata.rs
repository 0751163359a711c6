//! Looking up keys: what each getter accepts, and what it says otherwise.

use gguf::write::{OwnedValue, Writer};
use gguf::{Error, Gguf, Metadata, Value, ValueType};

/// Writes `value` under the key "k" and compares what `get` makes of it: a value, or the message of an error.
#[track_caller]
fn check<T: std::fmt::Debug + PartialEq>(
    get: impl FnOnce(&Metadata<'_>) -> Result<T, Error>,
    value: impl Into<OwnedValue>,
    expected: Result<T, &str>,
) {
    let bytes = Writer::new().metadata("k", value).finish();
    let file = Gguf::parse(&bytes).unwrap();
    assert_eq!(
        get(file.metadata()).map_err(|error| error.to_string()),
        expected.map_err(String::from)
    );
}

#[test]
fn integers_of_any_width_that_fit() {
    let get = |metadata: &Metadata<'_>| metadata.get_u32("k");
    let wrong = "metadata key \"k\": expected an unsigned 32-bit integer, found";
    check(get, 7u8, Ok(Some(7)));
    check(get, 7i8, Ok(Some(7)));
    check(get, 7u16, Ok(Some(7)));
    check(get, 7i16, Ok(Some(7)));
    check(get, u32::MAX, Ok(Some(u32::MAX)));
    check(get, 7i32, Ok(Some(7)));
    check(get, u64::from(u32::MAX), Ok(Some(u32::MAX)));
    check(get, 7i64, Ok(Some(7)));
    check(get, -1i32, Err(&format!("{wrong} i32 -1")));
    check(get, 1u64 << 32, Err(&format!("{wrong} u64 4294967296")));
    check(get, 1.0f32, Err(&format!("{wrong} f32 1")));
    check(get, true, Err(&format!("{wrong} bool true")));
    check(get, "7", Err(&format!("{wrong} string \"7\"")));
    check(
        get,
        vec![7u32],
        Err(&format!("{wrong} array of 1 u32 from 7 to 7")),
    );
    let get = |metadata: &Metadata<'_>| metadata.get_u64("k");
    check(get, u64::MAX, Ok(Some(u64::MAX)));
    check(
        get,
        -1i64,
        Err("metadata key \"k\": expected an unsigned 64-bit integer, found i64 -1"),
    );
}

#[test]
fn floats_bools_strings() {
    let get = |metadata: &Metadata<'_>| metadata.get_f32("k");
    check(get, 0.1f32, Ok(Some(0.1)));
    check(get, 0.1f64, Ok(Some(0.1)));
    check(
        get,
        1u32,
        Err("metadata key \"k\": expected a floating-point number, found u32 1"),
    );
    let get = |metadata: &Metadata<'_>| metadata.get_bool("k");
    check(get, false, Ok(Some(false)));
    check(
        get,
        0u8,
        Err("metadata key \"k\": expected a bool, found u8 0"),
    );
    let get = |metadata: &Metadata<'_>| Ok(metadata.get_str("k")?.map(String::from));
    check(get, "né", Ok(Some("né".into())));
    check(get, "", Ok(Some("".into())));
    check(
        get,
        1u8,
        Err("metadata key \"k\": expected a UTF-8 string, found u8 1"),
    );
    let not_utf8 = OwnedValue::Bytes(b"a\xff".to_vec());
    check(
        get,
        not_utf8,
        Err("metadata key \"k\": expected a UTF-8 string, found string that is not UTF-8"),
    );
}

#[test]
fn arrays() {
    let strings = |metadata: &Metadata<'_>| {
        Ok(metadata
            .get_strings("k")?
            .map(|s| s.map(String::from).collect::<Vec<_>>()))
    };
    let wrong = "metadata key \"k\": expected an array of UTF-8 strings, found";
    check(
        strings,
        vec!["", "é", "b"],
        Ok(Some(vec!["".into(), "é".into(), "b".into()])),
    );
    check(strings, Vec::<&str>::new(), Ok(Some(vec![])));
    check(strings, "a", Err(&format!("{wrong} string \"a\"")));
    check(
        strings,
        vec![1u8],
        Err(&format!("{wrong} array of 1 u8 from 1 to 1")),
    );
    let mixed = OwnedValue::Array(
        ValueType::String,
        vec!["a".into(), OwnedValue::Bytes(vec![0xff])],
    );
    check(
        strings,
        mixed,
        Err(&format!("{wrong} array of 2 string, number 2 not UTF-8")),
    );

    let floats = |metadata: &Metadata<'_>| Ok(metadata.get_f32s("k")?.map(Vec::from_iter));
    check(floats, vec![0.5f32, -1.0], Ok(Some(vec![0.5, -1.0])));
    check(
        floats,
        vec![0.5f64],
        Err("metadata key \"k\": expected an array of f32, found array of 1 f64"),
    );

    let signed = |metadata: &Metadata<'_>| Ok(metadata.get_i32s("k")?.map(Vec::from_iter));
    check(signed, vec![1i32, -1], Ok(Some(vec![1, -1])));
    check(signed, vec![1u64, 2], Ok(Some(vec![1, 2])));
    let wrong = "metadata key \"k\": expected an array of 32-bit integers, found";
    check(
        signed,
        vec![1u32, 1 << 31],
        Err(&format!("{wrong} array of 2 u32 from 1 to 2147483648")),
    );

    let unsigned = |metadata: &Metadata<'_>| Ok(metadata.get_u32s("k")?.map(Vec::from_iter));
    check(unsigned, vec![1i32, 8], Ok(Some(vec![1, 8])));
    let wrong = "metadata key \"k\": expected an array of unsigned 32-bit integers, found";
    check(
        unsigned,
        vec![1i32, -8],
        Err(&format!("{wrong} array of 2 i32 from -8 to 1")),
    );
    check(
        unsigned,
        vec![true],
        Err(&format!("{wrong} array of 1 bool")),
    );

    let bools = |metadata: &Metadata<'_>| Ok(metadata.get_bools("k")?.map(Vec::from_iter));
    check(bools, vec![true, false], Ok(Some(vec![true, false])));
    check(
        bools,
        vec![1u8],
        Err("metadata key \"k\": expected an array of bool, found array of 1 u8 from 1 to 1"),
    );
}

#[test]
fn absent_keys() {
    check(|metadata| metadata.get_u32("other"), 1u32, Ok(None));
    check(
        |metadata| Ok(metadata.get_strings("other")?.is_some()),
        1u32,
        Ok(false),
    );
    check(
        |metadata| metadata.require_u32("other\x1b"),
        1u32,
        Err("metadata key \"other\\u{1b}\" is missing, expected an unsigned 32-bit integer"),
    );
    check(
        |metadata| {
            metadata
                .require_strings("other")
                .map(|strings| strings.len())
        },
        1u32,
        Err("metadata key \"other\" is missing, expected an array of UTF-8 strings"),
    );
    check(|metadata| metadata.require_u32("k"), 1u32, Ok(1));
}

#[test]
fn nested_arrays() {
    let inner = |numbers: Vec<i32>| OwnedValue::from(numbers);
    let value = OwnedValue::Array(
        ValueType::Array,
        vec![inner(vec![1, 2]), vec!["a", "b"].into(), inner(vec![])],
    );
    let bytes = Writer::new()
        .metadata("k", value)
        .metadata("after", 1u8)
        .finish();
    let file = Gguf::parse(&bytes).unwrap();
    let array = file.metadata().require_array("k").unwrap();
    let rows: Vec<_> = array.iter().map(|value| value.to_string()).collect();
    assert_eq!(rows, ["[1, 2]", "[\"a\", \"b\"]", "[]"]);
    assert_eq!(file.metadata().get("after"), Some(Value::U8(1)));
}

#[test]
fn values_print_on_one_line() {
    let print = |metadata: &Metadata<'_>| Ok(metadata.get("k").unwrap().to_string());
    check(print, "a\n\x1b[2J\"", Ok(r#""a\n\u{1b}[2J\"""#.into()));
    check(
        print,
        OwnedValue::Bytes(b"a\xff\x1b".to_vec()),
        Ok(r#"b"a\xff\x1b""#.into()),
    );
    check(
        print,
        (0..10u32).collect::<Vec<_>>(),
        Ok("[0, 1, 2, 3, 4, 5, 6, 7, … 10 u32]".into()),
    );
    check(print, vec!["a\0"], Ok(r#"["a\0"]"#.into()));
    check(print, -0.5f64, Ok("-0.5".into()));
}

#[test]
fn order_of_the_file_is_kept() {
    let bytes = Writer::new()
        .metadata("z", 1u8)
        .metadata("a", 2u8)
        .metadata("m", 3u8)
        .finish();
    let file = Gguf::parse(&bytes).unwrap();
    let keys: Vec<_> = file.metadata().iter().map(|(key, _)| key).collect();
    assert_eq!(
        (file.metadata().len(), keys.as_slice()),
        (3, &["z", "a", "m"][..])
    );
}

#[test]
fn arrays_as_they_lie_in_the_file() {
    let file = Writer::new()
        .metadata("strings", vec!["ab", "", "c"])
        .metadata("numbers", vec![1u32, u32::MAX])
        .metadata("signed", vec![-1i32])
        .metadata("floats", vec![1f32])
        .metadata("wide", vec![1u64])
        .finish();
    let file = Gguf::parse(&file).unwrap();
    let array = |key| file.metadata().require_array(key).unwrap();

    let strings: Vec<_> = array("strings")
        .byte_strings_and_beyond()
        .unwrap()
        .collect();
    // Each up to the end of the array, with the lengths of those behind it.
    let expected: [(&[u8], &[u8]); 3] = [
        (b"ab", b"ab\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0c"),
        (b"", b"\x01\0\0\0\0\0\0\0c"),
        (b"c", b"c"),
    ];
    assert_eq!(strings, expected);
    assert!(array("numbers").byte_strings_and_beyond().is_none());

    let words = |key| array(key).words().map(Vec::from_iter);
    assert_eq!(words("numbers"), Some(vec![1, u32::MAX]));
    assert_eq!(words("signed"), Some(vec![u32::MAX]));
    assert_eq!(words("floats"), Some(vec![0x3f80_0000]));
    assert_eq!(words("wide"), None);
    assert_eq!(words("strings"), None);
}
