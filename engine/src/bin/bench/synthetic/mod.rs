//! Models of well-known shapes with random weights: what a model's speed
//! depends on, without a download.
//!
//! [`shapes`] has the dimensions, [`recipe`] the type of each tensor, [`blocks`]
//! random blocks of every type, [`mod@file`] writes them as a GGUF file.

mod blocks;
pub mod file;
mod kinds;
mod latents;
mod recipe;
mod shapes;

pub use recipe::Recipe;
pub use shapes::{SHAPES, Shape};

use firstlight::KvFormat;
use gguf::TensorType;
use gguf::write::Writer;
use std::str::FromStr;

/// A shape and how it is quantized: `llama-3.2-1b:q4_k_m`.
#[derive(Clone, Copy, Debug)]
pub struct Synthetic {
    /// The dimensions.
    pub shape: &'static Shape,
    /// The types.
    pub recipe: &'static Recipe,
}

impl FromStr for Synthetic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (shape, recipe) = text
            .split_once(':')
            .ok_or("expected SHAPE:QUANT, such as llama-3.2-1b:q4_k_m")?;
        let listed = |names: Vec<&str>| names.join(", ");
        Ok(Synthetic {
            shape: Shape::named(shape).ok_or_else(|| {
                let known = listed(SHAPES.iter().map(|shape| shape.name).collect());
                format!("unknown shape {shape:?}, expected one of {known}")
            })?,
            recipe: Recipe::named(recipe).ok_or_else(|| {
                let known = listed(recipe::RECIPES.iter().map(|recipe| recipe.name).collect());
                format!("unknown quantization {recipe:?}, expected one of {known}")
            })?,
        })
    }
}

/// A tensor of the model to come.
pub struct Declared {
    /// Its name in the file.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
    /// Its dimensions, GGUF's order.
    pub dims: Vec<u64>,
}

impl Declared {
    /// Bytes of the tensor.
    pub fn len_bytes(&self) -> u64 {
        let rows: u64 = self.dims[1..].iter().product();
        let row = self.ty.row_bytes(self.dims[0]);
        row.expect("recipes choose types that fit") * rows
    }
}

impl Synthetic {
    /// The name of a model file of this kind.
    pub fn name(self) -> String {
        format!("{}:{}", self.shape.name, self.recipe.name)
    }

    /// All tensors.
    pub fn tensors(self) -> Vec<Declared> {
        let declare = |tensor: shapes::Tensor| Declared {
            ty: self.recipe.tensor_type(self.shape, &tensor),
            name: tensor.name,
            dims: tensor.dims,
        };
        self.shape.tensors().into_iter().map(declare).collect()
    }

    /// Metadata and tensors, ready to be laid out.
    pub fn header(self) -> Writer<'static> {
        let writer = self
            .shape
            .metadata(Writer::new())
            .metadata("general.name", self.name())
            .metadata("general.file_type", self.recipe.file_type)
            .metadata("general.quantization_version", 2u32);
        self.tensors().iter().fold(writer, |writer, tensor| {
            writer.declare(&tensor.name, tensor.ty, &tensor.dims)
        })
    }

    /// Bytes of all tensors.
    pub fn weight_bytes(self) -> u64 {
        self.tensors().iter().map(Declared::len_bytes).sum()
    }

    /// Bytes of a key-value cache.
    pub fn cache_bytes(self, kv: KvFormat, context: usize) -> u64 {
        let config = self.shape.config();
        firstlight::KvCache::bytes_in_memory(&config, kv, 0..config.n_layer, context)
    }
}
