//! The command line.

use clap::{ArgAction, Parser, ValueEnum};
use firstlight::trace::Trace;
use firstlight::{
    DeviceChoice, GpuLayers, Isa, KvFormat, LoadMode, LoadOptions, Request, Sampling,
};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// What `generate` can be told.
#[derive(Parser)]
#[command(
    name = "generate",
    version,
    about = "Generates text, or talks, with a language model from a GGUF file",
    override_usage = "generate [OPTIONS] [PROMPT]",
    after_help = "Example: generate --model model.gguf --max-tokens 100 \"The best thing about the sea is\"",
    disable_help_flag = true,
    allow_negative_numbers = true
)]
pub struct Cli {
    /// What is said to the model, or, where it was not trained to be talked with,
    /// the beginning of the text [default: what comes from stdin]
    pub prompt: Option<String>,
    /// Read the prompt from a file
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    pub prompt_file: Option<PathBuf>,
    /// Print help
    #[arg(long, short, action = ArgAction::HelpShort)]
    pub help: (),

    /// GGUF file [default: the small story model that comes with Firstlight]
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub model: Option<PathBuf>,
    /// Tokens the context holds [default: what the model was trained for]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub context: Option<usize>,
    /// Format of the key-value cache: f16, f32 or q8_0
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "f16",
        help_heading = "Model"
    )]
    pub kv: KvFormat,
    /// Threads that compute [default: physical cores]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub threads: Option<usize>,
    /// Where to compute: auto (a GPU if it is likely to be faster), cpu or gpu
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        help_heading = "Model"
    )]
    pub device: DeviceChoice,
    /// Layers the GPU computes, the rest is left to the CPU [default: as many as fit]
    #[arg(
        long,
        value_name = "N|auto",
        default_value = "auto",
        hide_default_value = true,
        help_heading = "Model"
    )]
    pub gpu_layers: GpuLayers,
    /// Memory of the GPU that may be used, in MiB [default: what there is]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub gpu_memory: Option<u64>,
    /// Do not keep the GPU's compiled shaders in this user's cache folder
    #[arg(long, help_heading = "Model")]
    pub no_shader_cache: bool,
    /// List the GPUs of this machine
    #[arg(long, help_heading = "Model")]
    pub list_devices: bool,
    /// Instruction set [default: the best of this machine]
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub isa: Option<Isa>,

    /// Read the whole model before computing
    #[arg(long, help_heading = "Loading")]
    pub preload: bool,
    /// Read weights only when they are touched
    #[arg(long, conflicts_with = "preload", help_heading = "Loading")]
    pub no_readahead: bool,
    /// Keep the model in memory
    #[arg(long, help_heading = "Loading")]
    pub mlock: bool,
    /// The file is still being written: begin with what is there [default: if its name ends in .part]
    #[arg(long, help_heading = "Loading")]
    pub growing: bool,

    /// Talk with the model, a line at a time
    #[arg(long, help_heading = "Conversation")]
    pub chat: bool,
    /// Tell the model how to behave
    #[arg(long, value_name = "TEXT", help_heading = "Conversation")]
    pub system: Option<String>,
    /// Jinja file that says how messages are written [default: what the model brings]
    #[arg(long, value_name = "FILE", help_heading = "Conversation")]
    pub template_file: Option<PathBuf>,
    /// Tell the template something, as enable_thinking=false (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Conversation")]
    pub template_arg: Vec<String>,
    /// Go on with the prompt as it stands, instead of answering it
    #[arg(
        long,
        conflicts_with_all = ["chat", "system", "template_file", "template_arg"],
        help_heading = "Conversation"
    )]
    pub no_template: bool,

    /// Most tokens to generate [default: until the text ends]
    #[arg(long, value_name = "N", help_heading = "Text")]
    pub max_tokens: Option<usize>,
    /// End the text before this string (repeatable)
    #[arg(long, value_name = "STR", help_heading = "Text")]
    pub stop: Vec<String>,
    /// Most tokens computed ahead where the text repeats itself, which only makes it faster; 0: none
    #[arg(
        long,
        value_name = "N",
        default_value_t = Request::default().draft_tokens,
        help_heading = "Text"
    )]
    pub draft_tokens: usize,

    /// 0 takes the most probable token, higher is more adventurous
    #[arg(
        long,
        value_name = "T",
        default_value_t = 0.8,
        help_heading = "Sampling"
    )]
    pub temperature: f32,
    /// Choose among the K most probable tokens; 0: all
    #[arg(
        long,
        value_name = "K",
        default_value_t = 40,
        help_heading = "Sampling"
    )]
    pub top_k: i64,
    /// Choose among the most probable tokens that together reach P
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.95,
        help_heading = "Sampling"
    )]
    pub top_p: f32,
    /// Choose among tokens at least P times as probable as the first
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.05,
        help_heading = "Sampling"
    )]
    pub min_p: f32,
    /// Choose among tokens of typical surprise that together reach P
    #[arg(
        long,
        value_name = "P",
        default_value_t = 1.0,
        help_heading = "Sampling"
    )]
    pub typical_p: f32,
    /// Above 1 discourages repetition
    #[arg(
        long,
        value_name = "R",
        default_value_t = 1.0,
        help_heading = "Sampling"
    )]
    pub repeat_penalty: f32,
    /// Subtract F for every time a token occurred
    #[arg(
        long,
        value_name = "F",
        default_value_t = 0.0,
        help_heading = "Sampling"
    )]
    pub frequency_penalty: f32,
    /// Subtract F once for a token that occurred
    #[arg(
        long,
        value_name = "F",
        default_value_t = 0.0,
        help_heading = "Sampling"
    )]
    pub presence_penalty: f32,
    /// Make the choices repeatable
    #[arg(long, value_name = "N", help_heading = "Sampling")]
    pub seed: Option<u64>,

    /// Say what is being done
    #[arg(long, help_heading = "Reports")]
    pub verbose: bool,
    /// Write a timeline of reading and computing that Perfetto opens
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub trace: Option<PathBuf>,
    /// Print the figures at the end in this form
    #[arg(long, value_name = "FORM", help_heading = "Reports")]
    pub stats: Option<StatsForm>,
}

/// How figures are printed.
#[derive(Clone, Copy, ValueEnum)]
pub enum StatsForm {
    /// One JSON object on stderr
    Json,
}

impl Cli {
    /// How the model is brought in.
    pub fn load_options(&self, trace: Option<Arc<Trace>>) -> LoadOptions {
        let part = |path: &PathBuf| {
            path.extension()
                .is_some_and(|extension| extension == "part")
        };
        LoadOptions {
            mode: match (self.preload, self.no_readahead) {
                (true, _) => LoadMode::Preload,
                (_, true) => LoadMode::OnDemand,
                _ => LoadMode::Progressive,
            },
            lock: self.mlock,
            growing: self.growing || self.model.as_ref().is_some_and(part),
            trace,
            ..LoadOptions::default()
        }
    }

    /// What is asked of the session.
    pub fn request(&self) -> Result<Request, Box<dyn Error>> {
        let top_k = usize::try_from(self.top_k)
            .map_err(|_| format!("top-k is {}, expected 0 or more", self.top_k))?;
        Ok(Request {
            sampling: Sampling {
                temperature: self.temperature,
                top_k,
                top_p: self.top_p,
                min_p: self.min_p,
                typical_p: self.typical_p,
                repeat_penalty: self.repeat_penalty,
                frequency_penalty: self.frequency_penalty,
                presence_penalty: self.presence_penalty,
                seed: self.seed,
                ..Sampling::default()
            },
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
            parse_special: false,
            draft_tokens: self.draft_tokens,
        })
    }
}
