//! The key-value cache of one sequence.

use crate::arch::{Config, Heads, Kept};
use crate::backend::gpu::{Gpu, GpuError, GpuKvLayer, GpuState};
pub use kernels::attention::KvFormat;
use kernels::attention::{CHUNK, KvLayer};
use kernels::recurrent::State;
use std::ops::Range;

/// Keys and values of a sequence, one layer after the other: those of the first
/// layers on the GPU if it computes them, the others in memory.
///
/// Memory is taken in chunks as the sequence grows. Layers that are recurrent have
/// neither keys nor values but a state, which cannot be taken back token by token;
/// those that attend to what another layer keeps have nothing here.
pub struct KvCache {
    /// Of layers that have them.
    layers: Vec<Option<KvLayer>>,
    /// Of layers that have one: the state, and what the step under way makes of it.
    states: Vec<Option<[State; 2]>>,
    /// The states at an earlier length, and that length.
    mark: Option<(usize, Vec<Option<State>>)>,
    /// The first layers, if a GPU computes them, and their states.
    on_gpu: Vec<Option<GpuKvLayer>>,
    states_on_gpu: Vec<Option<GpuState>>,
    /// What the states on the GPU are before the next step, and whether that marks
    /// them: it is done there when the step comes.
    source: StateSource,
    marks: bool,
    /// How many of those the GPU has: their [`KvLayer`]s are empty. The others
    /// are in memory until the weights of their layers have arrived there.
    moved: usize,
    /// Tokens that are in the cache.
    len: usize,
    /// Tokens it may hold.
    capacity: usize,
}

/// What the states of a cache are before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateSource {
    /// What the last step that succeeded has left.
    Last,
    /// What was marked.
    Mark,
    /// As before the first token.
    Nothing,
}

impl KvCache {
    /// An empty cache for up to `capacity` tokens of a model.
    pub fn new(config: &Config, format: KvFormat, capacity: usize) -> KvCache {
        let layers = || (0..config.n_layer).map(|index| config.kept_by(index));
        KvCache {
            layers: layers()
                .map(|kept| match kept {
                    Kept::Keys(heads) => Some(keys_and_values(format, heads)),
                    _ => None,
                })
                .collect(),
            states: layers()
                .map(|kept| match kept {
                    Kept::State(shape) => Some([State::new(shape), State::new(shape)]),
                    _ => None,
                })
                .collect(),
            mark: None,
            on_gpu: Vec::new(),
            states_on_gpu: Vec::new(),
            source: StateSource::Last,
            marks: false,
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
        (self.on_gpu, self.states_on_gpu) = Default::default();
        for index in 0..layers {
            let (mut keys, mut state) = (None, None);
            match config.kept_by(index) {
                Kept::Keys(heads) => {
                    let dims = [heads.head_dim_k, heads.head_dim_v];
                    keys = Some(gpu.kv_layer(format, heads.n_head_kv, dims, self.capacity)?);
                }
                Kept::State(shape) => state = Some(gpu.state(shape)?),
                Kept::Nothing => {}
            }
            self.on_gpu.push(keys);
            self.states_on_gpu.push(state);
        }
        Ok(())
    }

    /// Moves the first `layers` layers to the GPU that they were placed on. Those
    /// that it has no memory for stay.
    pub(crate) fn move_to(&mut self, gpu: &Gpu, layers: usize) -> Result<(), GpuError> {
        for index in self.moved..layers.min(self.on_gpu.len()) {
            if let (Some(to), Some(states)) = (&self.states_on_gpu[index], &mut self.states[index])
            {
                let mark = self.mark.as_mut();
                let mut marked = mark.and_then(|(_, states)| states[index].as_mut());
                gpu.fill_state(to, &states[0], marked.as_deref());
                *states = [State::empty(), State::empty()];
                if let Some(marked) = &mut marked {
                    **marked = State::empty();
                }
            }
            if let (Some(to), Some(layer)) = (&mut self.on_gpu[index], &mut self.layers[index]) {
                if self.len > 0 {
                    let (keys, values) = layer.rows(self.len);
                    gpu.fill_cache(to, &keys, &values, self.len)?;
                }
                layer.truncate(0);
            }
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

    /// Forgets all tokens from position `len` on, and as many more as it takes to
    /// have a state from there: those since the mark, if that is not after it, or all.
    /// Returns how many are left.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.len {
            self.len = match (&self.mark, self.has_states()) {
                (_, false) => len,
                (Some((marked, states)), true) if *marked <= len => {
                    for (state, marked) in self.states.iter_mut().zip(states) {
                        if let (Some([state, _]), Some(marked)) = (state, marked) {
                            state.clone_from(marked);
                        }
                    }
                    self.source = StateSource::Mark;
                    *marked
                }
                (_, true) => {
                    let states = self.states.iter_mut().flatten();
                    states.for_each(|[state, _]| state.reset());
                    self.mark = None;
                    self.marks = false;
                    self.source = StateSource::Nothing;
                    0
                }
            };
        }
        self.len
    }

    /// Whether it has states, so that it cannot be cut anywhere.
    pub fn has_states(&self) -> bool {
        self.states.iter().any(Option::is_some)
    }

    /// Marks the present length as one that the cache can be cut to.
    pub fn mark(&mut self) {
        if self.has_states() {
            let states = self.states.iter();
            let states = states.map(|states| states.as_ref().map(|[state, _]| state.clone()));
            self.mark = Some((self.len, states.collect()));
            self.marks = true;
        }
    }

    /// What a layer's state on the GPU is before the step under way, and whether that
    /// is marked.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    pub(crate) fn next_source(&self) -> (StateSource, bool) {
        (self.source, self.marks)
    }

    /// A layer's state on the GPU.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    pub(crate) fn gpu_state_mut(&mut self, layer: usize) -> &mut GpuState {
        self.states_on_gpu[layer]
            .as_mut()
            .expect("a layer that has a state")
    }

    /// A layer's state, and where the step under way leaves the next.
    pub(crate) fn state_mut(&mut self, layer: usize) -> (&State, &mut State) {
        let [before, after] = self.states[layer]
            .as_mut()
            .expect("a layer that has a state");
        (before, after)
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
        for layer in self.layers[self.moved..].iter_mut().flatten() {
            layer.reserve(self.len + tokens);
        }
        for layer in self.on_gpu[..self.moved].iter_mut().flatten() {
            layer.reserve(self.len + tokens)?;
        }
        Ok(())
    }

    /// The cache of a layer.
    pub(crate) fn layer_mut(&mut self, layer: usize) -> &mut KvLayer {
        self.layers[layer].as_mut().expect(KEEPS)
    }

    /// The cache of a layer.
    pub(crate) fn layer(&self, layer: usize) -> &KvLayer {
        self.layers[layer].as_ref().expect(KEEPS)
    }

    /// The cache of a layer that a GPU computes.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    pub(crate) fn gpu_layer(&self, layer: usize) -> &GpuKvLayer {
        self.on_gpu[layer].as_ref().expect(KEEPS)
    }

    /// Counts tokens that every layer has appended, and takes over what they have
    /// made of its states.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
        if tokens > 0 {
            let states = self.states.iter_mut().flatten();
            states.for_each(|[state, next]| std::mem::swap(state, next));
            let states = self.states_on_gpu.iter_mut().flatten();
            states.for_each(GpuState::advance);
            (self.source, self.marks) = (StateSource::Last, false);
        }
    }

    /// Bytes a cache of that shape takes for each token, all layers together.
    pub fn bytes_per_token(config: &Config, format: KvFormat) -> u64 {
        KvCache::bytes_per_token_in(config, format, 0..config.n_layer)
    }

    /// The same of these layers together.
    pub fn bytes_per_token_in(config: &Config, format: KvFormat, layers: Range<usize>) -> u64 {
        let bytes = |index| match config.kept_by(index) {
            Kept::Keys(heads) => bytes_of(format, heads),
            _ => 0,
        };
        layers.map(bytes).sum()
    }

    /// Bytes of each token that all layers together read: what several attend to
    /// counts as often.
    pub fn bytes_read_per_token(config: &Config, format: KvFormat) -> u64 {
        let bytes = |&source: &usize| match config.kept_by(source) {
            Kept::Keys(heads) => bytes_of(format, heads),
            _ => 0,
        };
        config.sources.iter().map(bytes).sum()
    }
}

/// What only a layer is asked for that has it.
const KEEPS: &str = "a layer that keeps keys and values";

fn keys_and_values(format: KvFormat, heads: &Heads) -> KvLayer {
    KvLayer::new(format, heads.n_head_kv, heads.head_dim_k, heads.head_dim_v)
}

/// Bytes of a token's keys and values in a layer.
fn bytes_of(format: KvFormat, heads: &Heads) -> u64 {
    (keys_and_values(format, heads).bytes_for(CHUNK) / CHUNK) as u64
}
