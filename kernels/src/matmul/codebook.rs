//! Formats of codebooks: rows are expanded (`format/codebook` says why), some at a time,
//! into the thread's own memory, and multiplied by the kernel for what they then are. (On
//! x86-64, one token meets rows as they are looked up.)

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::panel::min_tokens;
use super::{Activations, MatmulFn, Matrix, Scratch};
use crate::format::{Block, Expanded, expand};
use crate::isa::Isa;
use crate::team::TileMut;
use bytemuck::Pod;

/// Writes blocks spelled out, as many as the output holds.
///
/// Unsafe to call unless the machine has the instruction set it was chosen for.
pub type ExpandFn<E = Expanded> = unsafe fn(&[u8], &mut [E]);

/// Bytes of expanded rows at a time, where few tokens meet them: they stay in the
/// second-level cache, beside the tokens.
const FEW_BYTES: usize = 128 << 10;

/// Computes a strip with the kernel for expanded blocks of `isa`.
///
/// # Safety
///
/// The processor has the instruction set, and `expand` and `kernel` are for it.
pub unsafe fn strip<E: Block + Pod>(
    isa: Isa,
    expand: ExpandFn<E>,
    kernel: MatmulFn,
    weight: Matrix<'_>,
    x: Activations<'_>,
    out: &mut TileMut<'_>,
    scratch: &mut Scratch,
) {
    let row_bytes = weight.cols() / E::LEN * size_of::<E>();
    // Of many tokens, what is prepared for a strip is prepared once.
    let at_a_time = match x.rows < min_tokens(isa, weight.format()) {
        true => FEW_BYTES / row_bytes.max(1),
        false => weight.rows(),
    }
    .max(1);
    let mut expanded = std::mem::take(&mut scratch.expanded);
    let all = 0..weight.rows();
    for first in all.clone().step_by(at_a_time) {
        let rows = first..all.end.min(first + at_a_time);
        let blocks = weight.slice_rows(rows.clone());
        let bytes = expanded.resize(rows.len() * row_bytes);
        // SAFETY: as the caller grants.
        unsafe { expand(blocks.bytes(), bytemuck::cast_slice_mut(bytes)) };
        let spelled_out = Matrix {
            row_bytes,
            bytes,
            ..blocks
        };
        // SAFETY: as the caller grants.
        unsafe { kernel(spelled_out, x, &mut out.columns(rows), scratch) };
    }
    scratch.expanded = expanded;
}

/// Formats that all of this build's instruction sets expand.
#[cfg(not(target_arch = "x86_64"))]
use crate::format::Codebook as Spelled;
#[cfg(target_arch = "x86_64")]
use avx2::Vectors as Spelled;

/// How a format is expanded on a processor with an instruction set.
pub fn expander<B: Spelled + Block>(isa: Isa) -> ExpandFn {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::AvxVnni => avx2::expand::<B>,
        _ => expand::<B>,
    }
}

/// A kernel of a codebook format without a way of its own: `codebook!(isa, block, kernel)`.
#[cfg(target_arch = "aarch64")]
macro_rules! codebook {
    ($isa:expr, $block:ty, $kernel:expr) => {
        |weight, x, out, scratch| {
            let expand = super::codebook::expander::<$block>($isa);
            // SAFETY: the registry runs a kernel only where its instructions are.
            unsafe { super::codebook::strip($isa, expand, $kernel, weight, x, out, scratch) }
        }
    };
}

#[cfg(target_arch = "aarch64")]
pub(super) use codebook;
