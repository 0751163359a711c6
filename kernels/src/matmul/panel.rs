//! Panels: a strip of weight rows, unpacked for many tokens.
//!
//! A panel is a thread's own scratch and lies in the second-level cache while
//! all tokens are multiplied with it. What is in it, kernels decide; they have
//! in common that rows lie side by side. On most instruction sets there are as many
//! as a vector has 32-bit lanes, and four consecutive weights of each row make
//! one vector:
//!
//! ```text
//!               row 0        row 1              row 7
//! step 0     │ w0 w1 w2 w3 │ w0 w1 w2 w3 │ ┄ │ w0 w1 w2 w3 │
//! step 1     │ w4 w5 w6 w7 │ w4 w5 w6 w7 │ ┄ │ w4 w5 w6 w7 │
//!   ┄
//! step 7     │ w28 ┄ w31   │ w28 ┄ w31   │ ┄ │ w28 ┄ w31   │     a group
//! ```
//!
//! so that the four activations they meet are one broadcast for all rows.
use crate::format::{ActivationForm, Format};
use crate::isa::{Isa, is_zen_5_or_later};
use crate::lines::Lines;

/// From this many tokens on, strips are unpacked into panels.
pub const MIN_TOKENS: usize = 12;

/// The same for an instruction set and a format.
///
/// Measured on a Zen 5, of Q4_0, Q4_K, Q6_K and Q8_0: with AVX-VNNI, panels are faster
/// from 5 to 8 tokens on; with AVX2, of Q6_K, whose halves cost less there, with 5 already.
/// Of the others with AVX2 from 8 to more than 10; on a Zen 3, of weights from memory, eight
/// tokens are as fast in place, and ten slower by 8 (Q4_0) to 24 % (IQ4_NL).
pub fn min_tokens(isa: Isa, format: Format) -> usize {
    match (isa, format.info().activations) {
        (Isa::Avx512, ActivationForm::Int8) => min_tokens_avx512(),
        (Isa::Avx2, _) if format == Format::Q6_K => 5,
        (Isa::AvxVnni, ActivationForm::Int8) => 7,
        (Isa::Avx2, ActivationForm::Int8) => 9,
        _ => MIN_TOKENS,
    }
}

/// The same for AVX-512 and all block formats, whose activations differ: it takes eight
/// tokens in place at a time, as fast as from panels; on a Zen 5, twice eight are faster
/// (16 tokens by 3 to 13 %, Q6_K slower by 5; 9 tokens by 5 to 40 %).
pub fn min_tokens_avx512() -> usize {
    if is_zen_5_or_later() { 17 } else { 9 }
}

/// A thread's buffers for a panel and for what is summed from it.
#[derive(Default)]
pub struct Panel {
    /// Quants.
    pub q: Lines<u8>,
    /// Scales.
    pub d: Lines<f32>,
    /// Minimums.
    pub m: Lines<f32>,
    /// Sub-scales.
    pub s: Lines<i16>,
    /// Sums of activations.
    pub neg_sums: Lines<i32>,
    /// Activations, or what goes with them, arranged for the panel.
    pub x: Lines<u8>,
    /// Partial sums.
    pub sums: Lines<f32>,
    /// Products on their way to the outputs.
    pub products: Lines<f32>,
}

/// Whether so many tokens stay in the second-level cache beside a panel.
pub const fn are_few(tokens: usize, cols: usize) -> bool {
    // Twice what quants alone are: scales and sums lie beside them.
    2 * tokens * cols <= 256 << 10
}

/// Rows of a strip of block formats for so many tokens, whole tiles of the instruction
/// set's kernels. With more rows, activations are put side by side less often, which
/// only the fastest kernels notice.
pub fn strip_rows(isa: Isa, tokens: usize, cols: usize, outputs: usize, threads: usize) -> usize {
    // Half of the smallest second-level caches of processors that have the instruction
    // set; of AVX-VNNI, which small cores have too, of the large ones. With AVX2 a slice of
    // a panel meets so many tokens that it may come from the last level.
    let (bytes, tile, most) = match isa {
        Isa::Avx512 => (512 << 10, 32, 128),
        Isa::AvxVnni => (512 << 10, 16, 128),
        Isa::Avx2 => (1024 << 10, 16, 128),
        _ => (256 << 10, 16, 64),
    };
    let rows_that_stay = match isa {
        // Of many tokens' panels, AVX-512 needs only some inputs at a time.
        Isa::Avx512 if !are_few(tokens, cols) => most,
        _ => bytes / cols.max(1),
    };
    let rows = rows_that_stay.min(rows_for_all(outputs, threads));
    (rows / tile * tile).clamp(tile, most)
}

/// Rows of a strip of floats, whole sheets of the kernel, which may multiply in halves. Of its
/// panel, only a block of inputs needs to stay in the second-level cache.
pub fn float_strip_rows(in_halves: bool, outputs: usize, threads: usize) -> usize {
    let sheets = if in_halves { 12 } else { 16 };
    let rows = rows_for_all(outputs, threads).clamp(sheets, 64);
    rows / sheets * sheets
}

/// So many rows that all threads have some of the `outputs`.
fn rows_for_all(outputs: usize, threads: usize) -> usize {
    outputs.div_ceil(4 * threads)
}
