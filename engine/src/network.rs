//! A model family with its weights: layers on one device or two, and what is
//! common to all families around them.

use crate::arch::{Config, Family, Linear, LogitScale};
use crate::backend::cpu::{CpuBackend, CpuDevice};
use crate::backend::gpu::{Gpu, GpuBackend, GpuDevice, GpuError, Upload, Uploads};
use crate::backend::{Backend, Device, LayerInputs, Norm, Rows, Step};
use crate::cache::{KvCache, KvFormat};
use crate::cancel::Cancel;
use crate::error::ModelError;
use crate::layer_inputs::LayerEmbedding;
use crate::loading::{LoadError, Pass};
use crate::placement::{GpuLayers, PlaceError, Placed};
use crate::tensors::{Loader, Tensors};

/// What is read of the wanted tokens' logits.
pub enum Readout {
    /// All, `[wanted tokens, n_vocab]`.
    All(Vec<f32>),
    /// The highest: tokens and their logits.
    Highest {
        /// How many of each wanted token.
        count: usize,
        /// `[wanted tokens, count]`.
        found: Vec<(u32, f32)>,
    },
}

impl Readout {
    /// The first value that is no number, and which wanted token it belongs to.
    pub fn no_number(&self, n_vocab: usize) -> Option<(usize, f32)> {
        match self {
            Readout::All(logits) => logits
                .iter()
                .position(|logit| !logit.is_finite())
                .map(|at| (at / n_vocab, logits[at])),
            Readout::Highest { count, found } => found
                .iter()
                .position(|(_, logit)| !logit.is_finite())
                .map(|at| (at / (*count).min(n_vocab), found[at].1)),
        }
    }

    /// Reads the logits: what `scale` makes of the output's products.
    fn read<B: Backend>(&mut self, backend: &mut B, products: &B::Tensor, scale: &LogitScale) {
        let is_needed = *scale != LogitScale::NONE;
        match self {
            Readout::All(values) => {
                backend.read(products, values);
                for value in values.iter_mut().filter(|_| is_needed) {
                    *value = scale.apply(*value);
                }
            }
            Readout::Highest { count, found } => {
                backend.highest(products, *count, found);
                for (_, value) in found.iter_mut().filter(|_| is_needed) {
                    *value = scale.apply(*value);
                }
            }
        }
    }
}

/// What a GPU computes of a step.
pub struct Share<'a> {
    pub gpu: &'a Gpu,
    pub uploads: &'a Uploads,
    pub cancel: &'a Cancel,
    /// The first so many layers.
    pub layers: usize,
    /// Whether the output, too.
    pub output: bool,
}

/// A model family with its weights.
pub trait Network: Send + Sync {
    /// Its hyperparameters.
    fn config(&self) -> &Config;

    /// Makes room for layers and their caches on a GPU. Returns what is to be uploaded of each
    /// stage.
    fn place(
        &mut self,
        gpu: &Gpu,
        layers: GpuLayers,
        kv: KvFormat,
        tensors: &Tensors,
    ) -> Result<Vec<Vec<Upload>>, PlaceError>;

    /// Compiles what the GPU needs for its layers, for one token and for many,
    /// with caches of that format.
    fn rehearse(&self, gpu: &Gpu, kv: KvFormat, threads: usize) -> Result<(), GpuError>;

    /// What a GPU computes.
    fn placed(&self) -> Placed;

    /// Takes `tokens` through all layers, each as soon as its weights are
    /// there, and reads the logits of the rows `wanted`.
    #[allow(clippy::too_many_arguments)] // who computes, what, and where it goes
    fn forward(
        &self,
        cpu: &mut CpuBackend<'_>,
        share: Option<&Share<'_>>,
        tokens: &[u32],
        step: &mut Step<'_>,
        wanted: &[usize],
        pass: &Pass<'_>,
        readout: &mut Readout,
    ) -> Result<(), LoadError>;
}

/// What is common to all families: embedding, layers, final norm, output.
pub struct Runner<F: Family> {
    family: F,
    token_embd: <CpuDevice as Device>::Matrix,
    /// Of models whose layers have embeddings of their own.
    layer_embedding: Option<LayerEmbedding>,
    /// All layers: those that a GPU computes, too, since they take no memory.
    layers: Vec<F::Layer<CpuDevice>>,
    output: Output<CpuDevice>,
    /// The first layers, and the output if all layers are among them.
    on_gpu: Vec<F::Layer<GpuDevice>>,
    output_on_gpu: Option<Output<GpuDevice>>,
}

/// What comes after the layers.
struct Output<D: Device> {
    norm: Norm<D>,
    /// The embedding, if the output is tied to it.
    linear: Linear<D>,
}

impl<D: Device> Output<D> {
    fn load(config: &Config, loader: &Loader<'_, D>) -> Result<Self, ModelError> {
        let name = match loader.has("output.weight") {
            true => "output",
            false => "token_embd",
        };
        Ok(Output {
            norm: (config.norming).load(loader, config.output_norm, config.n_embd)?,
            linear: Linear::load(loader, name, config.n_vocab, config.n_embd)?,
        })
    }

    /// Computes and reads the logits of the residual stream's rows.
    fn logits<B: Backend<Device = D>>(
        &self,
        backend: &mut B,
        config: &Config,
        x: &B::Tensor,
        rows: usize,
        readout: &mut Readout,
    ) {
        let mut normed = backend.tensor(rows, config.n_embd);
        backend.norm(x, &self.norm, &mut normed);
        let mut out = backend.tensor(rows, config.n_vocab);
        backend.matmul(&normed, &mut [self.linear.product(&mut out)]);
        readout.read(backend, &out, &config.logits);
    }
}

impl<F: Family> Runner<F> {
    /// Finds and checks all tensors of the model.
    pub fn new(family: F, tensors: &Tensors) -> Result<Self, ModelError> {
        let loader = Loader::new(tensors, &CpuDevice);
        let config = family.config();
        let runner = Runner {
            token_embd: loader.matrix("token_embd.weight", config.n_vocab, config.n_embd)?,
            layer_embedding: LayerEmbedding::load(config, &loader)?,
            output: Output::load(config, &loader)?,
            layers: (0..config.n_layer)
                .map(|index| family.load_layer(index, &loader))
                .collect::<Result<_, _>>()?,
            on_gpu: Vec::new(),
            output_on_gpu: None,
            family,
        };
        tensors.check_all_known()?;
        Ok(runner)
    }

    /// What layers take of the tokens beside the residual stream, if they do.
    fn inputs<'a, T>(&self, values: Option<&'a T>) -> Option<LayerInputs<'a, T>> {
        let (values, embedding) = (values?, self.layer_embedding.as_ref()?);
        Some(LayerInputs {
            values,
            layers: self.layers.len(),
            width: embedding.width(),
        })
    }

    /// Before layer `index`: beyond the last, only the wanted rows are read.
    fn keep(&self, index: usize, step: &mut Step<'_>, wanted: &[usize]) {
        if index + 1 == self.layers.len() && wanted.len() < step.rows() {
            step.kept = Some(wanted.to_vec());
        }
    }

    /// Takes the residual stream through the GPU's layers, each as soon as it
    /// has arrived. Returns it, or nothing if the GPU has computed the logits,
    /// too.
    fn forward_on_gpu(
        &self,
        gpu: &mut GpuBackend,
        share: &Share<'_>,
        (x, inputs): (&[f32], Option<&[f32]>),
        step: &mut Step<'_>,
        wanted: &[usize],
        readout: &mut Readout,
    ) -> Result<Option<Vec<f32>>, LoadError> {
        let config = self.family.config();
        let mut x = gpu.write(x, config.n_embd);
        let inputs = inputs.zip(config.layer_inputs);
        let inputs = inputs.map(|(values, width)| gpu.write(values, width));
        let inputs = self.inputs(inputs.as_ref());
        let wait = |gpu: &mut GpuBackend, index| {
            if !share.uploads.has(index) {
                // The device computes what it has meanwhile.
                gpu.finish();
            }
            share.uploads.wait(index, share.cancel)
        };
        for (index, layer) in self.on_gpu[..share.layers].iter().enumerate() {
            wait(gpu, index)?;
            self.keep(index, step, wanted);
            (self.family).layer(gpu, index, layer, inputs.as_ref(), step, &mut x);
        }
        match self.output_on_gpu.as_ref().filter(|_| share.output) {
            Some(_) if wanted.is_empty() => gpu.finish(),
            Some(output) => {
                wait(gpu, share.layers)?;
                output.logits(gpu, config, &x, wanted.len(), readout);
            }
            None => {
                let mut values = Vec::new();
                gpu.read(&x, &mut values);
                return Ok(Some(values));
            }
        }
        Ok(None)
    }
}

impl<F: Family> Network for Runner<F> {
    fn config(&self) -> &Config {
        self.family.config()
    }

    fn place(
        &mut self,
        gpu: &Gpu,
        layers: GpuLayers,
        kv: KvFormat,
        tensors: &Tensors,
    ) -> Result<Vec<Vec<Upload>>, PlaceError> {
        /// Tokens that `auto` leaves room for.
        const CONTEXT: usize = 8192;
        /// Bytes that `auto` leaves for activations and the driver.
        const MARGIN_BYTES: u64 = 256 << 20;

        let config = self.family.config();
        if let Some(recurrent) = &config.recurrent {
            Gpu::check_recurrent(&recurrent.shape)?;
        }
        for heads in &config.heads {
            Gpu::check_heads(heads.head_dim_k, heads.head_dim_v)?;
        }
        let device = gpu.deferring_device();
        let loader = Loader::new(tensors, &device);
        let context = config.context_length.min(CONTEXT);
        let room =
            |placed: usize| KvCache::bytes_on_gpu(config, kv, 0..placed, context) + MARGIN_BYTES;
        let limit = match layers {
            GpuLayers::Auto => config.n_layer + 1,
            GpuLayers::First(count) => count,
        };
        let asked = limit.min(config.n_layer);
        let fewer = config.cut_at_most(asked);
        if fewer < asked {
            let all = config.n_layer;
            return Err(GpuError::Cut { asked, fewer, all }.into());
        }
        let mut stages = Vec::new();
        for index in 0..limit.min(config.n_layer) {
            let layer = self.family.load_layer(index, &loader)?;
            match (device.check(), layers) {
                (Err(GpuError::OutOfMemory { .. }), GpuLayers::Auto) => break,
                (checked, _) => checked?,
            }
            if layers == GpuLayers::Auto && !device.has_room_for(room(index + 1)) {
                break;
            }
            self.on_gpu.push(layer);
            stages.push(device.take_uploads());
        }
        let together = config.cut_at_most(self.on_gpu.len());
        self.on_gpu.truncate(together);
        stages.truncate(together);
        if self.on_gpu.len() == config.n_layer && limit > config.n_layer {
            let output = Output::load(config, &loader)?;
            match (device.check(), layers) {
                (Err(GpuError::OutOfMemory { .. }), GpuLayers::Auto) => {}
                (checked, _) => {
                    checked?;
                    self.output_on_gpu = Some(output);
                    stages.push(device.take_uploads());
                }
            }
        }
        Ok(stages)
    }

    fn rehearse(&self, gpu: &Gpu, kv: KvFormat, threads: usize) -> Result<(), GpuError> {
        /// Tokens of a prompt: more than fit the shaders for few tokens.
        const MANY: usize = 64;
        /// A past whose keys are split over workgroups.
        const LONG: usize = 4096;
        /// Sequences, the tokens of each and the past before them: one token, the
        /// shaders for few, a prompt, of which products note what longer and shorter
        /// ones need, one token after much, and two sequences at once.
        const STEPS: [(usize, usize, usize); 7] = [
            (1, 1, 0),
            (1, 2, 0),
            (1, 4, 0),
            (1, 8, 0),
            (1, MANY, 0),
            (1, 1, LONG),
            (2, 1, 0),
        ];

        let config = self.family.config();
        let layers = self.on_gpu.len();
        let mut caches = [(); 2].map(|()| KvCache::new(config, kv, MANY));
        for cache in &mut caches {
            cache.place(gpu, layers, config, kv)?;
            cache.move_to(gpu, layers)?;
        }
        gpu.rehearse(threads, |gpu| {
            for (count, tokens, position) in STEPS {
                let mut x = gpu.tensor(count * tokens, config.n_embd);
                let inputs = config.layer_inputs;
                let inputs = inputs.map(|width| gpu.tensor(count * tokens * config.n_layer, width));
                let inputs = self.inputs(inputs.as_ref());
                let of_sequence = |(index, cache)| Rows {
                    cache,
                    rows: index * tokens..(index + 1) * tokens,
                    position,
                };
                let of_row = |row| position + row % tokens;
                let mut step = Step {
                    sequences: (caches[..count].iter_mut().enumerate())
                        .map(of_sequence)
                        .collect(),
                    positions: (0..count * tokens).map(of_row).collect(),
                    kept: None,
                };
                for (index, layer) in self.on_gpu.iter().enumerate() {
                    // Few tokens may be of as many sequences, and all be kept.
                    if tokens >= MANY {
                        self.keep(index, &mut step, &[0]);
                    }
                    (self.family).layer(gpu, index, layer, inputs.as_ref(), &mut step, &mut x);
                }
                if let Some(output) = &self.output_on_gpu {
                    let (count, found) = (1, Vec::new());
                    let mut readout = Readout::Highest { count, found };
                    let rows = step.rows_kept();
                    output.logits(gpu, config, &x, rows, &mut readout);
                }
            }
        });
        gpu.check()
    }

    fn placed(&self) -> Placed {
        Placed {
            layers: self.on_gpu.len(),
            output: self.output_on_gpu.is_some(),
        }
    }

    fn forward(
        &self,
        cpu: &mut CpuBackend<'_>,
        share: Option<&Share<'_>>,
        tokens: &[u32],
        step: &mut Step<'_>,
        wanted: &[usize],
        pass: &Pass<'_>,
        readout: &mut Readout,
    ) -> Result<(), LoadError> {
        let config = self.family.config();
        pass.wait_for_embedding()?;
        if !pass.everything_is_there() {
            // All rows at once, or each would be waited for on its own.
            self.token_embd.read_rows_ahead(tokens);
        }
        let mut x = cpu.embed(&self.token_embd, tokens);
        cpu.scale(&mut x, config.embedding_scale);
        let inputs = match &self.layer_embedding {
            Some(embedding) => {
                embedding.read_ahead(tokens);
                pass.wait(0)?;
                Some(embedding.of(cpu, config, tokens, &x))
            }
            None => None,
        };
        let mut first = 0;
        if let Some(share) = share.filter(|share| share.layers > 0) {
            let mut values = Vec::new();
            cpu.read(&x, &mut values);
            let inputs = inputs.as_ref().map(|inputs| {
                let mut values = Vec::new();
                cpu.read(inputs, &mut values);
                values
            });
            let values = (&values[..], inputs.as_deref());
            let left = (share.gpu)
                .pass(|gpu| self.forward_on_gpu(gpu, share, values, step, wanted, readout))?;
            let Some(values) = left else { return Ok(()) };
            x = cpu.write(&values, config.n_embd);
            first = share.layers;
        }
        let inputs = self.inputs(inputs.as_ref());
        for (index, layer) in self.layers.iter().enumerate().skip(first) {
            pass.wait(index)?;
            self.keep(index, step, wanted);
            pass.compute("layer", Some(index), || {
                (self.family).layer(cpu, index, layer, inputs.as_ref(), step, &mut x);
            });
            pass.done(index);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        pass.wait(self.layers.len())?;
        pass.compute("output", None, || {
            self.output.logits(cpu, config, &x, wanted.len(), readout);
        });
        Ok(())
    }
}
