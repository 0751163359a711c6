//! Metadata and tensors of any GGUF file.

use firstlight::mapping::Mapping;
use gguf::{Escaped, Gguf, Value};
use serde_json::json;
use std::error::Error;
use std::io::Write;
use std::path::Path;

/// Elements of an array that are shown in the table.
const SHOWN: usize = 6;

/// Prints the file.
pub fn inspect(path: &Path, as_json: bool, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mapping = Mapping::open(path)?;
    let file = Gguf::parse(&mapping).map_err(|reason| firstlight::Error::Format {
        path: path.to_owned(),
        reason,
    })?;
    if as_json {
        print_json(&file, out)
    } else {
        print_table(&file, mapping.len(), out)
    }
}

fn print_table(
    file: &Gguf<'_>,
    len_bytes: usize,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    writeln!(
        out,
        "GGUF version {}, {} metadata keys, {} tensors, {len_bytes} bytes",
        file.version(),
        file.metadata().len(),
        file.tensors().len()
    )?;
    for (key, value) in file.metadata().iter() {
        writeln!(out, "{} = {}", Escaped(key), shown(&value))?;
    }
    for tensor in file.tensors() {
        let dims: Vec<_> = tensor.dims().iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "{:<10} {:>20} {:>14} bytes at {:<14} {}",
            tensor.ty.name(),
            dims.join(" x "),
            tensor.len_bytes,
            tensor.offset,
            Escaped(tensor.name)
        )?;
    }
    Ok(())
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Array(array) => {
            let first: Vec<_> = array
                .iter()
                .take(SHOWN)
                .map(|value| shown(&value))
                .collect();
            let more = if array.len() > SHOWN { ", …" } else { "" };
            format!("[{}{more}] ({} elements)", first.join(", "), array.len())
        }
        Value::String(text) => {
            let long = text.chars().count() > 200;
            let text: String = text.chars().take(200).collect();
            format!("{}{}", Escaped(&text), if long { "…" } else { "" })
        }
        other => other.to_string(),
    }
}

fn print_json(file: &Gguf<'_>, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let metadata: serde_json::Map<_, _> = file
        .metadata()
        .iter()
        .map(|(key, value)| (key.to_owned(), to_json(&value)))
        .collect();
    let tensors: Vec<_> = file
        .tensors()
        .iter()
        .map(|tensor| {
            json!({
                "name": tensor.name,
                "type": tensor.ty.name(),
                "shape": tensor.dims(),
                "offset": tensor.offset,
                "bytes": tensor.len_bytes,
            })
        })
        .collect();
    let all = json!({
        "version": file.version(),
        "alignment": file.alignment(),
        "data_offset": file.data_offset(),
        "metadata": metadata,
        "tensors": tensors,
    });
    // JSON leaves some control characters as they are; terminals obey them.
    let mut escaped = String::new();
    for c in format!("{all:#}\n").chars() {
        if c.is_control() && c != '\n' {
            escaped += &format!("\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Ok(out.write_all(escaped.as_bytes())?)
}

fn to_json(value: &Value<'_>) -> serde_json::Value {
    match *value {
        Value::U8(v) => v.into(),
        Value::I8(v) => v.into(),
        Value::U16(v) => v.into(),
        Value::I16(v) => v.into(),
        Value::U32(v) => v.into(),
        Value::I32(v) => v.into(),
        Value::U64(v) => v.into(),
        Value::I64(v) => v.into(),
        // JSON has no infinities and no NaN: they become null.
        Value::F32(v) => v.into(),
        Value::F64(v) => v.into(),
        Value::Bool(v) => v.into(),
        Value::String(v) => v.into(),
        Value::Bytes(v) => String::from_utf8_lossy(v).into_owned().into(),
        Value::Array(array) => array
            .iter()
            .map(|value| to_json(&value))
            .collect::<Vec<_>>()
            .into(),
    }
}
