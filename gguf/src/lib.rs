//! Reading (and, for tests and synthetic models, writing) GGUF files.
//!
//! Bytes in, validated and borrowed views out. The crate does no I/O and has no `unsafe`: the caller maps or reads a file and
//! hands over a slice. What [`Gguf::parse`] returns has been checked against the length of the file, so that the layers
//! above never meet a tensor that lies outside of it, overlaps another, or has a size that wrapped around.
//!
//! Source: the GGUF specification (`docs/gguf.md` of the ggml project), versions 2 and 3, little-endian.
//!
//! ```text
//!          ┌───────────────────────────────────────────────────────────────┐
//! 0        │ "GGUF" │ version u32 │ tensor count u64 │ metadata count u64   │  24 bytes
//!          ├───────────────────────────────────────────────────────────────┤
//! 24       │ metadata entry × count                                        │
//!          │   key: length u64, UTF-8 bytes                                │
//!          │   value type u32                                              │
//!          │   value: number │ bool u8 │ string (length u64, bytes) │       │
//!          │          array (element type u32, length u64, elements)       │
//!          ├───────────────────────────────────────────────────────────────┤
//!          │ tensor entry × count                                          │
//!          │   name (length u64, UTF-8), n_dims u32, n_dims × u64,          │
//!          │   type u32, offset u64 (from the start of the data)           │
//!          ├───────────────────────────────────────────────────────────────┤
//!          │ padding to a multiple of `general.alignment` (32 by default)  │
//!          ├───────────────────────────────────────────────────────────────┤
//! data_    │ tensor data, each at a multiple of the alignment              │
//! offset() └───────────────────────────────────────────────────────────────┘
//! ```
//!
//! Dimensions stand in GGUF's order: `shape[0]` is k, contiguous in memory, and `shape[1]` the number of rows.
//!
//! ```
//! use gguf::{Gguf, TensorType, write::Writer};
//!
//! let row = [0u8; 2 * 34]; // 64 elements are two Q8_0 blocks of 34 bytes
//! let file = Writer::new()
//!     .metadata("general.architecture", "llama")
//!     .metadata("llama.block_count", 1u32)
//!     .tensor("blk.0.ffn_down.weight", TensorType::Q8_0, &[64, 1], &row)
//!     .finish();
//!
//! let model = Gguf::parse(&file)?;
//! assert_eq!(model.metadata().require_str("general.architecture")?, "llama");
//! let tensor = model.tensor("blk.0.ffn_down.weight").unwrap();
//! assert_eq!((tensor.cols(), tensor.rows()), (64, 1));
//! assert_eq!(tensor.data(&file), Some(&row[..]));
//! # Ok::<(), gguf::Error>(())
//! ```

#![forbid(unsafe_code)]

mod array;
mod error;
mod file;
mod foreign;
mod metadata;
mod reader;
pub mod split;
mod tensor;
mod tensor_type;
mod value;
pub mod write;

pub use array::Array;
pub use error::{Error, Escaped};
pub use file::{Gguf, Parsed};
pub use metadata::Metadata;
pub use tensor::TensorInfo;
pub use tensor_type::TensorType;
pub use value::{Value, ValueType};
