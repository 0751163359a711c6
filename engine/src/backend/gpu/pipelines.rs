//! Pipelines: shaders with their slots filled, compiled when they are first
//! needed, or many of them before that, on all cores.

use super::context::Context;
use super::trusted;
use shaders::{Access, Op, Piece};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use wgpu::{BindGroupLayout, ComputePipeline, PipelineLayout, ShaderStages};

/// A shader with its open slots filled and its constants set.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub op: Op,
    pub pieces: [Option<&'static Piece>; 3],
    /// `override` constants; those that are not named keep their default.
    pub constants: [Option<(&'static str, u32)>; 4],
}

type PipelineKey = (Op, [usize; 3], [Option<(&'static str, u32)>; 4]);

impl PartialEq for Kernel {
    fn eq(&self, other: &Kernel) -> bool {
        self.key() == other.key()
    }
}

impl Kernel {
    pub fn new(op: Op, pieces: &[&'static Piece]) -> Kernel {
        let mut slots = [None; 3];
        slots
            .iter_mut()
            .zip(pieces)
            .for_each(|(slot, piece)| *slot = Some(*piece));
        Kernel {
            op,
            pieces: slots,
            constants: [None; 4],
        }
    }

    fn key(&self) -> PipelineKey {
        let address = |piece: Option<&'static Piece>| {
            piece.map_or(0, |piece| std::ptr::from_ref(piece) as usize)
        };
        (self.op, self.pieces.map(address), self.constants)
    }
}

/// What it is called where times are listed: `matvec q4_k tokens_1 subgroup`.
impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.shader().file.name)?;
        for piece in self.pieces.into_iter().flatten() {
            let name = piece.name();
            write!(
                f,
                " {}",
                name.rsplit_once('/').map_or(name, |(_, name)| name)
            )?;
        }
        Ok(())
    }
}

struct Layout {
    bindings: BindGroupLayout,
    pipeline: PipelineLayout,
}

/// The pipelines of a device.
pub(super) struct Pipelines {
    context: Arc<Context>,
    params_layout: BindGroupLayout,
    layouts: HashMap<Op, Layout>,
    index: HashMap<PipelineKey, usize>,
    made: Vec<ComputePipeline>,
    /// How many of them the file of compiled shaders has.
    kept: usize,
}

impl Pipelines {
    pub fn new(context: Arc<Context>) -> Pipelines {
        let device = &context.device;
        let params_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("params"),
            entries: &[entry(0, wgpu::BufferBindingType::Uniform, true)],
        });
        Pipelines {
            params_layout,
            layouts: HashMap::new(),
            index: HashMap::new(),
            made: Vec::new(),
            kept: 0,
            context,
        }
    }

    /// The layout of the parameters of all pipelines.
    pub fn params_layout(&self) -> &BindGroupLayout {
        &self.params_layout
    }

    /// The layout of an operation's bindings.
    pub fn bindings(&mut self, op: Op) -> &BindGroupLayout {
        &self.layout(op).bindings
    }

    /// A pipeline by its number.
    pub fn get(&self, index: usize) -> &ComputePipeline {
        &self.made[index]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.made.len()
    }

    /// Compiles those of these kernels that are not there, on so many threads.
    pub fn compile_all(&mut self, mut kernels: Vec<Kernel>, threads: usize) {
        let mut seen = HashSet::new();
        kernels.retain(|kernel| {
            let key = kernel.key();
            !self.index.contains_key(&key) && seen.insert(key)
        });
        for kernel in &kernels {
            self.layout(kernel.op);
        }
        let this = &*self;
        let next = AtomicUsize::new(0);
        let compile = || {
            let mut made = Vec::new();
            while let Some(kernel) = kernels.get(next.fetch_add(1, Relaxed)) {
                made.push((kernel.key(), this.compile(kernel)));
            }
            made
        };
        let made: Vec<_> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads.min(kernels.len()))
                .map(|_| scope.spawn(compile))
                .collect();
            let own = compile();
            let others = others
                .into_iter()
                .flat_map(|thread| thread.join().expect("wgpu does not panic"));
            own.into_iter().chain(others).collect()
        });
        for (key, pipeline) in made {
            self.made.push(pipeline);
            self.index.insert(key, self.made.len() - 1);
        }
        self.keep();
    }

    /// Leaves what was compiled to later runs.
    fn keep(&mut self) {
        if let Some(compiled) = &self.context.compiled
            && self.kept != self.made.len()
        {
            compiled.save();
            self.kept = self.made.len();
        }
    }

    fn layout(&mut self, op: Op) -> &Layout {
        self.layouts.entry(op).or_insert_with(|| {
            let entries: Vec<_> = op
                .shader()
                .bindings
                .iter()
                .enumerate()
                .map(|(index, binding)| {
                    let read_only = binding.access == Access::Read;
                    entry(
                        index as u32,
                        wgpu::BufferBindingType::Storage { read_only },
                        false,
                    )
                })
                .collect();
            let name = op.shader().file.name;
            let device = &self.context.device;
            let bindings = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(name),
                entries: &entries,
            });
            let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(name),
                bind_group_layouts: &[Some(&bindings), Some(&self.params_layout)],
                immediate_size: 0,
            });
            Layout { bindings, pipeline }
        })
    }

    /// The number of a kernel's pipeline, which is made if it is not there.
    pub fn index_of(&mut self, kernel: Kernel) -> usize {
        let key = kernel.key();
        if let Some(&index) = self.index.get(&key) {
            return index;
        }
        self.layout(kernel.op);
        self.made.push(self.compile(&kernel));
        self.index.insert(key, self.made.len() - 1);
        self.made.len() - 1
    }

    /// Compiles a kernel whose layout is there.
    fn compile(&self, kernel: &Kernel) -> ComputePipeline {
        let name = kernel.op.shader().file.name;
        let pieces: Vec<_> = kernel.pieces.into_iter().flatten().collect();
        let device = &self.context.device;
        let module = trusted::module(device, name, shaders::compose(kernel.op, &pieces));
        let constants: Vec<_> = kernel
            .constants
            .into_iter()
            .flatten()
            .map(|(name, value)| (name, f64::from(value)))
            .collect();
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&self.layouts[&kernel.op].pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Every shader writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: self
                .context
                .compiled
                .as_ref()
                .map(|compiled| compiled.raw()),
        })
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        self.keep();
    }
}

fn entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    has_dynamic_offset: bool,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset,
            min_binding_size: None,
        },
        count: None,
    }
}
