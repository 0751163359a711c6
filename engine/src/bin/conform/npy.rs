//! NumPy's array file format, version 1.0, for float32 matrices.
//!
//! Source: NumPy Enhancement Proposal 1. The header is padded so that the
//! values begin at a multiple of 64 bytes.

use std::io::{BufWriter, Result, Write};
use std::path::Path;

/// Writes `values` as `[rows, cols]`.
pub fn write(path: &Path, values: &[f32], rows: usize, cols: usize) -> Result<()> {
    assert_eq!(values.len(), rows * cols);
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {cols}), }}");
    const PREFIX: usize = 10;
    while !(PREFIX + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let len = u16::try_from(header.len()).expect("the header is short");
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&len.to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for value in values {
        file.write_all(&value.to_le_bytes())?;
    }
    file.flush()
}
