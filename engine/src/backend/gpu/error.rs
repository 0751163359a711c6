//! What can go wrong with a GPU, in one line each.

/// Why the GPU cannot compute.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // the messages document the variants
pub enum GpuError {
    #[error("no GPU was found: the system offers no adapter for {backends}")]
    NoAdapter { backends: String },
    #[error("GPU {adapter} does not open: {reason}")]
    Open { adapter: String, reason: String },
    #[error("GPU {adapter} lacks {missing}, which the shaders need")]
    Lacks {
        adapter: String,
        missing: &'static str,
    },
    #[error(
        "GPU {adapter} is out of memory: {what}; place fewer layers on it or shorten the context"
    )]
    OutOfMemory { adapter: String, what: String },
    #[error(
        "{what} needs a buffer of {len_bytes} bytes, but GPU {adapter} binds at most {limit_bytes}"
    )]
    BindingTooLarge {
        adapter: String,
        what: String,
        len_bytes: u64,
        limit_bytes: u64,
    },
    #[error(
        "GPU {adapter} was lost: {reason}; start again, with fewer layers on it if memory was short, or compute on the CPU"
    )]
    Lost { adapter: String, reason: String },
    #[error("GPU {adapter} failed: {reason}")]
    Failed { adapter: String, reason: String },
    #[error("the GPU cannot compute heads of {what} of width {found}, expected at most {most}")]
    HeadWidth {
        what: &'static str,
        found: usize,
        most: usize,
    },
    #[error("the GPU cannot compute layers of {what}, only the CPU can")]
    Layers { what: &'static str },
    #[error(
        "the GPU cannot have {asked} of {all} layers, since those behind attend to what they keep; it can have {fewer} or {all}"
    )]
    Cut {
        asked: usize,
        fewer: usize,
        all: usize,
    },
    #[error("GPU {adapter} has no room for a single layer with its cache")]
    NoRoom { adapter: String },
    #[error("this program was built without the feature gpu")]
    NotBuilt,
}
