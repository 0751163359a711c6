//! Reading float32 matrices from NumPy's `.npy` files.

/// A matrix, row by row.
pub struct Matrix {
    /// The values.
    pub values: Vec<f32>,
    /// Values per row.
    pub cols: usize,
}

/// Parses a version 1.0 file of little-endian float32 in C order, two
/// dimensions.
///
/// # Panics
///
/// With a message if it is something else: these are test data.
pub fn parse(bytes: &[u8]) -> Matrix {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "magic and version");
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + header_len]).expect("the header is text");
    assert!(
        header.contains("'<f4'") && header.contains("'fortran_order': False"),
        "{header}"
    );
    let shape = header
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .expect("a shape")
        .0;
    let dims: Vec<usize> = shape
        .split(',')
        .map(|dim| dim.trim().parse().expect("a dimension"))
        .collect();
    let [rows, cols] = dims[..] else {
        panic!("two dimensions, found {shape}")
    };
    let (values, rest) = bytes[10 + header_len..].as_chunks::<4>();
    assert_eq!(
        (values.len(), rest.len()),
        (rows * cols, 0),
        "as many values as the shape says"
    );
    Matrix {
        values: values
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
        cols,
    }
}
