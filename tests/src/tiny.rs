//! A valid llama model of a few kilobytes, of which a test can change, drop or
//! replace anything before it is written.
//!
//! ```text
//! vocabulary   <unk> <s> </s>, 256 byte tokens, ▁, a to z, a few merges of them
//! layers       2, width 32, 4 heads on 2 key-value heads, feed-forward 48
//! weights      pseudo-random by tensor name, of the size that a trained model's would have
//! ```
//!
//! Block formats need rows of whole blocks: see [`Shape::of_format`].

use gguf::TensorType;
use gguf::write::{OwnedValue, Writer};
use half::f16;
use kernels::Format;
use kernels::format::BlockIQ1_M;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// `tokenizer.ggml.token_type` of a normal token and its special kinds.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// Texts that are made of letters, so that there is something to merge.
const MERGED: &[&str] = &["▁a", "th", "he", "in", "▁t", "▁th", "▁the", "the"];

/// A chat template whose turns end in a control token of the vocabulary.
pub const CHAT_TEMPLATE: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}\
    {% if add_generation_prompt %}assistant: {% endif %}";

/// What the model looks like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Width of the feed-forward network.
    pub n_ff: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads.
    pub n_head_kv: usize,
    /// Experts, and how many each token uses.
    pub experts: Option<(usize, usize)>,
    /// Type of all matrices.
    pub ty: TensorType,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            n_embd: 32,
            n_ff: 48,
            n_layer: 2,
            n_head: 4,
            n_head_kv: 2,
            experts: None,
            ty: TensorType::F32,
        }
    }
}

impl Shape {
    /// The smallest model whose rows are whole blocks of that type.
    pub fn of_format(ty: TensorType) -> Shape {
        let block = ty.block_len().max(32);
        Shape {
            n_embd: block,
            n_ff: 2 * block,
            ty,
            ..Shape::default()
        }
    }
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
    /// Its shape, `k` first.
    pub dims: Vec<u64>,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// The model, not yet written.
#[derive(Clone)]
pub struct Tiny {
    metadata: Vec<(String, OwnedValue)>,
    tensors: Vec<Tensor>,
}

impl Default for Tiny {
    fn default() -> Tiny {
        Tiny::new(&Shape::default())
    }
}

impl Tiny {
    /// A model of that shape.
    pub fn new(shape: &Shape) -> Tiny {
        let tokens = vocabulary();
        let n_vocab = tokens.len();
        let count = |n: usize| OwnedValue::from(n as u32);
        let mut model = Tiny {
            metadata: Vec::new(),
            tensors: Vec::new(),
        }
        .set("general.architecture", "llama")
        .set("general.name", "tiny")
        .set("llama.context_length", count(256))
        .set("llama.embedding_length", count(shape.n_embd))
        .set("llama.block_count", count(shape.n_layer))
        .set("llama.feed_forward_length", count(shape.n_ff))
        .set("llama.attention.head_count", count(shape.n_head))
        .set("llama.attention.head_count_kv", count(shape.n_head_kv))
        .set("llama.attention.layer_norm_rms_epsilon", 1e-5_f32)
        .set(
            "llama.rope.dimension_count",
            count(shape.n_embd / shape.n_head),
        )
        .set("llama.rope.freq_base", 10000.0_f32);
        if let Some((experts, used)) = shape.experts {
            model = model
                .set("llama.expert_count", count(experts))
                .set("llama.expert_used_count", count(used));
        }
        let (texts, types): (Vec<_>, Vec<_>) = tokens.into_iter().unzip();
        let scores: Vec<f32> = (0..n_vocab).map(|id| -(id as f32)).collect();
        model = model
            .set("tokenizer.ggml.model", "llama")
            .set("tokenizer.ggml.tokens", texts)
            .set("tokenizer.ggml.scores", scores)
            .set("tokenizer.ggml.token_type", types)
            .set("tokenizer.ggml.unknown_token_id", 0_u32)
            .set("tokenizer.ggml.bos_token_id", 1_u32)
            .set("tokenizer.ggml.eos_token_id", 2_u32);

        let Shape { n_embd, n_ff, .. } = *shape;
        let n_embd_kv = n_embd / shape.n_head * shape.n_head_kv;
        model.add_matrix("token_embd.weight", shape.ty, &[n_embd, n_vocab]);
        for layer in 0..shape.n_layer {
            let name = |tensor: &str| format!("blk.{layer}.{tensor}.weight");
            model.add_vector(&name("attn_norm"), n_embd);
            model.add_matrix(&name("attn_q"), shape.ty, &[n_embd, n_embd]);
            model.add_matrix(&name("attn_k"), shape.ty, &[n_embd, n_embd_kv]);
            model.add_matrix(&name("attn_v"), shape.ty, &[n_embd, n_embd_kv]);
            model.add_matrix(&name("attn_output"), shape.ty, &[n_embd, n_embd]);
            model.add_vector(&name("ffn_norm"), n_embd);
            match shape.experts {
                None => {
                    model.add_matrix(&name("ffn_gate"), shape.ty, &[n_embd, n_ff]);
                    model.add_matrix(&name("ffn_up"), shape.ty, &[n_embd, n_ff]);
                    model.add_matrix(&name("ffn_down"), shape.ty, &[n_ff, n_embd]);
                }
                Some((count, _)) => {
                    model.add_matrix(&name("ffn_gate_inp"), TensorType::F32, &[n_embd, count]);
                    model.add_matrix(&name("ffn_gate_exps"), shape.ty, &[n_embd, n_ff, count]);
                    model.add_matrix(&name("ffn_up_exps"), shape.ty, &[n_embd, n_ff, count]);
                    model.add_matrix(&name("ffn_down_exps"), shape.ty, &[n_ff, n_embd, count]);
                }
            }
        }
        model.add_vector("output_norm.weight", n_embd);
        model.add_matrix("output.weight", shape.ty, &[n_embd, n_vocab]);
        model
    }

    fn add_matrix(&mut self, name: &str, ty: TensorType, dims: &[usize]) {
        let len: usize = dims.iter().product();
        let deviation = 2.0 / (dims[0] as f32).sqrt();
        self.tensors.push(Tensor {
            name: name.to_owned(),
            ty,
            dims: dims.iter().map(|&dim| dim as u64).collect(),
            data: weights(name, ty, len, deviation),
        });
    }

    fn add_vector(&mut self, name: &str, len: usize) {
        let mut random = Random::of_name(name);
        let data = (0..len).flat_map(|_| (1.0 + 0.2 * random.normal()).to_le_bytes());
        self.tensors.push(Tensor {
            name: name.to_owned(),
            ty: TensorType::F32,
            dims: vec![len as u64],
            data: data.collect(),
        });
    }

    /// With [`CHAT_TEMPLATE`].
    pub fn that_talks(self) -> Tiny {
        self.set("tokenizer.chat_template", CHAT_TEMPLATE)
    }

    /// The same keys and tensors as a model of another family.
    pub fn of_family(mut self, name: &str) -> Tiny {
        for (key, _) in &mut self.metadata {
            if let Some(rest) = key.strip_prefix("llama.") {
                *key = format!("{name}.{rest}");
            }
        }
        self.set("general.architecture", name)
    }

    /// Sets a key, in place if there is one of that name.
    pub fn set(mut self, key: &str, value: impl Into<OwnedValue>) -> Tiny {
        let value = value.into();
        match self.metadata.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.to_owned(), value)),
        }
        self
    }

    /// Leaves a key out.
    ///
    /// # Panics
    ///
    /// If there is none: the test would test nothing.
    pub fn without(mut self, key: &str) -> Tiny {
        let before = self.metadata.len();
        self.metadata.retain(|(name, _)| name != key);
        assert_eq!(self.metadata.len() + 1, before, "no key {key}");
        self
    }

    /// Leaves a tensor out.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn without_tensor(mut self, name: &str) -> Tiny {
        let before = self.tensors.len();
        self.tensors.retain(|tensor| tensor.name != name);
        assert_eq!(self.tensors.len() + 1, before, "no tensor {name}");
        self
    }

    /// Leaves all tensors out.
    pub fn without_tensors(mut self) -> Tiny {
        self.tensors.clear();
        self
    }

    /// Gives a tensor another type and shape, with pseudo-random weights; adds
    /// it if there is none.
    pub fn with_tensor(mut self, name: &str, ty: TensorType, dims: &[usize]) -> Tiny {
        self.tensors.retain(|tensor| tensor.name != name);
        self.add_matrix(name, ty, dims);
        self
    }

    /// Changes a tensor.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn edit(mut self, name: &str, change: impl FnOnce(&mut Tensor)) -> Tiny {
        let tensor = self.tensors.iter_mut().find(|tensor| tensor.name == name);
        change(tensor.unwrap_or_else(|| panic!("no tensor {name}")));
        self
    }

    /// The texts of the tokens.
    pub fn texts(&self) -> Vec<String> {
        vocabulary().into_iter().map(|(text, _)| text).collect()
    }

    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        for (key, value) in &self.metadata {
            writer = writer.metadata(key, value.clone());
        }
        for tensor in &self.tensors {
            writer = writer.tensor(&tensor.name, tensor.ty, &tensor.dims, &tensor.data);
        }
        writer.finish()
    }

    /// The file, written to the folder for temporary files.
    pub fn write(&self) -> TempFile {
        TempFile::new("tiny.gguf", &self.bytes())
    }
}

/// Texts and types of the tokens.
fn vocabulary() -> Vec<(String, i32)> {
    let mut tokens = vec![
        ("<unk>".to_owned(), UNKNOWN),
        ("<s>".to_owned(), CONTROL),
        ("</s>".to_owned(), CONTROL),
    ];
    tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), BYTE)));
    tokens.push(("▁".to_owned(), NORMAL));
    tokens.extend(('a'..='z').map(|letter| (letter.to_string(), NORMAL)));
    tokens.extend(MERGED.iter().map(|text| (text.to_string(), NORMAL)));
    tokens
}

/// Where a block's scales lie.
struct Scales {
    ty: TensorType,
    /// Byte offsets of `f16` scales, and how they relate to the first: minimums
    /// such that the weights are around zero.
    offsets: &'static [(usize, f32)],
}

/// From the layouts in `kernels::format`.
static SCALES: &[Scales] = &[
    Scales::new(TensorType::Q4_0, &[(0, 1.0)]),
    Scales::new(TensorType::Q4_1, &[(0, 1.0), (2, -7.5)]),
    Scales::new(TensorType::Q5_0, &[(0, 1.0)]),
    Scales::new(TensorType::Q5_1, &[(0, 1.0), (2, -15.5)]),
    Scales::new(TensorType::Q8_0, &[(0, 1.0)]),
    Scales::new(TensorType::Q2_K, &[(80, 1.0), (82, 1.5)]),
    Scales::new(TensorType::Q3_K, &[(108, 1.0)]),
    Scales::new(TensorType::Q4_K, &[(0, 1.0), (2, 7.5)]),
    Scales::new(TensorType::Q5_K, &[(0, 1.0), (2, 15.5)]),
    Scales::new(TensorType::Q6_K, &[(208, 1.0)]),
    Scales::new(TensorType::IQ4_NL, &[(0, 1.0)]),
    Scales::new(TensorType::IQ4_XS, &[(0, 1.0)]),
    Scales::new(TensorType::IQ1_S, &[(0, 1.0)]),
    Scales::new(TensorType::IQ2_XXS, &[(0, 1.0)]),
    Scales::new(TensorType::IQ2_XS, &[(0, 1.0)]),
    Scales::new(TensorType::IQ2_S, &[(0, 1.0)]),
    Scales::new(TensorType::IQ3_XXS, &[(0, 1.0)]),
    Scales::new(TensorType::IQ3_S, &[(0, 1.0)]),
    Scales::new(TensorType::Q1_0, &[(0, 1.0)]),
    Scales::new(TensorType::Q2_0, &[(0, 1.0)]),
    Scales::new(TensorType::TQ1_0, &[(52, 1.0)]),
    Scales::new(TensorType::TQ2_0, &[(64, 1.0)]),
];

impl Scales {
    const fn new(ty: TensorType, offsets: &'static [(usize, f32)]) -> Scales {
        Scales { ty, offsets }
    }
}

/// Byte offsets of the `f16` scales and minimums in a block; `None` for types
/// without.
pub fn scale_offsets(ty: TensorType) -> Option<impl Iterator<Item = usize>> {
    let scales = SCALES.iter().find(|scales| scales.ty == ty)?;
    Some(scales.offsets.iter().map(|&(offset, _)| offset))
}

/// Pseudo-random weights of about that standard deviation.
///
/// # Panics
///
/// If `len` is no whole number of blocks, or the type is one that cannot be
/// computed with: for those, any bytes will do.
pub fn weights(name: &str, ty: TensorType, len: usize, deviation: f32) -> Vec<u8> {
    let mut random = Random::of_name(name);
    let mut normals = |to_bytes: fn(f32) -> Vec<u8>| {
        (0..len)
            .flat_map(|_| to_bytes(deviation * random.normal()))
            .collect()
    };
    match ty {
        TensorType::F32 => return normals(|x| x.to_le_bytes().to_vec()),
        TensorType::F16 => return normals(|x| f16::from_f32(x).to_le_bytes().to_vec()),
        TensorType::BF16 => return normals(|x| half::bf16::from_f32(x).to_le_bytes().to_vec()),
        _ => {}
    }
    let format = Format::from_tensor_type(ty).unwrap_or_else(|| panic!("{ty} has no kernels"));
    assert!(len.is_multiple_of(ty.block_len()), "{len} weights in {ty}");
    let mut bytes: Vec<u8> = (0..len / ty.block_len() * ty.block_bytes())
        .map(|_| random.bits() as u8)
        .collect();
    // Any quants will do; how large the weights are shows with a scale of 1.
    set_scales(ty, &mut bytes, 1.0);
    let mut values = vec![0.0; len];
    format.dequantize(&bytes, &mut values);
    let square: f32 = values.iter().map(|value| value * value).sum();
    set_scales(ty, &mut bytes, deviation / (square / len as f32).sqrt());
    bytes
}

fn set_scales(ty: TensorType, bytes: &mut [u8], scale: f32) {
    for block in bytes.chunks_exact_mut(ty.block_bytes()) {
        if ty == TensorType::MXFP4 {
            // An exponent of two, biased by 127.
            block[0] = (127.0 + scale.log2().round()) as u8;
            continue;
        }
        if ty == TensorType::IQ1_M {
            BlockIQ1_M::set_scale(block, f16::from_f32(scale));
            continue;
        }
        let scales = SCALES.iter().find(|scales| scales.ty == ty);
        let scales = scales.unwrap_or_else(|| panic!("where the scales of {ty} lie is not known"));
        for &(offset, factor) in scales.offsets {
            let scale = f16::from_f32(factor * scale);
            block[offset..offset + 2].copy_from_slice(&scale.to_le_bytes());
        }
    }
}

/// splitmix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts with a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Starts with the FNV-1a hash of a name.
    fn of_name(name: &str) -> Random {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Random(name.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// Nearly normal, of deviation 1: twelve uniform numbers less their mean.
    fn normal(&mut self) -> f32 {
        let uniform = |bits: u64| (bits >> 40) as f32 / (1 << 24) as f32;
        (0..12).map(|_| uniform(self.bits())).sum::<f32>() - 6.0
    }
}

/// A file that is deleted when it is dropped.
pub struct TempFile {
    path: PathBuf,
}

impl TempFile {
    /// Writes it to the folder for temporary files, under a name that no other
    /// test uses and that ends in `name`.
    pub fn new(name: &str, bytes: &[u8]) -> TempFile {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("firstlight-{}-{count}-{name}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        TempFile { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // A test may have removed it, or put something else there.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_all_formats_have_the_size_asked_for() {
        for format in Format::all() {
            let ty = format.info().tensor_type;
            let bytes = weights("a", ty, 2048, 0.25);
            let mut values = vec![0.0; 2048];
            format.dequantize(&bytes, &mut values);
            let mean = values.iter().sum::<f32>() / 2048.0;
            let square = values.iter().map(|value| value * value).sum::<f32>() / 2048.0;
            // MXFP4 scales by powers of two.
            let range = if ty == TensorType::MXFP4 { 1.5 } else { 1.1 };
            let deviation = square.sqrt();
            assert!(
                (0.25 / range..0.25 * range).contains(&deviation),
                "{ty}: {deviation}"
            );
            // Two bits less one are a half on average.
            assert!(mean.abs() < 0.11, "{ty}: {mean}");
        }
    }

    #[test]
    fn the_same_name_gives_the_same_weights() {
        let of = |name| weights(name, TensorType::Q4_K, 512, 1.0);
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
    }

    #[test]
    fn keys_and_tensors_can_be_changed() {
        let model = Tiny::default()
            .set("llama.block_count", 7_u32)
            .without("general.name")
            .without_tensor("output.weight")
            .with_tensor("blk.0.attn_q.weight", TensorType::F16, &[8, 3])
            .edit("output_norm.weight", |tensor| tensor.data[0] = 0xaa);
        let bytes = model.bytes();
        let file = gguf::Gguf::parse(&bytes).unwrap();
        assert_eq!(file.metadata().require_u32("llama.block_count").unwrap(), 7);
        assert!(file.metadata().get("general.name").is_none());
        assert!(file.tensor("output.weight").is_none());
        let tensor = file.tensor("blk.0.attn_q.weight").unwrap();
        assert_eq!((tensor.ty, tensor.dims()), (TensorType::F16, &[8, 3][..]));
        let norm = file.tensor("output_norm.weight").unwrap();
        assert_eq!(norm.data(&bytes).unwrap()[0], 0xaa);
    }
}
