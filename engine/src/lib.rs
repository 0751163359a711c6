//! Firstlight runs language models from GGUF files on this computer.
//!
//! It maps the file and computes straight from its quantized blocks. Nothing
//! leaves the machine.
//!
//! ```no_run
//! use firstlight::{Model, ModelOptions, Request, SessionOptions};
//!
//! let model = Model::open("model.gguf", &ModelOptions::default())?;
//! let mut session = model.session(&SessionOptions::default())?;
//! for piece in session.generate("Once upon a time", &Request::default())? {
//!     print!("{}", piece?.text);
//! }
//! # Ok::<(), firstlight::Error>(())
//! ```
//!
//! The pieces, from the file upwards: [`mapping`] and [`tensors`] find the
//! weights, [`arch`] knows the model families, [`backend`] computes, [`model`]
//! takes tokens of many sequences through the layers, [`session`] turns text
//! into text. This library reads no environment, prints nothing and never
//! exits.

#![deny(unsafe_code)]

pub mod arch;
pub mod backend;
pub mod cache;
mod cancel;
pub mod chat;
mod error;
mod files;
mod layer_inputs;
pub mod loading;
pub mod machine;
pub mod mapping;
pub mod model;
mod network;
pub mod placement;
pub mod sampler;
mod scheduling;
pub mod session;
pub mod signals;
mod stop;
pub mod tensors;
pub mod text;
pub mod tokenizer;
pub mod trace;

pub use cache::{KvCache, KvFormat};
pub use cancel::Cancel;
pub use error::{Error, ModelError, Printable};
pub use kernels::Isa;
pub use loading::{LoadError, LoadMode, LoadOptions, Progress};
pub use model::{Model, ModelOptions, Sequence, Wanted};
pub use placement::{DeviceChoice, GpuLayers, Placed};
pub use sampler::Sampling;
pub use session::{Finish, Generation, Piece, Request, Session, SessionOptions, Stats};
