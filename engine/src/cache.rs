//! The key-value cache of one sequence.

use crate::arch::{Config, Heads, KeptKeys};
use crate::backend::gpu::{Gpu, GpuError, GpuKvLayer, GpuState, Past, Spare};
pub use kernels::attention::KvFormat;
use kernels::attention::{CHUNK, KvLayer};
use kernels::recurrent::State;
use std::ops::Range;

/// Keys and values of a sequence, one layer after the other: those of the first
/// layers on the GPU if it computes them, the others in memory.
///
/// Memory is taken in chunks as the sequence grows, and of layers that attend to a
/// window given back as they leave it. Layers that are recurrent have a state, which
/// cannot be taken back token by token, and keys and values only if they attend, too;
/// those that attend to what another layer keeps have nothing here.
pub struct KvCache {
    /// Of layers that have them.
    layers: Vec<Option<KvLayer>>,
    /// Of layers that have one: the state, and what the step under way makes of it.
    states: Vec<Option<[State; 2]>>,
    /// How many positions a token sees in each layer that attends to a window.
    windows: Vec<Option<usize>>,
    /// A length that it can be cut to.
    mark: Option<Mark>,
    /// What it was before the latest step, as long as states are still there from then.
    before: Option<usize>,
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

/// A length that a cache can be cut to.
struct Mark {
    len: usize,
    /// The states that layers had then.
    states: Vec<Option<State>>,
}

/// Positions of layers that attend to a window, behind what the next token sees, that
/// are kept so that some tokens can be taken back.
const BEHIND: usize = 256;

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
                .map(|kept| Some(keys_and_values(format, kept.keys?.heads)))
                .collect(),
            windows: layers().map(|kept| kept.keys?.window).collect(),
            states: layers()
                .map(|kept| {
                    let shape = kept.state?;
                    Some([State::new(shape), State::new(shape)])
                })
                .collect(),
            mark: None,
            before: None,
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
            let kept = config.kept_by(index);
            if let Some(KeptKeys { heads, window }) = kept.keys {
                let dims = [heads.head_dim_k, heads.head_dim_v];
                let most = window.map_or(self.capacity, positions_on_gpu);
                let most = most.min(self.capacity);
                keys = Some(gpu.kv_layer(format, heads.n_head_kv, dims, most)?);
            }
            if let Some(shape) = kept.state {
                state = Some(gpu.state(shape)?);
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
                let mut marked = mark.and_then(|mark| mark.states[index].as_mut());
                gpu.fill_state(to, &states[0], marked.as_deref());
                self.before = None;
                *states = [State::empty(), State::empty()];
                if let Some(marked) = &mut marked {
                    **marked = State::empty();
                }
            }
            if let (Some(to), Some(layer)) = (&mut self.on_gpu[index], &mut self.layers[index]) {
                if self.len > 0 {
                    let window = self.windows[index];
                    let first = window.map_or(0, |window| seen(self.len, window + BEHIND).start);
                    let (keys, values) = layer.rows(first..self.len);
                    gpu.fill_cache(to, &keys, &values, first..self.len)?;
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
    /// have a state from there and what layers that attend to a window see: those of the
    /// latest step, if it did not begin after `len`, or those since the mark, if that is not
    /// after it, or all. Returns how many are left.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.len {
            let before = self.before.take().filter(|&before| before <= len);
            self.len = match (before, &self.mark) {
                _ if !self.has_states() && self.has_windows_at(len) => len,
                (Some(before), _) if self.has_states() && self.has_windows_at(before) => {
                    let states = self.states.iter_mut().flatten();
                    states.for_each(|[state, before]| std::mem::swap(state, before));
                    before
                }
                (_, Some(mark)) if mark.len <= len && self.has_windows_at(mark.len) => {
                    for (state, marked) in self.states.iter_mut().zip(&mark.states) {
                        if let (Some([state, _]), Some(marked)) = (state, marked) {
                            state.clone_from(marked);
                        }
                    }
                    self.source = StateSource::Mark;
                    mark.len
                }
                _ => {
                    let states = self.states.iter_mut().flatten();
                    states.for_each(|[state, _]| state.reset());
                    self.mark = None;
                    self.marks = false;
                    self.source = StateSource::Nothing;
                    0
                }
            };
            let len = self.len;
            let layers = self.windowed_layers();
            layers.for_each(|(layer, _)| layer.truncate(len));
            let layers = self.on_gpu[..self.moved].iter_mut().zip(&self.windows);
            for (layer, window) in layers {
                if let (Some(layer), Some(window)) = (layer, window) {
                    layer.cut(&seen(len, *window));
                }
            }
        }
        self.len
    }

    /// Whether it has states, so that it can be cut to nothing but a mark and what it was
    /// before the latest step.
    pub fn has_states(&self) -> bool {
        self.states.iter().any(Option::is_some)
    }

    /// Marks a length as one that the cache can be cut to: the present one, or, if it
    /// has no states, one that it will have after the next step.
    ///
    /// # Panics
    ///
    /// If it has states and `len` is not the present length.
    pub fn mark(&mut self, len: usize) {
        if self.has_states() {
            assert_eq!(len, self.len, "states are those of the present length");
            self.marks = true;
        }
        let states = self.states.iter();
        let states = states.map(|states| states.as_ref().map(|[state, _]| state.clone()));
        self.mark = Some(Mark {
            len,
            states: states.collect(),
        });
    }

    /// The layers in memory that attend to a window, and the positions that a token sees.
    fn windowed_layers(&mut self) -> impl Iterator<Item = (&mut KvLayer, usize)> {
        let layers = self.layers.iter_mut().zip(&self.windows).skip(self.moved);
        layers.filter_map(|(layer, window)| Some((layer.as_mut()?, (*window)?)))
    }

    /// Whether all layers have what a token at position `len` sees.
    fn has_windows_at(&self, len: usize) -> bool {
        let has = |(index, window): (usize, &Option<usize>)| {
            let Some(window) = *window else { return true };
            let seen = seen(len, window);
            match index < self.moved {
                true => self.gpu_layer(index).has(&seen),
                false => self.layer(index).has(seen),
            }
        };
        self.windows.iter().enumerate().all(has)
    }

    /// Gives back what layers that attend to a window need no more, neither for the
    /// next token nor after a cut to the mark.
    fn leave_windows(&mut self) {
        let (len, mark) = (self.len, self.mark.as_ref().map(|mark| mark.len));
        for (layer, window) in self.windowed_layers() {
            let mut kept = vec![seen(len, window + BEHIND)];
            kept.extend(mark.map(|mark| seen(mark, window)));
            layer.keep(&kept);
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
        // The step that follows writes over the states from before the one that was.
        self.before = None;
        let end = self.len + tokens;
        let mut spare = Spare::default();
        let layers = self.on_gpu[..self.moved].iter_mut().zip(&self.windows);
        for (layer, window) in layers {
            let Some(layer) = layer else { continue };
            if let Some(window) = *window {
                let past = Past {
                    positions: seen(self.len, window + BEHIND),
                    marked: self.mark.as_ref().map(|mark| seen(mark.len, window)),
                };
                layer.leave(&past, end, &mut spare)?;
            }
            layer.reserve(end)?;
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
        let chunks_before = self.len / CHUNK;
        self.len += tokens;
        if self.len / CHUNK > chunks_before {
            self.leave_windows();
        }
        if tokens > 0 {
            self.before = Some(self.len - tokens).filter(|_| self.moved == 0);
            let states = self.states.iter_mut().flatten();
            states.for_each(|[state, next]| std::mem::swap(state, next));
            let states = self.states_on_gpu.iter_mut().flatten();
            states.for_each(GpuState::advance);
            (self.source, self.marks) = (StateSource::Last, false);
        }
    }

    /// Bytes of memory that it has now.
    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().flatten().map(KvLayer::bytes);
        let marked = self.mark.iter().flat_map(|mark| &mark.states).flatten();
        let states = self.states.iter().flatten().flatten().chain(marked);
        layers.sum::<usize>() + states.map(State::bytes).sum::<usize>()
    }

    /// Bytes of memory that a cache of these layers takes when it holds `tokens` tokens
    /// that came in steps of up to [`STEP`].
    pub fn bytes_in_memory(
        config: &Config,
        format: KvFormat,
        layers: Range<usize>,
        tokens: usize,
    ) -> u64 {
        let tokens = tokens.next_multiple_of(CHUNK);
        let of_window = |window: usize| {
            // For the next token, after a cut to the mark, and of a step; and each of
            // these may begin and end within a chunk.
            let positions = window + BEHIND + window + STEP;
            tokens.min(positions.next_multiple_of(CHUNK) + 3 * CHUNK)
        };
        bytes_of_layers(config, format, layers, STATES, |window| {
            window.map_or(tokens, of_window)
        })
    }

    /// The most tokens, up to `most`, that a cache in so many bytes of memory can hold.
    pub fn fits(config: &Config, format: KvFormat, bytes: u64, most: usize) -> usize {
        let needed = |tokens| KvCache::bytes_in_memory(config, format, 0..config.n_layer, tokens);
        let (mut fits, mut too_many) = (0, most + 1);
        while fits + 1 < too_many {
            let middle = fits.midpoint(too_many);
            match needed(middle) <= bytes {
                true => fits = middle,
                false => too_many = middle,
            }
        }
        fits
    }

    /// Bytes that these layers take on a GPU.
    pub fn bytes_on_gpu(
        config: &Config,
        format: KvFormat,
        layers: Range<usize>,
        tokens: usize,
    ) -> u64 {
        // Beside them there may be the positions that a cut to the mark needs.
        let of_window = |window| tokens.min(positions_on_gpu(window) + window);
        bytes_of_layers(config, format, layers, STATES, |window| {
            window.map_or(tokens, of_window)
        })
    }

    /// Bytes that a token reads which sees `tokens` tokens, itself included: what several
    /// layers attend to counts as often.
    pub fn bytes_read(config: &Config, format: KvFormat, tokens: usize) -> u64 {
        let sources = config.sources.iter();
        let bytes = sources.map(|&source| {
            bytes_of_layers(config, format, source..source + 1, 1, |window| {
                tokens.min(window.unwrap_or(tokens))
            })
        });
        bytes.sum()
    }
}

/// Tokens that a step has at most of whoever wants to know how much memory a cache takes.
pub const STEP: usize = 512;

/// Positions that a GPU has room for at most, before it leaves the first behind, of a
/// layer that attends to a window: half of them are moved to make room for as many.
fn positions_on_gpu(window: usize) -> usize {
    2 * (window + BEHIND) + STEP
}

/// The positions that a token at position `at` sees before it.
fn seen(at: usize, window: usize) -> Range<usize> {
    (at + 1).saturating_sub(window)..at
}

/// States that a cache has of a layer: before and after the step under way, and marked.
const STATES: u64 = 3;

/// Bytes of layers that hold as many positions as `positions` says of their window, and
/// so many states.
fn bytes_of_layers(
    config: &Config,
    format: KvFormat,
    layers: Range<usize>,
    states: u64,
    positions: impl Fn(Option<usize>) -> usize,
) -> u64 {
    let bytes = |index| {
        let kept = config.kept_by(index);
        let keys = kept.keys.map_or(0, |KeptKeys { heads, window }| {
            bytes_of(format, heads).saturating_mul(positions(window) as u64)
        });
        let state = kept.state.map_or(0, |shape| State::bytes_for(shape) as u64);
        keys.saturating_add(states * state)
    };
    layers.map(bytes).fold(0, u64::saturating_add)
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
