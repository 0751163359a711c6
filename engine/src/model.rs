//! A model: weights, tokenizer, and the forward pass over a step of many
//! sequences.

use crate::Error;
use crate::arch::{self, Config};
use crate::backend::cpu::{Cpu, CpuBackend};
use crate::backend::gpu::{Gpu, GpuError, GpuOptions, Uploads};
use crate::backend::{Rows, Step};
use crate::cache::{KvCache, KvFormat};
use crate::cancel::Cancel;
use crate::chat::{self, ChatError, ChatTemplate};
use crate::error::ModelError;
use crate::files;
use crate::loading::{LoadError, LoadMode, LoadOptions, Loading, Plan, Progress};
use crate::network::{Network, Readout, Share};
use crate::placement::{DeviceChoice, GpuLayers, PlaceError, Placed};
use crate::session::{Session, SessionOptions};
use crate::tensors::Tensors;
use crate::tokenizer::Tokenizer;
use crate::trace::Track;
use kernels::{Isa, Kernels, Team};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a model is opened.
#[derive(Clone, Debug, Default)]
pub struct ModelOptions {
    /// Threads that compute; by default one for each physical core this
    /// process may use.
    pub threads: Option<usize>,
    /// The instruction set; by default the best of this machine.
    pub isa: Option<Isa>,
    /// How weights are brought in.
    pub load: LoadOptions,
    /// Which device computes.
    pub device: DeviceChoice,
    /// How many layers the GPU computes, if there is one.
    pub gpu_layers: GpuLayers,
    /// Format of the caches that there will be, by default f16: the GPU leaves
    /// room for them, and its shaders for them are compiled when the model is
    /// opened. Those for other formats are compiled when a step needs them.
    pub kv: Option<KvFormat>,
    /// Leaves the GPU's matrix units alone, which prompts are else computed on
    /// where there are some that we know.
    pub without_gpu_matrix_units: bool,
    /// Measures where the GPU's time goes, which takes time: [`Gpu::take_profile`].
    pub gpu_profile: bool,
    /// Bytes of the GPU's memory that may be used; by default what there is.
    pub gpu_memory_bytes: Option<u64>,
    /// A folder of this user's where the GPU's compiled shaders are kept, so that
    /// the next run need not compile them; by default they are not.
    pub gpu_shader_folder: Option<PathBuf>,
}

/// A model that is ready to compute.
///
/// Cheap to clone: all clones share weights, threads and tokenizer.
///
/// ```no_run
/// use firstlight::{Model, ModelOptions, Request, SessionOptions};
///
/// let model = Model::open("model.gguf", &ModelOptions::default())?;
/// let mut session = model.session(&SessionOptions::default())?;
/// for piece in session.generate("Once upon a time", &Request::default())? {
///     print!("{}", piece?.text);
/// }
/// # Ok::<(), firstlight::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
    cancel: Cancel,
}

struct Inner {
    path: PathBuf,
    network: Box<dyn Network>,
    tokenizer: Tokenizer,
    /// The source of the file's chat template.
    chat_template: Option<String>,
    tensor_bytes: u64,
    uploads: Option<Uploads>,
    loading: Loading,
    gpu: Option<Gpu>,
    gpu_refused: Option<GpuError>,
    /// One forward pass at a time.
    cpu: Mutex<Cpu>,
    threads: usize,
    isa: Isa,
}

/// Which tokens of a sequence logits are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None: the tokens only fill the cache.
    Nothing,
    /// The last token.
    Last,
    /// Every token.
    All,
}

/// A sequence's part in a step.
pub struct Sequence<'a> {
    /// What came before.
    pub cache: &'a mut KvCache,
    /// What is added, at least one token.
    pub tokens: &'a [u32],
    /// Which logits are wanted.
    pub wanted: Wanted,
}

impl Model {
    /// Opens a GGUF file; of a split model, its first part.
    ///
    /// # Errors
    ///
    /// Everything that could keep the model from running is found here: a file
    /// that is damaged or of another kind, an architecture or a tensor type
    /// that is not supported, shapes that contradict the metadata, a tokenizer
    /// that does not fit.
    pub fn open(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Model, Error> {
        let path = path.as_ref();
        let threads = match options.threads {
            None => crate::machine::cores(),
            Some(threads @ 1..=1024) => threads,
            Some(found) => {
                return Err(Error::Parameter {
                    name: "the number of threads",
                    expected: "1 to 1024",
                    found: found.to_string(),
                });
            }
        };
        let begun = Instant::now();
        let record = |label, start| {
            if let Some(trace) = &options.load.trace {
                trace.record(Track::Model, label, None, start);
            }
        };
        let mut team = Team::new(threads)?;
        if let Some(trace) = &options.load.trace {
            team.observe(trace.clone());
        }
        let isa = options.isa.unwrap_or_else(Isa::detect);
        let kernels = Kernels::new(isa)?;
        let mappings = files::map(path, &options.load)?;
        let shards = files::parse(&mappings)?;
        let metadata = shards[0].1.metadata();
        let wrong = |reason| Error::Model {
            path: path.to_owned(),
            reason,
        };
        let chat_template = metadata
            .get_str(chat::TEMPLATE_KEY)
            .map_err(|reason| wrong(reason.into()))?
            .map(str::to_owned);
        let tensors = Tensors::new(&shards);
        record("header", begun);
        let (set_up, tokenizer) = std::thread::scope(|scope| {
            // Takes longer than all the rest, unless there is a GPU.
            let tokenizer = scope.spawn(|| {
                let start = Instant::now();
                let tokenizer = Tokenizer::new(metadata);
                record("tokenizer", start);
                tokenizer
            });
            let set_up = || {
                if options.load.growing {
                    files::wait_for_small_tensors(&tensors, &options.load)?;
                }
                let network = arch::network(metadata, &tensors).map_err(wrong)?;
                // From here on weights arrive while the rest is being set up.
                let plan = Plan::new(&tensors, network.config().n_layer, options.load.growing);
                let loading = Loading::start(plan, options.load.clone())?;
                let gpu = open_gpu(options, tensors.len_bytes());
                Ok::<_, Error>((network, loading, gpu))
            };
            (set_up(), tokenizer.join())
        });
        let (mut network, loading, gpu) = set_up?;
        let tokenizer = tokenizer.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut gpu_refused = None;
        let gpu = match gpu {
            Ok(gpu) => gpu,
            // Nobody has asked for it.
            Err(error) if options.device == DeviceChoice::Auto => {
                let is_absent = matches!(error, GpuError::NoAdapter { .. } | GpuError::NotBuilt);
                gpu_refused = (!is_absent).then_some(error);
                None
            }
            Err(error) => return Err(Error::Gpu(error)),
        };
        let tokenizer = tokenizer.map_err(|reason| Error::Tokenizer {
            path: path.to_owned(),
            reason,
        })?;
        let (vocab, rows) = (tokenizer.vocab_size(), network.config().n_vocab);
        if vocab != rows {
            return Err(wrong(ModelError::VocabularySize { vocab, rows }));
        }
        let mut uploads = None;
        if let Some(gpu) = &gpu {
            let kv = options.kv.unwrap_or(KvFormat::F16);
            match network.place(gpu, options.gpu_layers, kv, &tensors) {
                Ok(stages) if stages.is_empty() => {
                    let adapter = gpu.name().to_owned();
                    let asked = options.gpu_layers != GpuLayers::First(0);
                    gpu_refused = asked.then_some(GpuError::NoRoom { adapter });
                }
                Ok(stages) => {
                    uploads = Some(gpu.upload(stages, &loading)?);
                    // Beside the upload.
                    network.rehearse(gpu, kv, threads)?;
                }
                // Nobody has asked for the GPU: the CPU can compute the model.
                Err(PlaceError::Gpu(
                    reason @ (GpuError::HeadWidth { .. } | GpuError::Layers { .. }),
                )) if options.device == DeviceChoice::Auto => {
                    gpu_refused = Some(reason);
                }
                Err(PlaceError::Gpu(reason)) => return Err(Error::Gpu(reason)),
                Err(PlaceError::Model(reason)) => return Err(wrong(reason)),
            }
        }
        let model = Model {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                network,
                tokenizer,
                chat_template,
                tensor_bytes: tensors.len_bytes(),
                uploads,
                loading,
                gpu,
                gpu_refused,
                cpu: Mutex::new(Cpu::new(team, kernels)),
                threads,
                isa,
            }),
            cancel: Cancel::default(),
        };
        if options.load.mode == LoadMode::Preload {
            model.wait_for_gpu()?;
        }
        Ok(model)
    }

    /// The same model, whose steps end when they are cancelled: with an error
    /// ([`Error::is_cancelled`]), and caches as they were before.
    pub fn cancelled_by(&self, cancel: Cancel) -> Model {
        Model {
            inner: self.inner.clone(),
            cancel,
        }
    }

    /// Starts a conversation with the model.
    pub fn session(&self, options: &SessionOptions) -> Result<Session, Error> {
        Session::new(self.clone(), options)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Its hyperparameters.
    pub fn config(&self) -> &Config {
        self.inner.network.config()
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.inner.tokenizer
    }

    /// Whether the file has a chat template: whether it was trained for
    /// conversations.
    pub fn has_chat_template(&self) -> bool {
        self.inner.chat_template.is_some()
    }

    /// The chat template of the file.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be read.
    pub fn chat_template(&self) -> Result<ChatTemplate, ChatError> {
        let source = self.inner.chat_template.as_deref();
        ChatTemplate::parse(source.ok_or(ChatError::Missing)?)
    }

    /// Bytes of all weights.
    pub fn tensor_bytes(&self) -> u64 {
        self.inner.tensor_bytes
    }

    /// How far loading is.
    pub fn load_progress(&self) -> Progress {
        self.inner.loading.progress()
    }

    /// What loading failed with, if it has. Steps that need the missing weights
    /// fail with the same.
    pub fn load_error(&self) -> Option<LoadError> {
        self.inner.loading.error()
    }

    /// Time that computing has waited for weights.
    pub fn waited(&self) -> Duration {
        self.inner.loading.waited()
    }

    /// How many of the model's stages (layers and output) stay in memory, and
    /// how many there are. The others are read for every step.
    pub fn resident_stages(&self) -> (usize, usize) {
        self.inner.loading.resident()
    }

    /// Number of threads that compute.
    pub fn threads(&self) -> usize {
        self.inner.threads
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.inner.isa
    }

    /// The GPU and what it computes, if it computes anything.
    pub fn gpu(&self) -> Option<(&Gpu, Placed)> {
        let placed = self.inner.network.placed();
        let gpu = self.inner.gpu.as_ref()?;
        (placed.layers > 0).then_some((gpu, placed))
    }

    /// Why a GPU that was found, and would have been used, computes nothing.
    pub fn gpu_refused(&self) -> Option<&GpuError> {
        self.inner.gpu_refused.as_ref()
    }

    /// How many stages (layers and output) have arrived on the GPU, and how many
    /// will. Until then steps of few tokens compute the others on the CPU.
    pub fn gpu_arrived(&self) -> (usize, usize) {
        self.inner.uploads.as_ref().map_or((0, 0), Uploads::arrived)
    }

    /// Waits until everything that the GPU computes has arrived there.
    ///
    /// # Errors
    ///
    /// If weights cannot be read.
    pub fn wait_for_gpu(&self) -> Result<(), Error> {
        match &self.inner.uploads {
            Some(uploads) => Ok(uploads.wait_for_all()?),
            None => Ok(()),
        }
    }

    /// An empty cache for up to `context` tokens.
    ///
    /// # Errors
    ///
    /// If the memory that is available now cannot hold it when full.
    pub fn cache(&self, format: KvFormat, context: usize) -> Result<KvCache, Error> {
        let config = self.config();
        let on_gpu = self.gpu().map_or(0, |(_, placed)| placed.layers);
        let in_memory = on_gpu..config.n_layer;
        let needed_bytes = KvCache::bytes_in_memory(config, format, in_memory, context);
        match crate::machine::available_memory() {
            Some(available_bytes) if needed_bytes > available_bytes => Err(Error::CacheTooLarge {
                context,
                needed_bytes,
                available_bytes,
            }),
            _ => {
                let mut cache = KvCache::new(config, format, context);
                if let Some((gpu, placed)) = self.gpu() {
                    cache.place(gpu, placed.layers, config, format)?;
                }
                Ok(cache)
            }
        }
    }

    /// Takes tokens of one or many sequences through the model together.
    ///
    /// Returns the logits of the wanted tokens, `[wanted tokens, n_vocab]`, in
    /// the order of the sequences. The logits of a token are the same to the
    /// bit whatever else is in the step.
    ///
    /// # Errors
    ///
    /// If tokens are out of range, a context would overflow, or the model
    /// computes something that is no number. The caches are then as before.
    pub fn step(&self, sequences: &mut [Sequence<'_>]) -> Result<Vec<f32>, Error> {
        match self.run(sequences, Readout::All(Vec::new()))? {
            Readout::All(logits) => Ok(logits),
            Readout::Highest { .. } => panic!("all logits are read"),
        }
    }

    /// As [`Model::step`], but returns of every wanted token only the `count`
    /// highest logits with their tokens, `[wanted tokens, min(count, n_vocab)]`
    /// in no order; of equals the lower tokens. From a GPU that is little to
    /// read.
    ///
    /// # Errors
    ///
    /// As [`Model::step`].
    pub fn step_highest(
        &self,
        sequences: &mut [Sequence<'_>],
        count: usize,
    ) -> Result<Vec<(u32, f32)>, Error> {
        let found = Vec::new();
        match self.run(sequences, Readout::Highest { count, found })? {
            Readout::Highest { found, .. } => Ok(found),
            Readout::All(_) => panic!("the highest logits are read"),
        }
    }

    fn run(&self, sequences: &mut [Sequence<'_>], mut readout: Readout) -> Result<Readout, Error> {
        let n_vocab = self.config().n_vocab;
        let mut tokens = Vec::new();
        let mut wanted = Vec::new();
        for sequence in sequences.iter() {
            let context = sequence.cache.capacity();
            if sequence.cache.len() + sequence.tokens.len() > context {
                return Err(Error::ContextFull { context });
            }
            if let Some(&token) = sequence
                .tokens
                .iter()
                .find(|&&token| token as usize >= n_vocab)
            {
                return Err(Error::TokenOutOfRange {
                    token,
                    vocab: n_vocab,
                });
            }
            tokens.extend_from_slice(sequence.tokens);
            match sequence.wanted {
                Wanted::Nothing => {}
                Wanted::Last => wanted.extend(tokens.len().checked_sub(1)),
                Wanted::All => wanted.extend(tokens.len() - sequence.tokens.len()..tokens.len()),
            }
        }
        if tokens.is_empty() {
            return Ok(readout);
        }

        let mut step = Step {
            sequences: Vec::new(),
            positions: Vec::new(),
            kept: None,
        };
        let share = self.share(sequences, tokens.len());
        for sequence in sequences.iter_mut() {
            if let Some(share) = &share {
                sequence.cache.move_to(share.gpu, share.layers)?;
            }
            let (position, count) = (sequence.cache.len(), sequence.tokens.len());
            sequence.cache.reserve(count)?;
            let first = step.positions.len();
            step.positions.extend(position..position + count);
            step.sequences.push(Rows {
                cache: sequence.cache,
                rows: first..first + count,
                position,
            });
        }
        let network = &*self.inner.network;
        let mut cpu = self
            .inner
            .cpu
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pass = self.inner.loading.pass(&self.cancel);
        let forward = |backend: &mut CpuBackend<'_>| {
            network.forward(
                backend,
                share.as_ref(),
                &tokens,
                &mut step,
                &wanted,
                &pass,
                &mut readout,
            )
        };
        // The embedding of a few tokens is sooner looked up than threads are awake, but
        // those for each layer take a product.
        let is_all_on_gpu = share.as_ref().is_some_and(|share| share.output);
        let is_product = network.config().layer_inputs.is_some();
        let computed = match is_all_on_gpu && !is_product && tokens.len() <= FEW_TOKENS {
            true => cpu.alone(forward),
            false => cpu.region(forward),
        };
        pass.end();
        drop(cpu);
        computed?;
        if let Some(share) = &share {
            share.gpu.check()?;
        }

        if let Some((row, bad)) = readout.no_number(n_vocab) {
            let what = if bad.is_nan() {
                "NaN logits"
            } else {
                "infinite logits"
            };
            return Err(Error::NonFinite {
                path: self.inner.path.clone(),
                what,
                position: step.positions[wanted[row]],
            });
        }
        for rows in &mut step.sequences {
            rows.cache.advance(rows.rows.len());
        }
        Ok(readout)
    }

    /// What the GPU computes of a step of so many tokens.
    fn share(&self, sequences: &[Sequence<'_>], tokens: usize) -> Option<Share<'_>> {
        let ((gpu, placed), uploads) = (self.gpu()?, self.inner.uploads.as_ref()?);
        let moved = sequences.iter().map(|each| each.cache.layers_on_gpu());
        let stages = uploads.share(tokens).max(moved.max().unwrap_or(0));
        Some(Share {
            gpu,
            uploads,
            cancel: &self.cancel,
            layers: self.config().cut_at_most(stages.min(placed.layers)),
            output: placed.output && stages > placed.layers,
        })
    }
}

/// Tokens whose embeddings one thread looks up.
const FEW_TOKENS: usize = 16;

/// Below this, a CPU is done before a GPU has been found and set up.
const GPU_WORTHWHILE_BYTES: u64 = 64 << 20;

/// Where Linux shows graphics hardware: its own drivers, NVIDIA's, those of
/// Windows around it, and those of two kinds of phones.
const GPU_DEVICES: [&str; 5] = [
    "/dev/dri",
    "/dev/nvidiactl",
    "/dev/dxg",
    "/dev/kgsl-3d0",
    "/dev/mali0",
];

/// Whether it is worth asking the graphics drivers, which takes a tenth of a
/// second: software adapters are no faster than the CPU that runs them.
fn gpu_may_exist() -> bool {
    !cfg!(target_os = "linux") || GPU_DEVICES.iter().any(|path| Path::new(path).exists())
}

/// The GPU that was asked for.
fn open_gpu(options: &ModelOptions, tensor_bytes: u64) -> Result<Option<Gpu>, GpuError> {
    let device = options.device;
    let auto = device == DeviceChoice::Auto;
    if auto && (tensor_bytes < GPU_WORTHWHILE_BYTES || !gpu_may_exist()) {
        return Ok(None);
    }
    let options = GpuOptions {
        likely_faster: auto,
        without_matrix_units: options.without_gpu_matrix_units,
        profile: options.gpu_profile,
        memory_limit_bytes: options.gpu_memory_bytes,
        shader_folder: options.gpu_shader_folder.clone(),
        ..GpuOptions::default()
    };
    match device {
        DeviceChoice::Cpu => Ok(None),
        DeviceChoice::Auto | DeviceChoice::Gpu => Gpu::open(&options).map(Some),
    }
}
