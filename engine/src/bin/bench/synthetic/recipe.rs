//! Which tensor gets which type.
//!
//! Source: the rules of llama.cpp's `llama-quantize` (October 2026) for models
//! of the llama family. A format's own name means that format for every matrix,
//! but for the output, which takes Q6_K; the mixtures (`q4_k_m`) give more bits
//! to the value and down projections of some layers. A row that is no whole
//! number of blocks takes a format of smaller blocks.

use super::shapes::{Role, Shape, Tensor};
use gguf::TensorType::{self, *};

/// A way to quantize a model.
#[derive(Debug, PartialEq)]
pub struct Recipe {
    /// The name on the command line.
    pub name: &'static str,
    /// `general.file_type` of such files.
    pub file_type: u32,
    base: TensorType,
    mix: Mix,
}

#[derive(Debug, PartialEq)]
enum Mix {
    Pure,
    Q3KM,
    Q4KS,
    /// Q6_K for about half of the value and down projections.
    MoreBits,
}

macro_rules! recipes {
    ($($name:literal $file_type:literal $base:ident $mix:ident;)*) => {
        /// The table.
        pub static RECIPES: &[Recipe] = &[$(Recipe {
            name: $name,
            file_type: $file_type,
            base: $base,
            mix: Mix::$mix,
        }),*];
    };
}

recipes! {
    "f32"    0  F32    Pure;
    "f16"    1  F16    Pure;
    "bf16"   32 BF16   Pure;
    "q4_0"   2  Q4_0   Pure;
    "q4_1"   3  Q4_1   Pure;
    "q5_0"   8  Q5_0   Pure;
    "q5_1"   9  Q5_1   Pure;
    "q8_0"   7  Q8_0   Pure;
    "q2_k"   10 Q2_K   Pure;
    "q3_k"   11 Q3_K   Pure;
    "q4_k"   14 Q4_K   Pure;
    "q5_k"   16 Q5_K   Pure;
    "q6_k"   18 Q6_K   Pure;
    "iq1_s" 24 IQ1_S Pure;
    "iq1_m" 31 IQ1_M Pure;
    "iq2_xxs" 19 IQ2_XXS Pure;
    "iq2_xs" 20 IQ2_XS Pure;
    "iq2_s" 28 IQ2_S Pure;
    "iq3_xxs" 23 IQ3_XXS Pure;
    "iq3_s" 26 IQ3_S Pure;
    "iq4_nl" 25 IQ4_NL Pure;
    "iq4_xs" 30 IQ4_XS Pure;
    "mxfp4"  38 MXFP4  Pure;
    "q1_0" 40 Q1_0 Pure;
    "q2_0" 41 Q2_0 Pure;
    "tq1_0" 36 TQ1_0 Pure;
    "tq2_0" 37 TQ2_0 Pure;
    "q3_k_m" 12 Q3_K   Q3KM;
    "q4_k_s" 14 Q4_K   Q4KS;
    "q4_k_m" 15 Q4_K   MoreBits;
    "q5_k_m" 17 Q5_K   MoreBits;
}

impl Recipe {
    /// The recipe of that name.
    pub fn named(name: &str) -> Option<&'static Recipe> {
        RECIPES
            .iter()
            .find(|recipe| recipe.name.eq_ignore_ascii_case(name))
    }

    /// The name of the recipe that `general.file_type` stands for.
    pub fn of_file_type(file_type: u64) -> Option<&'static str> {
        // The last: a mixture is what files of a shared number usually are.
        let found = RECIPES
            .iter()
            .rfind(|recipe| u64::from(recipe.file_type) == file_type);
        found.map(|recipe| recipe.name)
    }

    /// The type of a tensor.
    pub fn tensor_type(&self, shape: &Shape, tensor: &Tensor) -> TensorType {
        fit(self.wished(shape, tensor), tensor.dims[0])
    }

    fn wished(&self, shape: &Shape, tensor: &Tensor) -> TensorType {
        let (layer, layers) = (tensor.layer, shape.n_layer);
        let is_output = tensor.role == Role::Output || tensor.role == Role::Embedding && shape.tied;
        match tensor.role {
            Role::Float => F32,
            _ if is_output => match self.base {
                F32 | F16 | BF16 | Q8_0 => self.base,
                MXFP4 => Q8_0,
                _ => Q6_K,
            },
            _ if self.mix == Mix::Pure => self.base,
            Role::AttnV | Role::AttnK if shape.experts.0 == 8 => Q8_0,
            Role::AttnQkv => match (&self.mix, self.base) {
                (Mix::Q3KM, _) => Q4_K,
                (Mix::MoreBits, Q4_K) => Q5_K,
                (Mix::MoreBits, Q5_K) => Q6_K,
                _ => self.base,
            },
            Role::AttnV => {
                let ty = match self.mix {
                    Mix::Q3KM if layer < 2 => Q5_K,
                    Mix::Q3KM => Q4_K,
                    Mix::Q4KS if layer < 4 => Q5_K,
                    Mix::MoreBits if more_bits(layer, layers) => Q6_K,
                    _ => self.base,
                };
                // 70B: eight query heads share a value head, so that bits here
                // cost little.
                match ty {
                    Q3_K | Q4_K if layers == 80 => Q5_K,
                    _ => ty,
                }
            }
            Role::FfnDown => match self.mix {
                Mix::Q3KM if layer < layers / 16 => Q5_K,
                Mix::Q3KM => Q4_K,
                Mix::Q4KS if layer < layers / 8 => Q5_K,
                Mix::MoreBits if more_bits(layer, layers) => Q6_K,
                _ => self.base,
            },
            Role::AttnOutput if shape.experts.0 == 8 && self.base != Q5_K => Q5_K,
            Role::AttnOutput if self.mix == Mix::Q3KM => Q4_K,
            _ => self.base,
        }
    }
}

/// The first and last eighth of the layers, and every third between.
fn more_bits(layer: u32, layers: u32) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// `ty`, or what takes its place where a row of `k` is no whole number of blocks.
fn fit(ty: TensorType, k: u64) -> TensorType {
    if k.is_multiple_of(ty.block_len() as u64) {
        return ty;
    }
    let smaller = match ty {
        Q2_0 | Q2_K | Q3_K | TQ1_0 | TQ2_0 => Q4_0,
        Q4_K => Q5_0,
        Q5_K => Q5_1,
        Q6_K => Q8_0,
        IQ1_S | IQ1_M | IQ2_XXS | IQ2_XS | IQ2_S | IQ3_XXS | IQ3_S | IQ4_XS => IQ4_NL,
        _ => F16,
    };
    fit(smaller, k)
}

#[cfg(test)]
mod tests {
    use super::super::Synthetic;
    use super::*;

    /// Rows: model, tensor, its type in a file that `llama-quantize` wrote.
    #[test]
    fn types_are_those_of_llama_quantize() {
        for (model, tensor, expected) in [
            ("llama-3.2-1b:q4_k_m", "token_embd.weight", Q6_K),
            ("llama-3.2-1b:q4_k_m", "blk.0.attn_q.weight", Q4_K),
            ("llama-3.2-1b:q4_k_m", "blk.0.attn_v.weight", Q6_K),
            ("llama-3.2-1b:q4_k_m", "blk.1.ffn_down.weight", Q6_K),
            ("llama-3.2-1b:q4_k_m", "blk.2.attn_v.weight", Q4_K),
            ("llama-3.2-1b:q4_k_m", "blk.2.ffn_down.weight", Q4_K),
            ("llama-3.2-1b:q4_k_m", "blk.15.ffn_down.weight", Q6_K),
            ("llama-3.2-1b:q4_0", "token_embd.weight", Q6_K),
            ("llama-3.2-1b:q4_0", "blk.3.ffn_down.weight", Q4_0),
            ("llama-3.2-1b:q8_0", "token_embd.weight", Q8_0),
            ("llama-3.1-8b:q4_k_m", "token_embd.weight", Q4_K),
            ("llama-3.1-8b:q4_k_m", "output.weight", Q6_K),
            ("llama-3.1-8b:f16", "output.weight", F16),
            ("smollm-135m:q4_0", "token_embd.weight", Q8_0),
            ("smollm-135m:q4_k_m", "blk.5.attn_q.weight", Q5_0),
            ("smollm-135m:q6_k", "blk.5.ffn_down.weight", Q6_K),
            ("smollm-135m:q6_k", "blk.5.ffn_norm.weight", F32),
            ("mixtral-8x7b:q4_k_m", "blk.9.attn_k.weight", Q8_0),
            ("mixtral-8x7b:q4_k_m", "blk.9.attn_output.weight", Q5_K),
            ("mixtral-8x7b:q4_k_m", "blk.9.ffn_gate_inp.weight", F32),
            ("llama-3.1-70b:q4_k_m", "blk.11.attn_v.weight", Q5_K),
        ] {
            let model: Synthetic = model.parse().unwrap();
            let tensors = model.tensors();
            let found = tensors.iter().find(|found| found.name == tensor).unwrap();
            assert_eq!(found.ty, expected, "{}: {tensor}", model.name());
        }
    }

    #[test]
    fn every_format_that_can_be_computed_has_a_recipe() {
        for format in kernels::Format::all() {
            let recipe = Recipe::named(format.name());
            let base = recipe.map(|recipe| recipe.base);
            assert_eq!(base, Some(format.info().tensor_type));
        }
        assert_eq!(Recipe::of_file_type(15), Some("q4_k_m"));
        assert_eq!(Recipe::of_file_type(999), None);
    }
}
