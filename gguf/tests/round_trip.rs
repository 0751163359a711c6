//! What the writer writes the parser reads, and neither random nor damaged bytes make it panic.

use gguf::write::{OwnedValue, Writer};
use gguf::{Gguf, Parsed, TensorType, Value, ValueType};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn scalar(ty: ValueType) -> BoxedStrategy<OwnedValue> {
    match ty {
        ValueType::U8 => any::<u8>().prop_map(OwnedValue::from).boxed(),
        ValueType::I8 => any::<i8>().prop_map(OwnedValue::from).boxed(),
        ValueType::U16 => any::<u16>().prop_map(OwnedValue::from).boxed(),
        ValueType::I16 => any::<i16>().prop_map(OwnedValue::from).boxed(),
        ValueType::U32 => any::<u32>().prop_map(OwnedValue::from).boxed(),
        ValueType::I32 => any::<i32>().prop_map(OwnedValue::from).boxed(),
        ValueType::F32 => any::<f32>().prop_map(OwnedValue::from).boxed(),
        ValueType::Bool => any::<bool>().prop_map(OwnedValue::from).boxed(),
        ValueType::String => {
            let not_utf8 = vec(0x80..=0xffu8, 1..9)
                .prop_filter("must not be UTF-8", |s| std::str::from_utf8(s).is_err());
            prop_oneof![9 => any::<String>().prop_map(OwnedValue::from), 1 => not_utf8.prop_map(OwnedValue::Bytes)].boxed()
        }
        ValueType::U64 => any::<u64>().prop_map(OwnedValue::from).boxed(),
        ValueType::I64 => any::<i64>().prop_map(OwnedValue::from).boxed(),
        ValueType::F64 => any::<f64>().prop_map(OwnedValue::from).boxed(),
        ValueType::Array => unreachable!("not a scalar"),
    }
}

fn array_of_scalars() -> impl Strategy<Value = OwnedValue> {
    let scalar_type = prop::sample::select(ValueType::ALL.to_vec())
        .prop_filter("scalar", |ty| *ty != ValueType::Array);
    scalar_type.prop_flat_map(|ty| {
        vec(scalar(ty), 0..6).prop_map(move |elements| OwnedValue::Array(ty, elements))
    })
}

fn value() -> impl Strategy<Value = OwnedValue> {
    let scalars: Vec<_> = ValueType::ALL
        .into_iter()
        .filter(|ty| *ty != ValueType::Array)
        .map(scalar)
        .collect();
    let nested = array_of_scalars().prop_recursive(3, 20, 4, |inner| {
        vec(inner, 0..4).prop_map(|arrays| OwnedValue::Array(ValueType::Array, arrays))
    });
    prop_oneof![3 => proptest::strategy::Union::new(scalars), 1 => nested]
}

#[derive(Clone, Debug)]
struct Tensor {
    ty: TensorType,
    dims: Vec<u64>,
    data: Vec<u8>,
}

fn tensor() -> impl Strategy<Value = Tensor> {
    (
        prop::sample::select(TensorType::ALL),
        1..4u64,
        vec(1..4u64, 0..4),
        any::<u8>(),
    )
        .prop_map(|(ty, blocks, rest, byte)| {
            let len_bytes = blocks * ty.block_bytes() as u64 * rest.iter().product::<u64>();
            let dims = std::iter::once(blocks * ty.block_len() as u64)
                .chain(rest)
                .collect();
            Tensor {
                ty,
                dims,
                data: vec![byte; len_bytes as usize],
            }
        })
}

/// The contents of a file, in the order of their names.
#[derive(Clone, Debug)]
struct Contents {
    version: u32,
    alignment: Option<u32>,
    metadata: Vec<(String, OwnedValue)>,
    tensors: Vec<(String, Tensor)>,
}

fn contents() -> impl Strategy<Value = Contents> {
    let name = "[a-z]{1,4}[._][a-zé\u{1b}]{0,4}";
    (
        2..=3u32,
        prop::option::of((3..13u32).prop_map(|log2| 1 << log2)),
        btree_map(name, value(), 0..8),
        btree_map(name, tensor(), 0..6),
    )
        .prop_map(|(version, alignment, metadata, tensors)| Contents {
            version,
            alignment,
            metadata: metadata.into_iter().collect(),
            tensors: tensors.into_iter().collect(),
        })
}

impl Contents {
    fn writer(&self) -> Writer<'_> {
        let mut writer = Writer::new().version(self.version);
        if let Some(alignment) = self.alignment {
            writer = writer.alignment(alignment);
        }
        for (key, value) in &self.metadata {
            writer = writer.metadata(key, value.clone());
        }
        for (name, tensor) in &self.tensors {
            writer = writer.tensor(name, tensor.ty, &tensor.dims, &tensor.data);
        }
        writer
    }
}

/// As `==`, except that floating-point numbers are compared by their bits, so that a NaN equals itself.
fn same(a: &OwnedValue, b: &OwnedValue) -> bool {
    match (a, b) {
        (OwnedValue::F32(a), OwnedValue::F32(b)) => a.to_bits() == b.to_bits(),
        (OwnedValue::F64(a), OwnedValue::F64(b)) => a.to_bits() == b.to_bits(),
        (OwnedValue::Array(a_ty, a), OwnedValue::Array(b_ty, b)) => {
            a_ty == b_ty && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => a == b,
    }
}

/// Looks at everything there is to see in a file that was accepted.
fn visit(file: &Gguf<'_>, bytes: &[u8]) {
    for (key, value) in file.metadata().iter() {
        assert_eq!(
            file.metadata().get(key).map(|value| value.ty()),
            Some(value.ty())
        );
        assert!(!value.to_string().contains('\x1b'));
        if let Value::Array(array) = value {
            assert_eq!(array.iter().count(), array.len());
            let _ = (
                array.strings(),
                array.byte_strings(),
                array.f32s(),
                array.i32s(),
                array.u32s(),
                array.bools(),
            );
        }
    }
    let mut previous_end = 0;
    let mut tensors: Vec<_> = file.tensors().iter().collect();
    tensors.sort_by_key(|tensor| tensor.offset);
    for tensor in tensors {
        assert!(
            tensor.offset >= previous_end && tensor.offset % file.alignment() == 0,
            "{tensor:?}"
        );
        previous_end = tensor.range().end;
        assert_eq!(
            tensor.data(bytes).unwrap().len() as u64,
            tensor.rows() * tensor.row_bytes()
        );
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(contents in contents()) {
        let bytes = contents.writer().finish();
        let file = Gguf::parse(&bytes).unwrap();
        visit(&file, &bytes);
        prop_assert_eq!(file.version(), contents.version);
        prop_assert_eq!(file.alignment(), u64::from(contents.alignment.unwrap_or(32)));

        let read: Vec<_> = file.metadata().iter().filter(|(key, _)| *key != "general.alignment").collect();
        prop_assert_eq!(read.len(), contents.metadata.len());
        for ((key, value), (expected_key, expected)) in read.into_iter().zip(&contents.metadata) {
            prop_assert_eq!(key, expected_key);
            prop_assert!(same(&value.into(), expected), "{}: {} for {:?}", key, value, expected);
        }

        prop_assert_eq!(file.tensors().len(), contents.tensors.len());
        for (tensor, (name, expected)) in file.tensors().iter().zip(&contents.tensors) {
            prop_assert_eq!(tensor.name, name);
            prop_assert_eq!(tensor.ty, expected.ty);
            prop_assert_eq!(tensor.dims(), &expected.dims);
            prop_assert_eq!(tensor.data(&bytes), Some(&expected.data[..]));
            prop_assert_eq!(file.tensor(name), Some(tensor));
        }
    }

    #[test]
    fn the_header_alone_says_where_the_data_goes(contents in contents()) {
        let layout = contents.writer().finish_header();
        let mut bytes = layout.header;
        prop_assert_eq!(bytes.len() as u64 % u64::from(contents.alignment.unwrap_or(32)), 0);
        bytes.resize(layout.file_len as usize, 0);
        for (range, (_, tensor)) in layout.tensors.iter().zip(&contents.tensors) {
            bytes[range.start as usize..range.end as usize].copy_from_slice(&tensor.data);
        }
        prop_assert_eq!(bytes, contents.writer().finish());
    }

    #[test]
    fn prefixes_are_completed_in_few_steps(contents in contents()) {
        let bytes = contents.writer().finish();
        let file_len = bytes.len() as u64;
        let (mut len, mut steps) = (0, 0);
        while let Parsed::NeedMore { at_least } = Gguf::parse_prefix(&bytes[..len], file_len).unwrap() {
            prop_assert!(len < at_least as usize && at_least <= file_len);
            len = bytes.len().min((at_least as usize).max(2 * len));
            steps += 1;
        }
        prop_assert!(steps <= 16, "{} steps for {} bytes", steps, file_len);
    }

    #[test]
    fn damaged_files_do_not_panic(contents in contents(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = contents.writer().finish();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        match Gguf::parse(&bytes) {
            Ok(file) => visit(&file, &bytes),
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control), "{:?}", error),
        }
    }

    #[test]
    fn random_headers_do_not_panic(version in 2..=3u32, tensors in 0..3u64, keys in 0..3u64, rest in vec(any::<u8>(), 0..200)) {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(keys.to_le_bytes());
        bytes.extend(rest);
        if let Ok(file) = Gguf::parse(&bytes) {
            visit(&file, &bytes);
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in vec(any::<u8>(), 0..200)) {
        prop_assume!(!bytes.starts_with(b"GGUF"));
        prop_assert!(Gguf::parse(&bytes).is_err());
    }
}
