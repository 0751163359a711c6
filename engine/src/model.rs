//! A model: weights, tokenizer, and the forward pass over a step of many
//! sequences.

use crate::Error;
use crate::arch::{self, Config, Family};
use crate::backend::cpu::{Cpu, CpuBackend, CpuDevice};
use crate::backend::{Backend, Device, Product, Rows, Step};
use crate::cache::{KvCache, KvFormat};
use crate::error::ModelError;
use crate::files;
use crate::loading::{LoadError, LoadOptions, Loading, Pass, Plan, Progress};
use crate::session::{Session, SessionOptions};
use crate::tensors::{Loader, Tensors};
use crate::tokenizer::Tokenizer;
use kernels::{Isa, Kernels, Team};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
}

/// A model that is ready to compute.
///
/// Cheap to clone: all clones share weights, threads and tokenizer.
///
/// ```no_run
/// use firstlight::{Model, ModelOptions, Sampling, SessionOptions};
///
/// let model = Model::open("model.gguf", &ModelOptions::default())?;
/// let mut session = model.session(&SessionOptions::default())?;
/// for piece in session.generate("Once upon a time", &Sampling::default())? {
///     print!("{}", piece?.text);
/// }
/// # Ok::<(), firstlight::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    network: Box<dyn Network>,
    tokenizer: Tokenizer,
    tensor_bytes: u64,
    loading: Loading,
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
        let tensors = Tensors::new(&shards);
        if options.load.growing {
            files::wait_for_small_tensors(&tensors, &options.load)?;
        }
        let network = arch::network(metadata, &tensors).map_err(wrong)?;
        // From here on weights arrive while the rest is being set up.
        let plan = Plan::new(&tensors, network.config().n_layer, options.load.growing);
        let loading = Loading::start(plan, options.load.clone())?;
        let tokenizer = Tokenizer::new(metadata).map_err(|reason| Error::Tokenizer {
            path: path.to_owned(),
            reason,
        })?;
        let (vocab, rows) = (tokenizer.vocab_size(), network.config().n_vocab);
        if vocab != rows {
            return Err(wrong(ModelError::VocabularySize { vocab, rows }));
        }
        Ok(Model {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                network,
                tokenizer,
                tensor_bytes: tensors.len_bytes(),
                loading,
                cpu: Mutex::new(Cpu::new(team, kernels)),
                threads,
                isa,
            }),
        })
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

    /// An empty cache for up to `context` tokens.
    ///
    /// # Errors
    ///
    /// If the memory that is available now cannot hold it when full.
    pub fn cache(&self, format: KvFormat, context: usize) -> Result<KvCache, Error> {
        let needed_bytes =
            KvCache::bytes_per_token(self.config(), format).saturating_mul(context as u64);
        match crate::machine::available_memory() {
            Some(available_bytes) if needed_bytes > available_bytes => Err(Error::CacheTooLarge {
                context,
                needed_bytes,
                available_bytes,
            }),
            _ => Ok(KvCache::new(self.config(), format, context)),
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
            return Ok(Vec::new());
        }

        let mut step = Step {
            sequences: Vec::new(),
            positions: Vec::new(),
        };
        for sequence in sequences.iter_mut() {
            let (position, count) = (sequence.cache.len(), sequence.tokens.len());
            sequence.cache.reserve(count);
            let first = step.positions.len();
            step.positions.extend(position..position + count);
            step.sequences.push(Rows {
                cache: sequence.cache,
                rows: first..first + count,
                position,
            });
        }
        let mut logits = Vec::new();
        let network = &*self.inner.network;
        let mut cpu = self
            .inner
            .cpu
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pass = self.inner.loading.pass();
        let computed = cpu.region(|backend| {
            network.forward(backend, &tokens, &mut step, &wanted, &pass, &mut logits)
        });
        pass.end();
        drop(cpu);
        computed?;

        for (row, &index) in logits.chunks_exact(n_vocab).zip(&wanted) {
            if let Some(bad) = row.iter().find(|value| !value.is_finite()) {
                let what = if bad.is_nan() {
                    "NaN logits"
                } else {
                    "infinite logits"
                };
                return Err(Error::NonFinite {
                    path: self.inner.path.clone(),
                    what,
                    position: step.positions[index],
                });
            }
        }
        for rows in &mut step.sequences {
            rows.cache.advance(rows.rows.len());
        }
        Ok(logits)
    }
}

/// A model family with its weights.
pub trait Network: Send + Sync {
    /// Its hyperparameters.
    fn config(&self) -> &Config;

    /// Takes `tokens` through all layers, each as soon as its weights are
    /// there, and writes the logits of the rows `wanted`.
    fn forward(
        &self,
        cpu: &mut CpuBackend<'_>,
        tokens: &[u32],
        step: &mut Step<'_>,
        wanted: &[usize],
        pass: &Pass<'_>,
        logits: &mut Vec<f32>,
    ) -> Result<(), LoadError>;
}

/// What is common to all families: embedding, layers, final norm, output.
pub struct Runner<F: Family> {
    family: F,
    token_embd: <CpuDevice as Device>::Matrix,
    layers: Vec<F::Layer<CpuDevice>>,
    output_norm: <CpuDevice as Device>::Vector,
    /// `None` if the output is tied to the embedding.
    output: Option<<CpuDevice as Device>::Matrix>,
}

impl<F: Family> Runner<F> {
    /// Finds and checks all tensors of the model.
    pub fn new(family: F, tensors: &Tensors) -> Result<Self, ModelError> {
        let loader = Loader::new(tensors, &CpuDevice);
        let &Config {
            n_vocab,
            n_embd,
            n_layer,
            ..
        } = family.config();
        Ok(Runner {
            token_embd: loader.matrix("token_embd.weight", n_vocab, n_embd)?,
            output_norm: loader.vector("output_norm.weight", n_embd)?,
            output: match loader.has("output.weight") {
                true => Some(loader.matrix("output.weight", n_vocab, n_embd)?),
                false => None,
            },
            layers: (0..n_layer)
                .map(|index| family.load_layer(index, &loader))
                .collect::<Result<_, _>>()?,
            family,
        })
    }
}

impl<F: Family> Network for Runner<F> {
    fn config(&self) -> &Config {
        self.family.config()
    }

    fn forward(
        &self,
        cpu: &mut CpuBackend<'_>,
        tokens: &[u32],
        step: &mut Step<'_>,
        wanted: &[usize],
        pass: &Pass<'_>,
        logits: &mut Vec<f32>,
    ) -> Result<(), LoadError> {
        let config = self.family.config();
        pass.wait_for_embedding()?;
        let mut x = cpu.embed(&self.token_embd, tokens);
        for (index, layer) in self.layers.iter().enumerate() {
            pass.wait(index)?;
            pass.compute("layer", Some(index), || {
                self.family.layer(cpu, index, layer, step, &mut x);
            });
            pass.done(index);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        pass.wait(self.layers.len())?;
        let x = cpu.select(&x, wanted);
        let mut normed = cpu.tensor(wanted.len(), config.n_embd);
        cpu.rms_norm(&x, &self.output_norm, config.norm_eps, &mut normed);
        let mut out = cpu.tensor(wanted.len(), config.n_vocab);
        let weight = self.output.as_ref().unwrap_or(&self.token_embd);
        cpu.matmul(
            &normed,
            &mut [Product {
                weight,
                bias: None,
                out: &mut out,
            }],
        );
        cpu.read(&out, logits);
        Ok(())
    }
}
