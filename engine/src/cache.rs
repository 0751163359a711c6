//! The key-value cache of one sequence.

use crate::arch::Config;
pub use kernels::attention::KvFormat;
use kernels::attention::{CHUNK, KvLayer};

/// Keys and values of a sequence, one [`KvLayer`] per layer.
///
/// Memory is taken in chunks as the sequence grows.
pub struct KvCache {
    layers: Vec<KvLayer>,
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
            len: 0,
            capacity,
        }
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
        for layer in &mut self.layers {
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
