//! Dimensions of well-known models.
//!
//! Source: the configurations that their makers published.

use super::kinds::Kinds;
use super::latents::Latents;
use firstlight::arch::{Config, Heads, LogitScale, Norming, OUTPUT_NORM, Windows};
use gguf::write::Writer;

/// A model's dimensions.
#[derive(Debug, PartialEq)]
pub struct Shape {
    /// The name on the command line.
    pub name: &'static str,
    /// Parameters of the real model, as published.
    pub published_parameters: u64,
    /// `general.architecture`.
    family: &'static str,
    n_embd: u32,
    pub(super) n_layer: u32,
    pub(super) n_ff: u32,
    n_head: u32,
    n_head_kv: u32,
    pub(super) head_dim: u32,
    n_vocab: u32,
    /// Whether the output is the embedding.
    pub(super) tied: bool,
    /// Experts, and how many a token uses; 0 for a dense model.
    pub(super) experts: (u32, u32),
    context: u32,
    rope_base: f32,
    /// Positions that most layers see; 0 for all.
    window: u32,
    /// How the others differ from these.
    kinds: Option<Kinds>,
    /// What keys and values are made of, if they are all made of the same.
    latents: Option<Latents>,
}

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Embedding,
    Output,
    AttnQkv,
    AttnV,
    AttnK,
    AttnOutput,
    FfnDown,
    /// Any other matrix.
    Matrix,
    /// Norms, biases, routers: kept as `f32`.
    Float,
}

/// A tensor, its type still open.
pub struct Tensor {
    pub name: String,
    pub role: Role,
    pub layer: u32,
    pub dims: Vec<u64>,
}

macro_rules! shapes {
    ($($name:literal $published:literal $family:ident:
       $embd:literal x $layer:literal, ff $ff:literal $(x $experts:literal use $used:literal)?,
       heads $head:literal / $kv:literal of $dim:literal,
       vocab $vocab:literal $output:ident, context $context:literal, rope $base:literal
       $(, window $window:literal)?
       $(, every $period:literal with $all_kv:literal of $all_dim:literal $($no_v:ident)?,
         shared $shared:literal ff $shared_ff:literal, inputs $inputs:literal)?
       $(, latent $rank:literal, $q:literal with $plain:literal + $rot:literal to $results:literal,
         dense $dense:literal ff $dense_ff:literal, beside $beside:literal by $gating:ident)?;)*) => {
        /// The table.
        pub static SHAPES: &[Shape] = &[$(Shape {
            name: $name,
            published_parameters: $published,
            family: shapes!(@family $family),
            n_embd: $embd,
            n_layer: $layer,
            n_ff: $ff,
            n_head: $head,
            n_head_kv: $kv,
            head_dim: $dim,
            n_vocab: $vocab,
            tied: shapes!(@tied $output),
            experts: (0 $(+ $experts)?, 0 $(+ $used)?),
            context: $context,
            rope_base: $base,
            window: 0 $(+ $window)?,
            kinds: shapes!(@kinds $($period, $all_kv, $all_dim, [$($no_v)?], $shared, $shared_ff, $inputs)?),
            latents: shapes!(@latents $($rank, $q, $plain, $rot, $results, $dense, $dense_ff, $beside, $gating)?),
        }),*];
    };
    (@family gpt_oss) => { "gpt-oss" };
    (@family $family:ident) => { stringify!($family) };
    (@kinds) => { None };
    (@kinds $period:literal, $kv:literal, $dim:literal, $no_v:tt, $shared:literal, $ff:literal, $inputs:literal) => {
        Some(Kinds {
            period: $period,
            n_head_kv: $kv,
            head_dim: $dim,
            keys_are_values: shapes!(@no_v $no_v),
            shared: $shared,
            shared_ff: $ff,
            inputs: $inputs,
        })
    };
    (@latents) => { None };
    (@latents $rank:literal, $q:literal, $plain:literal, $rot:literal, $results:literal, $dense:literal, $ff:literal, $shared:literal, $gating:ident) => {
        Some(Latents {
            rank: $rank,
            q_rank: $q,
            plain: $plain,
            rot: $rot,
            results: $results,
            dense: $dense,
            dense_ff: $ff,
            shared: $shared,
            sigmoid: shapes!(@sigmoid $gating),
        })
    };
    (@sigmoid sigmoid) => { true };
    (@sigmoid softmax) => { false };
    (@no_v []) => { false };
    (@no_v [without_values]) => { true };
    (@tied tied) => { true };
    (@tied untied) => { false };
}

shapes! {
    "smollm-135m"    134_515_008    llama: 576 x 30, ff 1536, heads 9 / 3 of 64, vocab 49152 tied, context 2048, rope 10000.0;
    "smollm-360m"    361_821_120    llama: 960 x 32, ff 2560, heads 15 / 5 of 64, vocab 49152 tied, context 2048, rope 10000.0;
    "tinyllama-1.1b" 1_100_048_384  llama: 2048 x 22, ff 5632, heads 32 / 4 of 64, vocab 32000 untied, context 2048, rope 10000.0;
    "llama-3.2-1b"   1_235_814_400  llama: 2048 x 16, ff 8192, heads 32 / 8 of 64, vocab 128256 tied, context 131072, rope 500000.0;
    "llama-3.2-3b"   3_212_749_824  llama: 3072 x 28, ff 8192, heads 24 / 8 of 128, vocab 128256 tied, context 131072, rope 500000.0;
    "llama-3.1-8b"   8_030_261_248  llama: 4096 x 32, ff 14336, heads 32 / 8 of 128, vocab 128256 untied, context 131072, rope 500000.0;
    "llama-3.1-70b"  70_553_706_496 llama: 8192 x 80, ff 28672, heads 64 / 8 of 128, vocab 128256 untied, context 131072, rope 500000.0;
    "mistral-7b"     7_248_023_552  llama: 4096 x 32, ff 14336, heads 32 / 8 of 128, vocab 32768 untied, context 32768, rope 1000000.0;
    "mixtral-8x7b"   46_702_792_704 llama: 4096 x 32, ff 14336 x 8 use 2, heads 32 / 8 of 128, vocab 32000 untied, context 32768, rope 1000000.0;
    "qwen2.5-0.5b"   494_032_768    qwen2: 896 x 24, ff 4864, heads 14 / 2 of 64, vocab 151936 tied, context 32768, rope 1000000.0;
    "qwen2.5-7b"     7_615_616_512  qwen2: 3584 x 28, ff 18944, heads 28 / 4 of 128, vocab 152064 untied, context 32768, rope 1000000.0;
    "qwen3-0.6b"     596_049_920    qwen3: 1024 x 28, ff 3072, heads 16 / 8 of 128, vocab 151936 tied, context 40960, rope 1000000.0;
    "qwen3-4b"       4_022_468_096  qwen3: 2560 x 36, ff 9728, heads 32 / 8 of 128, vocab 151936 tied, context 40960, rope 1000000.0;
    "qwen3-8b"       8_190_735_360  qwen3: 4096 x 36, ff 12288, heads 32 / 8 of 128, vocab 151936 untied, context 40960, rope 1000000.0;
    "qwen3-30b-a3b"  30_532_122_624 qwen3moe: 2048 x 48, ff 768 x 128 use 8, heads 32 / 4 of 128, vocab 151936 untied, context 40960, rope 1000000.0;
    "gemma-3-1b"     999_885_952    gemma3: 1152 x 26, ff 6912, heads 4 / 1 of 256, vocab 262144 tied, context 32768, rope 1000000.0, window 512;
    "gemma-3-4b"     3_880_099_328  gemma3: 2560 x 34, ff 10240, heads 8 / 4 of 256, vocab 262144 tied, context 131072, rope 1000000.0, window 1024;
    "gemma-2-2b"     2_614_341_888  gemma2: 2304 x 26, ff 9216, heads 8 / 4 of 256, vocab 256000 tied, context 8192, rope 10000.0, window 4096;
    "gemma-4-e2b"    4_647_450_147  gemma4: 1536 x 35, ff 6144, heads 8 / 1 of 256, vocab 262144 tied, context 131072, rope 1000000.0, window 512, every 5 with 1 of 512, shared 20 ff 12288, inputs 256;
    "gemma-4-e4b"    7_518_069_290  gemma4: 2560 x 42, ff 10240, heads 8 / 2 of 256, vocab 262144 tied, context 131072, rope 1000000.0, window 512, every 6 with 2 of 512, shared 18 ff 10240, inputs 256;
    "gemma-4-31b"    30_697_345_596 gemma4: 5376 x 60, ff 21504, heads 32 / 16 of 256, vocab 262144 tied, context 262144, rope 1000000.0, window 1024, every 6 with 4 of 512 without_values, shared 0 ff 21504, inputs 0;
    "gpt-oss-20b"    20_914_757_184 gpt_oss: 2880 x 24, ff 2880 x 32 use 4, heads 64 / 8 of 64, vocab 201088 untied, context 131072, rope 150000.0, window 128;
    "smollm3-3b"     3_075_098_624  smollm3: 2048 x 36, ff 11008, heads 16 / 4 of 128, vocab 128256 tied, context 65536, rope 5000000.0;
    "command-r7b"    8_028_033_024  cohere2: 4096 x 32, ff 14336, heads 32 / 8 of 128, vocab 256000 tied, context 8192, rope 50000.0, window 4096;
    "starcoder2-3b"  3_030_371_328  starcoder2: 3072 x 30, ff 12288, heads 24 / 2 of 128, vocab 49152 tied, context 16384, rope 999999.44;
    "deepseek-v2-lite" 15_706_484_224 deepseek2: 2048 x 27, ff 1408 x 64 use 6, heads 16 / 1 of 192, vocab 102400 untied, context 163840, rope 10000.0, latent 512, 0 with 128 + 64 to 128, dense 1 ff 10944, beside 2 by softmax;
    "glm-4.7-flash"  29_943_393_920 deepseek2: 2048 x 47, ff 1536 x 64 use 4, heads 20 / 1 of 256, vocab 154880 untied, context 202752, rope 1000000.0, latent 512, 768 with 192 + 64 to 256, dense 1 ff 10240, beside 1 by sigmoid;
    "phi-4"          14_659_507_200 phi3: 5120 x 40, ff 17920, heads 40 / 10 of 128, vocab 100352 untied, context 16384, rope 250000.0;
}

impl Shape {
    /// The shape of that name.
    pub fn named(name: &str) -> Option<&'static Shape> {
        SHAPES
            .iter()
            .find(|shape| shape.name.eq_ignore_ascii_case(name))
    }

    /// The hyperparameters as the engine has them.
    pub fn config(&self) -> Config {
        Config {
            n_embd: self.n_embd as usize,
            n_layer: self.n_layer as usize,
            n_vocab: self.n_vocab as usize,
            context_length: self.context as usize,
            norming: Norming::rms(1e-5),
            heads: (0..self.n_layer).map(|layer| self.heads(layer)).collect(),
            sources: (0..self.n_layer)
                .map(|layer| match &self.kinds {
                    Some(kinds) => kinds.source(self, layer) as usize,
                    None => layer as usize,
                })
                .collect(),
            windows: self.windows(),
            embedding_scale: 1.0,
            logits: LogitScale::NONE,
            recurrent: None,
            layer_inputs: self.inputs().map(|width| width as usize),
            output_norm: OUTPUT_NORM,
        }
    }

    fn heads(&self, layer: u32) -> Heads {
        let heads = Heads {
            n_head: self.n_head as usize,
            n_head_kv: self.n_head_kv as usize,
            head_dim_k: self.head_dim as usize,
            head_dim_v: self.head_dim as usize,
        };
        match (&self.kinds, &self.latents) {
            (Some(kinds), _) => kinds.heads(layer, heads),
            (_, Some(latents)) => latents.heads(heads),
            _ => heads,
        }
    }

    /// The layers that attend to a window: all but every so manieth.
    fn windows(&self) -> Option<Windows> {
        let period = match (&self.kinds, self.family) {
            (Some(kinds), _) => kinds.period,
            (None, "gemma3") => 6,
            (None, "cohere2") => 4,
            (None, _) => 2,
        };
        let layers = 1..=self.n_layer;
        (self.window > 0).then(|| Windows {
            positions: self.window as usize,
            layers: layers.map(|layer| !layer.is_multiple_of(period)).collect(),
        })
    }

    /// Width of the feed-forward network of a layer.
    fn ff(&self, layer: u32) -> u32 {
        match (&self.kinds, &self.latents) {
            (Some(kinds), _) if layer >= self.n_layer - kinds.shared => kinds.shared_ff,
            (_, Some(latents)) => latents.ff(self, layer),
            _ => self.n_ff,
        }
    }

    /// Experts of a layer; 0 if it has none.
    fn experts_of(&self, layer: u32) -> u64 {
        let latents = self.latents.as_ref();
        match latents.is_some_and(|latents| layer < latents.dense) {
            true => 0,
            false => u64::from(self.experts.0),
        }
    }

    /// Width of the embeddings for each layer, if there are any.
    fn inputs(&self) -> Option<u32> {
        let kinds = self.kinds.as_ref();
        kinds.map(|kinds| kinds.inputs).filter(|&width| width > 0)
    }

    /// Bytes of the buffers that `tokens` tokens need on their way through.
    pub fn buffer_bytes(&self, tokens: u64) -> u64 {
        let [embd, vocab] = [self.n_embd, self.n_vocab].map(u64::from);
        let widest = |of: fn(&Shape, u32) -> u32| {
            let widths = (0..self.n_layer).map(|layer| of(self, layer));
            u64::from(widths.max().unwrap_or(0))
        };
        // Where heads meet a latent, what they are made of and what becomes of them is
        // about as much again.
        let copies = if self.latents.is_some() { 2 } else { 1 };
        let q = copies * widest(|shape, layer| shape.q_and_kv(layer)[0]);
        let kv = widest(|shape, layer| shape.q_and_kv(layer)[1]);
        let ff = widest(Shape::ff);
        let inputs = u64::from(self.inputs().unwrap_or(0) * self.n_layer);
        // Residual, normed and selected rows; queries and what attention made
        // of them; keys and values; both halves of the feed-forward; embeddings for
        // each layer and what they are made of; the widest of these as bytes; logits,
        // twice.
        let floats = 3 * embd + 2 * q + 2 * kv + 2 * ff + 2 * inputs;
        tokens * (4 * floats + 2 * ff.max(embd).max(q)) + 2 * 4 * vocab
    }

    /// All tensors, in the order in which a forward pass uses them.
    pub fn tensors(&self) -> Vec<Tensor> {
        let [embd, vocab] = [self.n_embd, self.n_vocab].map(u64::from);
        let mut tensors = Vec::new();
        let mut add = |layer, role, name: String, dims: &[u64]| {
            tensors.push(Tensor {
                name,
                role,
                layer,
                dims: dims.to_vec(),
            });
        };
        add(
            0,
            Role::Embedding,
            "token_embd.weight".into(),
            &[embd, vocab],
        );
        for (name, role, dims) in
            (self.kinds.iter()).flat_map(|kinds| kinds.front(self, [embd, vocab]))
        {
            add(0, role, name.into(), &dims);
        }
        for layer in 0..self.n_layer {
            let [q, kv] = self.q_and_kv(layer).map(u64::from);
            let ff = u64::from(self.ff(layer));
            let makes_v = |kinds: &Kinds| !(kinds.keys_are_values && kinds.sees_all(layer));
            let mut add = |role, name: &str, dims: &[u64]| {
                add(layer, role, format!("blk.{layer}.{name}"), dims);
            };
            let is_stacked = self.family == "phi3";
            let is_gpt_oss = self.family == "gpt-oss";
            let is_starcoder = self.family == "starcoder2";
            add(Role::Float, "attn_norm.weight", &[embd]);
            if let Some(latents) = &self.latents {
                for (name, role, dims) in latents.attention(embd, u64::from(self.n_head)) {
                    add(role, name, &dims);
                }
            } else if is_stacked {
                add(Role::AttnQkv, "attn_qkv.weight", &[embd, q + 2 * kv]);
            } else {
                add(Role::Matrix, "attn_q.weight", &[embd, q]);
                add(Role::AttnK, "attn_k.weight", &[embd, kv]);
                if self.kinds.as_ref().is_none_or(makes_v) {
                    add(Role::AttnV, "attn_v.weight", &[embd, kv]);
                }
            }
            if self.family == "qwen2" || is_gpt_oss || is_starcoder {
                add(Role::Float, "attn_q.bias", &[q]);
                add(Role::Float, "attn_k.bias", &[kv]);
                add(Role::Float, "attn_v.bias", &[kv]);
            }
            if self.family.starts_with("qwen3") || ["gemma3", "gemma4"].contains(&self.family) {
                let head = q / u64::from(self.n_head);
                add(Role::Float, "attn_q_norm.weight", &[head]);
                add(Role::Float, "attn_k_norm.weight", &[head]);
            }
            if self.latents.is_none() {
                add(Role::AttnOutput, "attn_output.weight", &[q, embd]);
            }
            if is_gpt_oss {
                add(Role::Float, "attn_output.bias", &[embd]);
                add(Role::Float, "attn_sinks.weight", &[u64::from(self.n_head)]);
            }
            if self.family.starts_with("gemma") {
                add(Role::Float, "post_attention_norm.weight", &[embd]);
                add(Role::Float, "post_ffw_norm.weight", &[embd]);
            }
            for (name, role, dims) in (self.kinds.iter()).flat_map(|kinds| kinds.of_layer(embd)) {
                add(role, name, &dims);
            }
            let ffn_norm = match is_gpt_oss {
                true => "post_attention_norm.weight",
                false => "ffn_norm.weight",
            };
            if self.family != "cohere2" {
                add(Role::Float, ffn_norm, &[embd]);
            }
            match self.experts_of(layer) {
                0 if is_stacked => {
                    add(Role::Matrix, "ffn_up.weight", &[embd, 2 * ff]);
                    add(Role::FfnDown, "ffn_down.weight", &[ff, embd]);
                }
                0 if is_starcoder => {
                    add(Role::Matrix, "ffn_up.weight", &[embd, ff]);
                    add(Role::FfnDown, "ffn_down.weight", &[ff, embd]);
                    for (name, width) in [
                        ("attn_norm.bias", embd),
                        ("attn_output.bias", embd),
                        ("ffn_norm.bias", embd),
                        ("ffn_up.bias", ff),
                        ("ffn_down.bias", embd),
                    ] {
                        add(Role::Float, name, &[width]);
                    }
                }
                0 => {
                    add(Role::Matrix, "ffn_gate.weight", &[embd, ff]);
                    add(Role::Matrix, "ffn_up.weight", &[embd, ff]);
                    add(Role::FfnDown, "ffn_down.weight", &[ff, embd]);
                }
                n => {
                    add(Role::Float, "ffn_gate_inp.weight", &[embd, n]);
                    add(Role::Matrix, "ffn_gate_exps.weight", &[embd, ff, n]);
                    add(Role::Matrix, "ffn_up_exps.weight", &[embd, ff, n]);
                    add(Role::FfnDown, "ffn_down_exps.weight", &[ff, embd, n]);
                    if is_gpt_oss {
                        add(Role::Float, "ffn_gate_inp.bias", &[n]);
                        add(Role::Float, "ffn_gate_exps.bias", &[ff, n]);
                        add(Role::Float, "ffn_up_exps.bias", &[ff, n]);
                        add(Role::Float, "ffn_down_exps.bias", &[embd, n]);
                    }
                    for (name, role, dims) in (self.latents.iter())
                        .flat_map(|latents| latents.beside_experts(embd, ff, n))
                    {
                        add(role, name, &dims);
                    }
                }
            }
        }
        let last = self.n_layer - 1;
        add(last, Role::Float, "output_norm.weight".into(), &[embd]);
        if self.family == "starcoder2" {
            add(last, Role::Float, "output_norm.bias".into(), &[embd]);
        }
        if !self.tied {
            add(last, Role::Output, "output.weight".into(), &[embd, vocab]);
        }
        tensors
    }

    /// The key that has the epsilon of norms.
    fn norm_epsilon(&self) -> &'static str {
        match self.family {
            "cohere2" | "starcoder2" => "attention.layer_norm_epsilon",
            _ => "attention.layer_norm_rms_epsilon",
        }
    }

    /// Width of all queries of a layer, and of its keys.
    fn q_and_kv(&self, layer: u32) -> [u32; 2] {
        let heads = self.heads(layer);
        [heads.n_head, heads.n_head_kv].map(|count| (count * heads.head_dim_k) as u32)
    }

    /// Adds the metadata of the model and of a vocabulary of its size.
    pub fn metadata(&self, writer: Writer<'static>) -> Writer<'static> {
        let key = |name: &str| format!("{}.{name}", self.family);
        let mut writer = writer
            .metadata("general.architecture", self.family)
            .metadata(&key(self.norm_epsilon()), 1e-5f32)
            .metadata(&key("rope.freq_base"), self.rope_base);
        if self.family == "cohere2" {
            writer = writer.metadata(&key("logit_scale"), 0.25f32);
        }
        // Of layers that see all, if there are others.
        let head_dim = (self.kinds.as_ref()).map_or(self.head_dim, |kinds| kinds.head_dim);
        let layers = || 0..self.n_layer;
        if let Some(kinds) = &self.kinds {
            let heads = layers().map(|layer| self.heads(layer).n_head_kv as u32);
            writer = kinds
                .metadata(self, writer)
                .metadata(&key("attention.head_count_kv"), heads.collect::<Vec<_>>())
                .metadata(
                    &key("feed_forward_length"),
                    layers().map(|layer| self.ff(layer)).collect::<Vec<_>>(),
                );
        }
        if let Some(latents) = &self.latents {
            writer = latents.metadata(writer);
        }
        let (experts, used) = self.experts;
        for (name, value) in [
            ("vocab_size", self.n_vocab),
            ("context_length", self.context),
            ("embedding_length", self.n_embd),
            ("block_count", self.n_layer),
            ("feed_forward_length", self.ff(0)),
            ("attention.head_count", self.n_head),
            ("attention.head_count_kv", self.n_head_kv),
            ("attention.key_length", head_dim),
            ("attention.value_length", head_dim),
            ("rope.dimension_count", head_dim),
            ("expert_count", experts),
            ("expert_used_count", used),
            ("expert_feed_forward_length", self.n_ff),
            ("attention.sliding_window", self.window),
        ] {
            let is_there = match name {
                "attention.sliding_window" => self.window > 0,
                "feed_forward_length" => self.kinds.is_none(),
                "attention.head_count_kv" => self.kinds.is_none() && self.latents.is_none(),
                "attention.key_length" | "attention.value_length" | "rope.dimension_count" => {
                    self.latents.is_none()
                }
                _ => experts > 0 || !name.starts_with("expert"),
            };
            if is_there {
                writer = writer.metadata(&key(name), value);
            }
        }
        self.vocabulary(writer)
    }

    /// The special tokens, a token for each byte, and names without meaning.
    fn vocabulary(&self, writer: Writer<'static>) -> Writer<'static> {
        const NORMAL: i32 = 1;
        const UNKNOWN: i32 = 2;
        const CONTROL: i32 = 3;
        const BYTE: i32 = 6;
        let special = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)];
        let bytes = (0..=255).map(|byte: u8| (format!("<0x{byte:02X}>"), BYTE));
        let (tokens, types): (Vec<String>, Vec<i32>) = special
            .into_iter()
            .map(|(text, ty)| (text.to_owned(), ty))
            .chain(bytes)
            .chain((0..).map(|index| (format!("w{index}"), NORMAL)))
            .take(self.n_vocab as usize)
            .unzip();
        let scores: Vec<f32> = (0..tokens.len()).map(|index| -(index as f32)).collect();
        writer
            .metadata("tokenizer.ggml.model", "llama")
            .metadata("tokenizer.ggml.tokens", tokens)
            .metadata("tokenizer.ggml.scores", scores)
            .metadata("tokenizer.ggml.token_type", types)
            .metadata("tokenizer.ggml.unknown_token_id", 0u32)
            .metadata("tokenizer.ggml.bos_token_id", 1u32)
            .metadata("tokenizer.ggml.eos_token_id", 2u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_the_published_number_of_parameters() {
        for shape in SHAPES {
            let found: u64 = shape
                .tensors()
                .iter()
                .map(|tensor| tensor.dims.iter().product::<u64>())
                .sum();
            assert_eq!(found, shape.published_parameters, "{}", shape.name);
        }
    }

    #[test]
    fn names_are_found_and_unique() {
        for shape in SHAPES {
            assert_eq!(Shape::named(shape.name), Some(shape));
        }
        assert_eq!(Shape::named("llama-9000b"), None);
    }
}
