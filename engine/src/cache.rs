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
    /// The first layers, if a GPU computes them.
    on_gpu: Vec<GpuKvLayer>,
    /// How many of those the GPU has: their [`KvLayer`]s are empty. The others
    /// are in memory until the weights of their layers have arrived there.
    moved: usize,
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
            moved: 0,
            len: 0,
            capacity,
        }
    }

    /// Lets a GPU have the first `layers` layers of an empty cache, as soon as
    /// they are moved.
    pub(crate) fn place(
        &mut self,
        gpu: &Gpu,
        layers: usize,
        config: &Config,
        format: KvFormat,
    ) -> Result<(), GpuError> {
        assert!(self.is_empty(), "{} tokens are in the cache", self.len);
        let head_dims = [config.head_dim_k, config.head_dim_v];
        self.on_gpu = (0..layers)
            .map(|_| gpu.kv_layer(format, config.n_head_kv, head_dims, self.capacity))
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Moves the first `layers` layers to the GPU that they were placed on. Those
    /// that it has no memory for stay.
    pub(crate) fn move_to(&mut self, gpu: &Gpu, layers: usize) -> Result<(), GpuError> {
        for index in self.moved..layers.min(self.on_gpu.len()) {
            let layer = &mut self.layers[index];
            if self.len > 0 {
                let (keys, values) = layer.rows(self.len);
                gpu.fill_cache(&mut self.on_gpu[index], &keys, &values, self.len)?;
            }
            layer.truncate(0);
            self.moved = index + 1;
        }
        Ok(())
    }

    /// How many layers a GPU has.
    pub fn layers_on_gpu(&self) -> usize {
        self.moved
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
    /// # Errors
    ///
    /// If a GPU has no memory for them. What is in the cache stays.
    ///
    /// # Panics
    ///
    /// If they exceed the capacity.
    pub(crate) fn reserve(&mut self, tokens: usize) -> Result<(), GpuError> {
        assert!(
            self.len + tokens <= self.capacity,
            "{} + {tokens} tokens in a cache of {}",
            self.len,
            self.capacity
        );
        for layer in &mut self.layers[self.moved..] {
            layer.reserve(self.len + tokens);
        }
        for layer in &mut self.on_gpu[..self.moved] {
            layer.reserve(self.len + tokens)?;
        }
        Ok(())
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
