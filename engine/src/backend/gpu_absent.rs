//! Stands for the GPU backend in builds without the feature `gpu`: the same
//! names, but nothing of it can exist.

#[path = "gpu/error.rs"]
mod error;

pub use error::GpuError;

use super::profile::GpuProfile;
use super::{
    Activation, AttentionShape, Backend, DeltaInputs, DeltaWeights, Device, Experts, Norm, Product,
    QueriesAndKeys, SsmInputs, SsmWeights, Step,
};
use crate::cache::KvFormat;
use crate::cancel::Cancel;
use crate::loading::{LoadError, Loading};
use crate::mapping::Bytes;
use crate::tensors::Vector;
use kernels::Format;
use kernels::ops::Xielu;
use kernels::recurrent::{ConvShape, DeltaShape, RecurrentShape, SsmShape, State};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Has no value. It is a private member of the types below rather than they
/// being empty themselves, so that code that uses them is not called unreachable.
enum Never {}

macro_rules! nothing {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])* pub struct $name(Never);)*
    };
}

nothing! {
    /// An open GPU.
    Gpu,
    /// Holds weights on a GPU.
    GpuDevice,
    /// A matrix on the device.
    GpuMatrix,
    /// A vector on the device.
    GpuVector,
    /// The state of a layer on the device.
    GpuState,
    /// Activations on the device.
    Tensor,
    /// The GPU during a forward pass.
    GpuBackend,
    /// Keys and values of one layer.
    GpuKvLayer,
    /// What a buffer on the device is to hold.
    Upload,
    /// Brings stages to the device.
    Uploads,
    /// An adapter of this machine.
    AdapterDescription,
    /// What became of the file of compiled shaders.
    CompiledShaders,
}

/// The self-test, without anything to test.
#[allow(missing_docs, clippy::missing_errors_doc)] // as in the backend itself
pub mod selftest {
    use super::{AdapterDescription, GpuError, GpuOptions};

    pub struct Outcome {
        pub op: &'static str,
        pub what: String,
        pub error: f32,
        pub bound: f32,
        pub failure: Option<String>,
    }

    pub fn run(_: &GpuOptions, _: impl FnMut(Outcome)) -> Result<AdapterDescription, GpuError> {
        Err(GpuError::NotBuilt)
    }
}

/// How a device is opened.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // as in the backend itself
pub struct GpuOptions {
    pub likely_faster: bool,
    pub without_subgroups: bool,
    pub without_half: bool,
    pub without_matrix_units: bool,
    pub profile: bool,
    pub binding_limit_bytes: Option<u64>,
    pub memory_limit_bytes: Option<u64>,
    pub shader_folder: Option<PathBuf>,
}

/// All adapters of this machine: none that this build can use.
pub fn list_devices() -> Vec<AdapterDescription> {
    Vec::new()
}

impl fmt::Display for AdapterDescription {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

impl fmt::Display for CompiledShaders {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

#[allow(missing_docs, clippy::missing_errors_doc)] // as in the backend itself
impl Gpu {
    pub fn open(_: &GpuOptions) -> Result<Gpu, GpuError> {
        Err(GpuError::NotBuilt)
    }

    pub fn check_heads(_: usize, _: usize) -> Result<(), GpuError> {
        Err(GpuError::NotBuilt)
    }

    pub fn check_recurrent(_: &RecurrentShape) -> Result<(), GpuError> {
        Err(GpuError::NotBuilt)
    }

    pub fn state(&self, _: &RecurrentShape) -> Result<GpuState, GpuError> {
        match self.0 {}
    }

    pub fn fill_state(&self, _: &GpuState, _: &State, _: Option<&State>) {
        match self.0 {}
    }

    pub fn description(&self) -> &AdapterDescription {
        match self.0 {}
    }

    pub fn name(&self) -> &str {
        match self.0 {}
    }

    pub fn deferring_device(&self) -> GpuDevice {
        match self.0 {}
    }

    pub fn upload(&self, _: Vec<Vec<Upload>>, _: &Loading) -> Result<Uploads, GpuError> {
        match self.0 {}
    }

    pub fn fill_cache(
        &self,
        _: &mut GpuKvLayer,
        _: &[f32],
        _: &[f32],
        _: Range<usize>,
    ) -> Result<(), GpuError> {
        match self.0 {}
    }

    pub fn kv_layer(
        &self,
        _: KvFormat,
        _: usize,
        _: [usize; 2],
        _: usize,
    ) -> Result<GpuKvLayer, GpuError> {
        match self.0 {}
    }

    pub fn pass<R>(&self, _: impl FnOnce(&mut GpuBackend) -> R) -> R {
        match self.0 {}
    }

    pub fn rehearse(&self, _: usize, _: impl FnOnce(&mut GpuBackend)) {
        match self.0 {}
    }

    pub fn abandon(&self) {
        match self.0 {}
    }

    pub fn compiled_shaders(&self) -> Option<CompiledShaders> {
        match self.0 {}
    }

    pub fn compiled(&self) -> usize {
        match self.0 {}
    }

    pub fn counts(&self) -> (u64, u64) {
        match self.0 {}
    }

    pub fn take_profile(&self) -> Option<GpuProfile> {
        match self.0 {}
    }

    pub fn check(&self) -> Result<(), GpuError> {
        match self.0 {}
    }
}

#[allow(missing_docs, clippy::missing_errors_doc)] // as in the backend itself
impl GpuDevice {
    pub fn check(&self) -> Result<(), GpuError> {
        match self.0 {}
    }

    pub fn has_room_for(&self, _: u64) -> bool {
        match self.0 {}
    }

    pub fn take_uploads(&self) -> Vec<Upload> {
        match self.0 {}
    }
}

#[allow(missing_docs, clippy::missing_errors_doc)] // as in the backend itself
impl Uploads {
    pub fn arrived(&self) -> (usize, usize) {
        match self.0 {}
    }

    pub fn share(&self, _: usize) -> usize {
        match self.0 {}
    }

    pub fn has(&self, _: usize) -> bool {
        match self.0 {}
    }

    pub fn wait(&self, _: usize, _: &Cancel) -> Result<(), LoadError> {
        match self.0 {}
    }

    pub fn wait_for_all(&self) -> Result<(), LoadError> {
        match self.0 {}
    }
}

#[allow(missing_docs, clippy::missing_errors_doc)] // as in the backend itself
impl GpuKvLayer {
    pub fn reserve(&mut self, _: usize) -> Result<(), GpuError> {
        match self.0 {}
    }

    pub fn leave(&mut self, _: &Past, _: usize, _: &mut Spare) -> Result<(), GpuError> {
        match self.0 {}
    }

    pub fn has(&self, _: &Range<usize>) -> bool {
        match self.0 {}
    }

    pub fn cut(&mut self, _: &Range<usize>) {
        match self.0 {}
    }
}

/// Memory that layers move positions with, which there are none of.
#[derive(Default)]
pub struct Spare(());

/// What of a sequence's past is needed.
#[allow(missing_docs)] // as in the backend itself
pub struct Past {
    pub positions: Range<usize>,
    pub marked: Option<Range<usize>>,
}

#[allow(missing_docs)] // as in the backend itself
impl GpuBackend {
    pub fn finish(&mut self) {
        match self.0 {}
    }
}

impl Device for GpuDevice {
    type Matrix = GpuMatrix;
    type Vector = GpuVector;

    fn matrix(&self, _: Format, _: usize, _: usize, _: Bytes) -> GpuMatrix {
        match self.0 {}
    }

    fn vector(&self, _: Vector) -> GpuVector {
        match self.0 {}
    }
}

impl Backend for GpuBackend {
    type Device = GpuDevice;
    type Tensor = Tensor;

    fn tensor(&mut self, _: usize, _: usize) -> Tensor {
        match self.0 {}
    }

    fn write(&mut self, _: &[f32], _: usize) -> Tensor {
        match self.0 {}
    }

    fn embed(&mut self, _: &GpuMatrix, _: &[u32]) -> Tensor {
        match self.0 {}
    }

    fn select(&mut self, _: &Tensor, _: &[usize]) -> Tensor {
        match self.0 {}
    }

    fn read(&mut self, _: &Tensor, _: &mut Vec<f32>) {
        match self.0 {}
    }

    fn highest(&mut self, _: &Tensor, _: usize, _: &mut Vec<(u32, f32)>) {
        match self.0 {}
    }

    fn norm(&mut self, _: &Tensor, _: &Norm<GpuDevice>, _: &mut Tensor) {
        match self.0 {}
    }

    fn matmul(&mut self, _: &Tensor, _: &mut [Product<'_, Self>]) {
        match self.0 {}
    }

    fn in_rows_of(&mut self, _: Tensor, _: usize) -> Tensor {
        match self.0 {}
    }

    fn deal(&mut self, _: &Tensor, _: [usize; 2], _: &mut Tensor, _: &mut Tensor) {
        match self.0 {}
    }

    fn join(&mut self, _: &Tensor, _: &Tensor, _: [usize; 2], _: &mut Tensor) {
        match self.0 {}
    }

    fn head_products(&mut self, _: &Tensor, _: &GpuMatrix, _: usize, _: &mut Tensor) {
        match self.0 {}
    }

    fn sigmoid_mul(&mut self, _: &mut Tensor, _: &Tensor) {
        match self.0 {}
    }

    fn scale_rows(&mut self, _: &mut Tensor, _: &[f32]) {
        match self.0 {}
    }

    fn scale_by(&mut self, _: &mut Tensor, _: &GpuVector) {
        match self.0 {}
    }

    fn sigmoid_rows(&mut self, _: &mut Tensor, _: &Tensor) {
        match self.0 {}
    }

    fn mul(&mut self, _: &mut Tensor, _: &Tensor) {
        match self.0 {}
    }

    fn short_conv(
        &mut self,
        _: usize,
        _: &ConvShape,
        _: &GpuVector,
        _: &Tensor,
        _: &mut Step<'_>,
        _: &mut Tensor,
    ) {
        match self.0 {}
    }

    fn delta_net(
        &mut self,
        _: usize,
        _: &DeltaShape,
        _: &DeltaWeights<'_, Self>,
        _: &DeltaInputs<'_, Self>,
        _: &mut Step<'_>,
        _: &mut Tensor,
    ) {
        match self.0 {}
    }

    fn ssm(
        &mut self,
        _: usize,
        _: &SsmShape,
        _: &SsmWeights<'_, Self>,
        _: &SsmInputs<'_, Self>,
        _: &mut Step<'_>,
        _: &mut Tensor,
    ) {
        match self.0 {}
    }

    fn norm_add(&mut self, _: &Tensor, _: &Norm<GpuDevice>, _: &mut Tensor) {
        match self.0 {}
    }

    fn matmul_add(&mut self, _: &Tensor, _: &GpuMatrix, _: Option<&GpuVector>, _: &mut Tensor) {
        match self.0 {}
    }

    fn attention(
        &mut self,
        _: usize,
        _: &AttentionShape,
        _: &QueriesAndKeys<'_, Self>,
        _: &mut Tensor,
        _: Option<(&mut Tensor, &Tensor)>,
        _: &mut Step<'_>,
        _: &mut Tensor,
    ) {
        match self.0 {}
    }

    fn gate_mul(&mut self, _: Activation, _: &mut Tensor, _: &Tensor) {
        match self.0 {}
    }

    fn activate(&mut self, _: Activation, _: &mut Tensor) {
        match self.0 {}
    }

    fn xielu(&mut self, _: &mut Tensor, _: &Xielu) {
        match self.0 {}
    }

    fn experts(&mut self, _: &Tensor, _: &Experts<'_, Self>, _: &mut Tensor) {
        match self.0 {}
    }
}

impl GpuState {
    pub(crate) fn advance(&mut self) {
        match self.0 {}
    }
}
