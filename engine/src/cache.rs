//! The key-value cache of one sequence.

use crate::arch::Config;
use crate::backend::gpu::{Gpu, GpuError, GpuKvLayer};
pub use kernels::attention::KvFormat;
use kernels::attention::{CHUNK, KvLayer};

/// Keys and values of a sequence, one layer after the other: those of the first
/// layers on the GPU if it computes them, the others in memory.
///
/// Memory is taken in chunks as the sequence grows.
pub struct KvCache {
    layers: Vec<KvLayer>,
    /// The first layers, if a GPU computes them. Their [`KvLayer`]s stay empty.
    on_gpu: Vec<GpuKvLayer>,
    /// Tokens that are in the cache.
    len: usize,
    /// Tokens it may hold.
    capacity: usize,
}

impl KvCache {
    /// An empty cache for up to `capacity` tokens of a model.
    pub fn new(config: &Config, format: KvFormat, capacity: usize) -> KvCache {
        let layer = || {
            KvLayer::new(
                format,
                config.n_head_kv,
                config.head_dim_k,
                config.head_dim_v,
            )
        };
        KvCache {
            layers: (0..config.n_layer).map(|_| layer()).collect(),
            on_gpu: Vec::new(),
            len: 0,
            capacity,
        }
    }

    /// Gives the first `layers` layers of an empty cache to a GPU.
    pub(crate) fn place(
        &mut self,
        gpu: &Gpu,
        layers: usize,
        config: &Config,
        format: KvFormat,
    ) -> Result<(), GpuError> {
        assert!(self.is_empty(), "{} tokens are in the cache", self.len);
        let keys = config.n_head_kv * config.head_dim_k;
        let values = config.n_head_kv * config.head_dim_v;
        self.on_gpu = (0..layers)
            .map(|_| gpu.kv_layer(format, keys, values, self.capacity))
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in the cache.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens the cache may hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all tokens from position `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for `tokens` more tokens.
    ///
    /// # Panics
    ///
    /// If they exceed the capacity.
    pub(crate) fn reserve(&mut self, tokens: usize) {
        assert!(
            self.len + tokens <= self.capacity,
            "{} + {tokens} tokens in a cache of {}",
            self.len,
            self.capacity
        );
        for layer in &mut self.layers[self.on_gpu.len()..] {
            layer.reserve(self.len + tokens);
        }
        for layer in &mut self.on_gpu {
            layer.reserve(self.len + tokens);
        }
    }

    /// The cache of a layer.
    pub(crate) fn layer_mut(&mut self, layer: usize) -> &mut KvLayer {
        &mut self.layers[layer]
    }

    /// The cache of a layer.
    pub(crate) fn layer(&self, layer: usize) -> &KvLayer {
        &self.layers[layer]
    }

    /// The cache of a layer that a GPU computes.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    pub(crate) fn gpu_layer(&self, layer: usize) -> &GpuKvLayer {
        &self.on_gpu[layer]
    }

    /// Counts tokens that every layer has appended.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// Bytes a cache of that shape takes for each token, all layers together.
    pub fn bytes_per_token(config: &Config, format: KvFormat) -> u64 {
        let layer = KvLayer::new(
            format,
            config.n_head_kv,
            config.head_dim_k,
            config.head_dim_v,
        );
        let bytes = layer.bytes_for(CHUNK) / CHUNK;
        (bytes * config.n_layer) as u64
    }
}
