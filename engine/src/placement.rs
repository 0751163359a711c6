//! Which device computes which layers.
//!
//! The first layers go to the GPU, in order of use, and the output goes with
//! them if all layers are there. The residual crosses from the CPU to the GPU
//! after the embedding and back after the GPU's last layer; nothing else does.

use crate::backend::gpu::GpuError;
use crate::error::ModelError;
use std::str::FromStr;

/// Which device computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The GPU if there is one that is likely to be faster, else the CPU.
    Auto,
    /// The CPU: the same bits on every machine.
    #[default]
    Cpu,
    /// The GPU, whatever it is, a software one included.
    Gpu,
}

/// How many layers the GPU computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GpuLayers {
    /// As many as fit, with their cache.
    #[default]
    Auto,
    /// The first so many; with one more than the model has layers, the output
    /// too.
    First(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "gpu" => Ok(DeviceChoice::Gpu),
            _ => Err("expected auto, cpu or gpu".to_owned()),
        }
    }
}

impl FromStr for GpuLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(GpuLayers::Auto),
            (_, Ok(count)) => Ok(GpuLayers::First(count)),
            _ => Err("expected auto or a number of layers".to_owned()),
        }
    }
}

/// What a GPU computes of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The first so many layers.
    pub layers: usize,
    /// Whether the final norm and the output, too.
    pub output: bool,
}

/// Why layers cannot be given to a GPU.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages document the variants
pub enum PlaceError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Model(#[from] ModelError),
}
