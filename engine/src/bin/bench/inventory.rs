//! What a model costs: bytes to read and operations to do, from its tensor
//! table.

use crate::synthetic::Recipe;
use firstlight::mapping::Mapping;
use gguf::{Gguf, TensorType};
use kernels::Format;
use kernels::format::ActivationForm;
use std::error::Error;
use std::path::Path;

/// Matrices of the last layer that every token passes, whether logits are wanted or
/// not.
const NEEDED_BY_ALL: [&str; 7] = [
    "attn_q.weight",
    "attn_k.weight",
    "attn_v.weight",
    "attn_q_a.weight",
    "attn_q_b.weight",
    "attn_kv_a_mqa.weight",
    "attn_k_b.weight",
];

/// Prompt tokens that go through the model together, as in a session.
pub const CHUNK: usize = 512;

/// Matrices by what they cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// How the model is quantized.
    pub quant: String,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// What every token passes.
    layers: Layers,
    /// What a token passes whose logits are wanted: the last layer without what makes
    /// its queries, keys and values, and the output.
    end: Layers,
    /// Experts that a token passes, of how many.
    used: Option<(u64, u64)>,
    /// Number of layers.
    n_layer: u64,
    /// Bytes of a token's embedding.
    embedding_row_bytes: u64,
}

/// Matrices of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Layers {
    /// What a token passes.
    dense: Cost,
    /// All experts; a token passes some of them.
    experts: Cost,
}

/// Bytes, and operations for one token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cost {
    bytes: u64,
    int8_ops: u64,
    f32_ops: u64,
}

impl Cost {
    fn add(&mut self, ty: TensorType, weights: u64, bytes: u64) {
        self.bytes += bytes;
        let form = Format::from_tensor_type(ty).map(|format| format.info().activations);
        match form {
            Some(ActivationForm::Int8) => self.int8_ops += 2 * weights,
            _ => self.f32_ops += 2 * weights,
        }
    }
}

/// Operations of a test.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ops {
    /// With 8-bit integers.
    pub int8: f64,
    /// With floats.
    pub f32: f64,
}

impl Inventory {
    /// Reads the tensor tables of a model's file or files.
    pub fn read(path: &Path) -> Result<Inventory, Box<dyn Error>> {
        let name = path.file_name().and_then(|name| name.to_str());
        let shards = name.and_then(gguf::split::shard_names);
        let paths = match shards {
            Some(names) => names.iter().map(|name| path.with_file_name(name)).collect(),
            None => vec![path.to_owned()],
        };
        let mappings = paths
            .iter()
            .map(|path| Mapping::open(path))
            .collect::<Result<Vec<_>, _>>()?;
        let mut inventory = Inventory::default();
        let mut files = Vec::new();
        for mapping in &mappings {
            let file = Gguf::parse(mapping).map_err(|reason| firstlight::Error::Format {
                path: mapping.path().to_owned(),
                reason,
            })?;
            files.push(file);
        }
        let metadata = files[0].metadata();
        if let Ok(architecture) = metadata.require_str("general.architecture") {
            // What is wrong with a key is said when the model is opened.
            let number = |key: &str| {
                let value = metadata.get_u64(&format!("{architecture}.{key}"));
                value.ok().flatten()
            };
            inventory.n_layer = number("block_count").unwrap_or(0);
            let experts = (number("expert_used_count"), number("expert_count"));
            if let (Some(used), Some(count @ 1..)) = experts {
                inventory.used = Some((used, count));
            }
        }
        let tensors = || files.iter().flat_map(Gguf::tensors);
        let tied = !tensors().any(|tensor| tensor.name == "output.weight");
        for tensor in tensors() {
            inventory.add(
                tensor.name,
                tensor.ty,
                tensor.dims(),
                tensor.len_bytes,
                tied,
            );
        }
        let declared = metadata.get_u64("general.file_type").ok().flatten();
        inventory.quant = match declared.and_then(Recipe::of_file_type) {
            Some(name) => name.to_owned(),
            None => {
                let heaviest = tensors().max_by_key(|tensor| tensor.len_bytes);
                heaviest.map_or_else(String::new, |tensor| tensor.ty.name().to_lowercase())
            }
        };
        Ok(inventory)
    }

    fn add(&mut self, name: &str, ty: TensorType, dims: &[u64], len_bytes: u64, tied: bool) {
        let weights: u64 = dims.iter().product();
        self.parameters += weights;
        self.bytes += len_bytes;
        if dims.len() < 2 {
            // Norms and biases are read, but nothing beside the matrices.
            self.layers.dense.bytes += len_bytes;
            return;
        }
        let last = format!("blk.{}.", self.n_layer.wrapping_sub(1));
        let of_last = name.strip_prefix(&last);
        let is_end = of_last.is_some_and(|name| !NEEDED_BY_ALL.contains(&name));
        if ["token_embd.weight", "per_layer_token_embd.weight"].contains(&name) {
            self.embedding_row_bytes += len_bytes / dims[1].max(1);
            if tied && name == "token_embd.weight" {
                self.end.dense.add(ty, weights, len_bytes);
            }
        } else {
            let part = match is_end || name == "output.weight" {
                true => &mut self.end,
                false => &mut self.layers,
            };
            match name.ends_with("_exps.weight") {
                true => part.experts.add(ty, weights, len_bytes),
                false => part.dense.add(ty, weights, len_bytes),
            }
        }
    }

    /// Bytes of weights that a step of `tokens` tokens, `logits` of which have
    /// logits, reads at least; experts as if tokens agreed on as few as possible.
    pub fn step_bytes(&self, tokens: usize, logits: usize) -> f64 {
        let part = |part: &Layers, tokens: usize| {
            let used = match self.used {
                _ if tokens == 0 => return 0.0,
                // Random routing: the expected share of experts that someone uses.
                Some((used, count)) => {
                    let unused = 1.0 - used as f64 / count as f64;
                    1.0 - unused.powi(tokens.min(10_000) as i32)
                }
                None => 1.0,
            };
            part.dense.bytes as f64 + used * part.experts.bytes as f64
        };
        part(&self.layers, tokens)
            + part(&self.end, logits)
            + tokens as f64 * self.embedding_row_bytes as f64
    }

    /// Operations in matrices for `tokens` tokens, `logits` of which have
    /// logits.
    pub fn ops(&self, tokens: usize, logits: usize) -> Ops {
        let share = match self.used {
            Some((used, count)) => used as f64 / count as f64,
            None => 1.0,
        };
        let sum = |ops: fn(&Cost) -> u64| {
            let part = |part: &Layers| ops(&part.dense) as f64 + share * ops(&part.experts) as f64;
            tokens as f64 * part(&self.layers) + logits as f64 * part(&self.end)
        };
        Ops {
            int8: sum(|cost| cost.int8_ops),
            f32: sum(|cost| cost.f32_ops),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguf::TensorType::{F32, Q8_0};

    #[test]
    fn matrices_are_counted_as_often_as_they_are_used() {
        let mut inventory = Inventory {
            used: Some((2, 8)),
            n_layer: 2,
            ..Inventory::default()
        };
        inventory.add("token_embd.weight", Q8_0, &[32, 10], 340, true);
        let by_layer = "per_layer_token_embd.weight";
        inventory.add(by_layer, Q8_0, &[32, 10], 340, true);
        inventory.add("blk.0.attn_norm.weight", F32, &[32], 128, true);
        inventory.add("blk.0.attn_q.weight", Q8_0, &[32, 32], 1088, true);
        inventory.add("blk.0.ffn_up_exps.weight", F32, &[32, 4, 8], 4096, true);
        inventory.add("blk.1.attn_k.weight", Q8_0, &[32, 16], 544, true);
        inventory.add("blk.1.attn_output.weight", Q8_0, &[32, 32], 1088, true);
        let own = 320 + 320 + 32 + 1024 + 1024 + 512 + 1024;
        assert_eq!(inventory.parameters, own);
        assert_eq!(inventory.bytes, 340 + 340 + 128 + 1088 + 4096 + 544 + 1088);
        let layers = (128 + 1088 + 544) as f64;
        let one = inventory.step_bytes(1, 1);
        assert_eq!(one, layers + (1088 + 340 + 34 + 34) as f64 + 4096.0 / 4.0);
        let many = inventory.step_bytes(100, 0);
        assert!((many - layers - 4096.0 - 6800.0).abs() < 1.0, "{many}");
        let ops = inventory.ops(3, 1);
        let (of_all, of_one) = (1024 + 512, 320 + 1024);
        assert_eq!(ops.int8, (2 * (3 * of_all + of_one)) as f64);
        assert_eq!(ops.f32, 3.0 * 2.0 * 1024.0 / 4.0);
    }
}
