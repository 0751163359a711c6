//! Weight formats: what the bits of a block mean.
//!
//! One file per format, one line in the table below. A block format is defined
//! by a single function, [`Block::group`], that reads 32 consecutive weights as
//! a [`Group`]: small integers, their scales and minimums. Dequantization, the
//! scalar dot product and the generic unpacking into panels all follow from it,
//! so a new format works everywhere as soon as its `group` exists. Beside them
//! lie blocks with the weights they stand for, from a dequantizer that is not
//! ours (`vectors/make.py`).
//!
//! The layouts are those of ggml, whose formats GGUF files hold.
//!
//! # What a group means
//!
//! ```text
//! weight[i] = d · s[i / 16] · q[i]  +  m[i / 16]          i in 0..32
//! ```
//!
//! `q` are signed integers, `s` small integer sub-scales of 16 weights each
//! (1 for most formats), `d` the scale and `m` the minimums (0 for formats that
//! have none).
//!
//! # What a group contributes to a dot product
//!
//! With the activations of the same 32 positions as integers `x`, scale `dx`
//! (see [`crate::activation`]):
//!
//! ```text
//! isum = s[0] · Σ q[i]·x[i] (i < 16)  +  s[1] · Σ q[i]·x[i] (i ≥ 16)
//! acc  = fma(d, dx · isum, acc)
//! acc  = fma(m, dx · Σ x[i], acc)            for formats with one minimum per 32
//! acc  = fma(m[0], dx · Σ x[..16], acc);
//! acc  = fma(m[1], dx · Σ x[16..], acc)      for formats with one minimum per 16
//! ```
//!
//! and where the products of sub-scales and quants are no bytes
//! ([`Block::HALVES_APART`]), halves instead of groups:
//!
//! ```text
//! acc  = fma(d · s[0], dx · Σ q[i]·x[i], acc)     i < 16
//! acc  = fma(d · s[1], dx · Σ q[i]·x[i], acc)     i ≥ 16
//! ```
//!
//! Only `fma` rounds, once. Integer sums are at most 32 · 2⁷ · 2⁷ = 2¹⁹ in magnitude
//! and `dx` has four significant bits, so `dx · isum` is exact, and so is `d · s`,
//! of 11 and 8 bits. [`crate::matmul`] says which `acc` a group adds to.

mod codebook;
mod float;
mod iq1_m;
mod iq1_s;
mod iq2_s;
mod iq2_xs;
mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod q1_0;
mod q2_0;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod tq1_0;
mod tq2_0;

#[cfg(target_arch = "x86_64")]
pub(crate) use codebook::{AHEAD, Entry};
pub(crate) use codebook::{Codebook, Expanded, expand};
pub use float::{BF16, F16, F32, FloatWeight};
pub use iq1_m::BlockIQ1_M;
pub use iq1_s::BlockIQ1_S;
pub use iq2_s::BlockIQ2_S;
pub use iq2_xs::BlockIQ2_XS;
pub use iq2_xxs::BlockIQ2_XXS;
pub use iq3_s::BlockIQ3_S;
pub use iq3_xxs::BlockIQ3_XXS;
pub use iq4_nl::{BlockIQ4_NL, IQ4_VALUES};
pub use iq4_xs::BlockIQ4_XS;
pub use mxfp4::{BlockMXFP4, MXFP4_VALUES, half_e8m0};
pub use q1_0::BlockQ1_0;
pub use q2_0::BlockQ2_0;
pub use q2_k::BlockQ2_K;
pub use q3_k::BlockQ3_K;
pub use q4_0::BlockQ4_0;
pub use q4_1::BlockQ4_1;
pub use q4_k::{BlockQ4_K, scale_min};
pub use q5_0::BlockQ5_0;
pub use q5_1::BlockQ5_1;
pub use q5_k::BlockQ5_K;
pub use q6_k::BlockQ6_K;
pub use q8_0::BlockQ8_0;
pub use tq1_0::{BlockTQ1_0, TQ1_0_POWERS};
pub use tq2_0::BlockTQ2_0;

use crate::inlined::zip;
use bytemuck::{AnyBitPattern, Zeroable};
use gguf::TensorType;

/// Weights in a [`Group`], and activations that share one scale.
pub const GROUP: usize = 32;

/// 32 consecutive weights of a row, as integers and their scales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// The quants, signed.
    pub q: [i8; GROUP],
    /// Integer sub-scales of the first and the last 16 quants.
    pub s: [i8; 2],
    /// The scale.
    pub d: f32,
    /// Minimums of the first and the last 16 weights.
    pub m: [f32; 2],
}

impl Group {
    /// Quants and their scale, nothing else.
    #[inline(always)]
    pub fn scaled(q: [i8; GROUP], d: f32) -> Group {
        Group {
            q,
            s: [1, 1],
            d,
            m: [0.0; 2],
        }
    }
}

/// Which minimums a format has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minimum {
    /// `m` is zero.
    None,
    /// One minimum for 32 weights: `m[0] == m[1]`.
    Per32,
    /// One minimum for each 16 weights.
    Per16,
}

/// A block format: the struct as it lies in the file, and what it means.
pub trait Block: AnyBitPattern + Zeroable + Copy + Send + Sync {
    /// Weights in a block; a multiple of [`GROUP`].
    const LEN: usize;
    /// Added to a quant to make it unsigned: every `q + OFFSET` lies in
    /// `0..=MAX`.
    const OFFSET: u8;
    /// The largest value of `q + OFFSET`.
    const MAX: u8;
    /// Whether the two 16-weight halves of a group have integer scales of
    /// their own. If not, `s` is `[1, 1]`.
    const SUBSCALES: bool;
    /// If the products of sub-scales and quants are bytes: what makes them
    /// unsigned.
    const PRODUCT_OFFSET: Option<u8> = None;
    /// Whether the halves of a group are added apart: their sub-scales are scales,
    /// not factors of the quants.
    const HALVES_APART: bool = Self::SUBSCALES && Self::PRODUCT_OFFSET.is_none();
    /// Whether sub-scales are factors of the quants.
    const FACTORS: bool = Self::SUBSCALES && !Self::HALVES_APART;
    /// Scales of a group: two if halves are apart.
    const SCALES: usize = if Self::HALVES_APART { 2 } else { 1 };
    /// Which minimums the format has.
    const MINIMUM: Minimum;

    /// Reads weights `32 · index ..` of the block.
    fn group(&self, index: usize) -> Group;

    /// Writes the block's weights as `f32`; `out` holds [`Block::LEN`] values.
    fn dequantize(&self, out: &mut [f32]) {
        assert_eq!(out.len(), Self::LEN);
        for (index, out) in out.chunks_exact_mut(GROUP).enumerate() {
            let group = self.group(index);
            for (i, out) in out.iter_mut().enumerate() {
                let half = i / 16;
                *out = group.d * f32::from(group.s[half]) * f32::from(group.q[i]) + group.m[half];
            }
        }
    }
}

/// What form of activations a format is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationForm {
    /// Plain `f32`.
    Float,
    /// bf16, see [`crate::steps`].
    Bf16,
    /// 8-bit integers in groups of 32, see [`crate::activation`].
    Int8,
}

/// A line of the format table.
pub struct FormatInfo {
    /// The format.
    pub format: Format,
    /// The tensor type in GGUF files.
    pub tensor_type: TensorType,
    /// Lower-case name, the first part of kernel names.
    pub name: &'static str,
    /// Weights per block (1 for the float formats).
    pub block_len: usize,
    /// Bytes per block.
    pub block_bytes: usize,
    /// Form of the activations.
    pub activations: ActivationForm,
    /// Dequantizes whole blocks.
    dequantize: fn(&[u8], &mut [f32]),
}

macro_rules! formats {
    ($($variant:ident, $name:literal, $tensor_type:ident, $form:ident, $block:ty;)*) => {
        /// A weight format that can be computed with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types, missing_docs)] // the names of the GGUF specification
        pub enum Format { $($variant),* }

        /// The format table, in the order of [`Format`]'s variants.
        static TABLE: &[FormatInfo] = &[$(FormatInfo {
            format: Format::$variant,
            tensor_type: TensorType::$tensor_type,
            name: $name,
            block_len: formats!(@len $form $block),
            block_bytes: size_of::<$block>(),
            activations: ActivationForm::$form,
            dequantize: formats!(@dequantize $form $block),
        }),*];

        /// What the tests know of the formats, in the same order.
        #[cfg(test)]
        static TESTED: &[tests::Tested] = &[$(tests::Tested {
            format: Format::$variant,
            vectors: include_bytes!(concat!("vectors/", $name, ".bin")),
            declared: formats!(@declared $form $block),
        }),*];
    };
    (@len Float $block:ty) => { 1 };
    (@len Bf16 $block:ty) => { 1 };
    (@len Int8 $block:ty) => { <$block as Block>::LEN };
    (@dequantize Float $block:ty) => { float::widen::<$block> };
    (@dequantize Bf16 $block:ty) => { float::widen::<$block> };
    (@dequantize Int8 $block:ty) => { dequantize_blocks::<$block> };
    (@declared Float $block:ty) => { None };
    (@declared Bf16 $block:ty) => { None };
    (@declared Int8 $block:ty) => { Some(tests::Declared::of::<$block>()) };
}

formats! {
    F32,  "f32",  F32,  Float, F32;
    F16,  "f16",  F16,  Float, F16;
    BF16, "bf16", BF16, Bf16,  BF16;
    Q4_0, "q4_0", Q4_0, Int8, BlockQ4_0;
    Q4_1, "q4_1", Q4_1, Int8, BlockQ4_1;
    Q5_0, "q5_0", Q5_0, Int8, BlockQ5_0;
    Q5_1, "q5_1", Q5_1, Int8, BlockQ5_1;
    Q8_0, "q8_0", Q8_0, Int8, BlockQ8_0;
    Q2_K, "q2_k", Q2_K, Int8, BlockQ2_K;
    Q3_K, "q3_k", Q3_K, Int8, BlockQ3_K;
    Q4_K, "q4_k", Q4_K, Int8, BlockQ4_K;
    Q5_K, "q5_k", Q5_K, Int8, BlockQ5_K;
    Q6_K, "q6_k", Q6_K, Int8, BlockQ6_K;
    IQ1_S, "iq1_s", IQ1_S, Int8, BlockIQ1_S;
    IQ1_M, "iq1_m", IQ1_M, Int8, BlockIQ1_M;
    IQ2_XXS, "iq2_xxs", IQ2_XXS, Int8, BlockIQ2_XXS;
    IQ2_XS, "iq2_xs", IQ2_XS, Int8, BlockIQ2_XS;
    IQ2_S, "iq2_s", IQ2_S, Int8, BlockIQ2_S;
    IQ3_XXS, "iq3_xxs", IQ3_XXS, Int8, BlockIQ3_XXS;
    IQ3_S, "iq3_s", IQ3_S, Int8, BlockIQ3_S;
    IQ4_NL, "iq4_nl", IQ4_NL, Int8, BlockIQ4_NL;
    IQ4_XS, "iq4_xs", IQ4_XS, Int8, BlockIQ4_XS;
    MXFP4, "mxfp4", MXFP4, Int8, BlockMXFP4;
    Q1_0, "q1_0", Q1_0, Int8, BlockQ1_0;
    Q2_0, "q2_0", Q2_0, Int8, BlockQ2_0;
    TQ1_0, "tq1_0", TQ1_0, Int8, BlockTQ1_0;
    TQ2_0, "tq2_0", TQ2_0, Int8, BlockTQ2_0;
}

fn dequantize_blocks<B: Block>(bytes: &[u8], out: &mut [f32]) {
    let blocks = blocks::<B>(bytes);
    assert_eq!(
        blocks.len() * B::LEN,
        out.len(),
        "{} values for {} blocks",
        out.len(),
        blocks.len()
    );
    for (block, out) in zip(blocks.iter(), out.chunks_exact_mut(B::LEN)) {
        block.dequantize(out);
    }
}

/// Views bytes as blocks.
///
/// # Panics
///
/// If the bytes are no whole number of blocks. Block structs have alignment 1,
/// so any address will do.
#[inline]
pub fn blocks<B: Block>(bytes: &[u8]) -> &[B] {
    const { assert!(align_of::<B>() == 1) }
    bytemuck::cast_slice(bytes)
}

/// Views blocks as an array of so many.
///
/// # Panics
///
/// If there are not exactly as many.
#[inline]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn exactly<B, const N: usize>(blocks: &[B]) -> &[B; N] {
    match blocks.try_into() {
        Ok(blocks) => blocks,
        Err(_) => panic!("{} blocks are not {N}", blocks.len()),
    }
}

impl Format {
    /// Every format, in table order.
    pub fn all() -> impl Iterator<Item = Format> {
        TABLE.iter().map(|info| info.format)
    }

    /// The format's line in the table.
    pub fn info(self) -> &'static FormatInfo {
        &TABLE[self as usize]
    }

    /// The lower-case name, as in `q4_0`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The format that computes tensors of a GGUF type, if there is one.
    pub fn from_tensor_type(ty: TensorType) -> Option<Format> {
        TABLE
            .iter()
            .find(|info| info.tensor_type == ty)
            .map(|info| info.format)
    }

    /// Bytes of a row of `cols` weights; `None` unless `cols` is a whole number
    /// of blocks.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        let info = self.info();
        (cols.is_multiple_of(info.block_len)).then(|| cols / info.block_len * info.block_bytes)
    }

    /// The entries of the format's codebook, empty if it has none: the places of an entry's
    /// values among the few that there are, two bits for each of eight values of three, or
    /// three bits for each of four values of eight, the first lowest.
    pub fn codebook(self) -> &'static [u16] {
        match self {
            Format::IQ1_S | Format::IQ1_M => codebook::IQ1.places,
            Format::IQ2_XXS => codebook::IQ2_XXS.places,
            Format::IQ2_XS => codebook::IQ2_XS.places,
            Format::IQ2_S => codebook::IQ2_S.places,
            Format::IQ3_XXS => codebook::IQ3_XXS.places,
            Format::IQ3_S => codebook::IQ3_S.places,
            _ => &[],
        }
    }

    /// Writes the weights of whole blocks as `f32`.
    ///
    /// # Panics
    ///
    /// If `bytes` and `out` do not hold the same number of whole blocks.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        (self.info().dequantize)(bytes, out);
    }
}

#[cfg(test)]
mod tests;
