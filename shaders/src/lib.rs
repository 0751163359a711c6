//! The WGSL compute shaders of Firstlight.
//!
//! Shaders are whole files in `wgsl/`, put together by concatenation: an
//! operation's own file, the [shared pieces](mod@piece) it names, and one piece
//! for each [`Slot`] it leaves open, such as the format of the weights. Nothing
//! is generated and nothing is replaced in their text; what varies further is a
//! WGSL `override` constant. The [`table`] says of every operation which
//! bindings it has, what shape they are, which parameters it takes and how much
//! a workgroup computes.
//!
//! ```text
//! wgsl/*.wgsl           operations
//! wgsl/shared/          functions that several operations or formats use
//! wgsl/format/          one file per weight format, all with the same functions
//! wgsl/reduce/          sums over a workgroup: with subgroups, or without
//! wgsl/teams/           teams of lanes that add up: subgroups, or 32 at a time
//! wgsl/tile/            what a workgroup computes at once: tokens, queries, tiles
//!                       and strips on matrix units
//! wgsl/row/             rows of whole fours, or of any length
//! wgsl/share/           four lanes that add up: in a subgroup, or not
//! wgsl/lanes/           lanes of a workgroup
//! wgsl/kv/              how keys and values are stored
//! wgsl/source/          where the candidates of a selection come from
//! ```
//!
//! This crate knows no graphics API. Every combination that can be put together
//! is parsed and validated in its tests, which need no device.
//!
//! Weights do not lie on the device as they do in the file: see [`layout`].
//!
//! # Arithmetic
//!
//! As on the CPU, products with block formats use activations as 8-bit integers
//! in groups of 32; a group's sum of products is exact, and
//! `fma(d · dx, sum, acc)` adds it to an `f32`. What differs from the CPU is the
//! order in which groups are added, which devices and their compilers choose. On
//! matrix units, weights and those same activations are f16 and sums `f32`.
//! Subnormal numbers may be flushed to zero, and infinities and NaNs are not
//! guaranteed to survive.
//!
//! ```
//! use shaders::{Op, piece};
//!
//! let format = piece::format(gguf::TensorType::Q4_K).expect("Q4_K has a shader");
//! let tokens = piece::tokens(1).expect("one token");
//! let text = shaders::compose(Op::MatvecInt8, &[format, tokens, &piece::TEAMS_WORKGROUP]);
//! assert!(text.contains("fn group("));
//! ```

#![forbid(unsafe_code)]

pub mod layout;
mod list;
mod parts;
pub mod piece;
pub mod table;

pub use layout::{Layout, layout_of};
pub use piece::{File, Piece, Slot};
pub use table::{Access, Binding, Op, Shader};

/// The text of an operation with the given pieces in its open slots.
///
/// # Panics
///
/// If the pieces do not fill exactly the slots that the operation has.
pub fn compose(op: Op, pieces: &[&Piece]) -> String {
    let shader = op.shader();
    let mut files: Vec<&File> = shader.shared.iter().copied().flatten().collect();
    assert_eq!(
        pieces.len(),
        shader.slots.len(),
        "{} has slots {:?}",
        shader.file.name,
        shader.slots
    );
    for &slot in shader.slots {
        let piece = pieces.iter().find(|piece| piece.slot == slot);
        let piece = piece.unwrap_or_else(|| panic!("{}: no piece for {slot:?}", shader.file.name));
        files.extend(piece.files);
    }
    files.push(&shader.file);
    files
        .iter()
        .map(|file| file.text)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests;
