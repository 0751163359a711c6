//! CPU numerics of Firstlight.
//!
//! This crate knows block formats, matrices of them, activations, attention
//! and the thread team that computes. It knows no model and no file.
//!
//! # The one rule
//!
//! *Scalar defines, SIMD must equal.* Every result is identical to the bit for
//! any thread count, any number of tokens computed together, and any
//! instruction set. To make that possible the order of the `f32` operations is
//! part of each operation's definition:
//!
//! * block formats: see [`format`] for the per-group step and [`matmul`] for
//!   the order in which groups are summed (eight partial sums, then a fixed
//!   tree);
//! * `F32`, `F16` and every other sum over floats: sixteen partial sums by index
//!   modulo 16, then the same kind of tree;
//! * `BF16`: both factors are bf16 ([`steps`]), and a partial sum takes pairs of
//!   neighbours.
//!
//! The tree is always the one that *folds halves*: with partial sums
//! `p[0..2h]`, replace `p[i]` by `p[i] + p[i + h]` for `i < h` and repeat with
//! `h / 2` until one is left.

pub mod activation;
pub mod attention;
pub mod format;
mod inlined;
pub mod isa;
pub mod lanes;
pub mod limits;
pub mod lines;
pub mod matmul;
pub mod ops;
mod prefetch;
pub mod recurrent;
pub mod selftest;
pub mod steps;
pub mod team;

pub use format::Format;
pub use isa::Isa;
pub use matmul::{Kernels, Matrix};
pub use team::{Region, Team};
