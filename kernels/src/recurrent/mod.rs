//! Layers that remember a state of fixed size instead of keys and values.

mod columns;
mod conv;
mod delta;
mod ssm;

pub use columns::Workspace;
pub use conv::{ConvShape, short_conv};
pub use delta::{DeltaInputs, DeltaShape, DeltaWeights, delta_net};
pub use ssm::{SsmInputs, SsmShape, SsmWeights, ssm};

/// Such a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecurrentShape {
    /// A convolution over the last inputs.
    Conv(ConvShape),
    /// Gated DeltaNet.
    Delta(DeltaShape),
    /// Mamba-2.
    Ssm(SsmShape),
}

impl RecurrentShape {
    /// The convolution in it.
    pub fn conv(&self) -> ConvShape {
        match self {
            RecurrentShape::Conv(conv) => *conv,
            RecurrentShape::Delta(delta) => delta.conv(),
            RecurrentShape::Ssm(ssm) => ssm.conv(),
        }
    }

    /// Values of a [`State`]: of the inputs, and of the matrices.
    pub fn state_len(&self) -> [usize; 2] {
        let matrices = match self {
            RecurrentShape::Conv(_) => 0,
            RecurrentShape::Delta(delta) => delta.matrices_len(),
            RecurrentShape::Ssm(ssm) => ssm.matrices_len(),
        };
        [self.conv().kept_len(), matrices]
    }
}

/// What a sequence has left behind in a layer.
#[derive(Clone)]
pub struct State {
    /// `[width − 1][channels]`: the last inputs, the oldest first.
    inputs: Vec<f32>,
    /// `[heads][sixteens of columns][rows][16]`.
    matrices: Vec<f32>,
}

impl State {
    /// Before the first token.
    pub fn new(shape: &RecurrentShape) -> State {
        let [inputs, matrices] = shape.state_len().map(|len| vec![0.0; len]);
        State { inputs, matrices }
    }

    /// Of nothing: stands for one that is kept elsewhere.
    pub fn empty() -> State {
        let (inputs, matrices) = (Vec::new(), Vec::new());
        State { inputs, matrices }
    }

    /// All of it: the inputs, then the matrices, as the fields' comments draw them.
    pub fn values(&self) -> Vec<f32> {
        [&self.inputs[..], &self.matrices[..]].concat()
    }

    /// Bytes of one of such a layer.
    pub fn bytes_for(shape: &RecurrentShape) -> usize {
        shape.state_len().iter().sum::<usize>() * size_of::<f32>()
    }

    /// Bytes that it has.
    pub fn bytes(&self) -> usize {
        (self.inputs.len() + self.matrices.len()) * size_of::<f32>()
    }

    /// As before the first token.
    pub fn reset(&mut self) {
        self.inputs.fill(0.0);
        self.matrices.fill(0.0);
    }
}

/// The tokens of one sequence in a step.
pub struct Seq<'a> {
    /// What was before them.
    pub before: &'a State,
    /// What they leave.
    pub after: &'a mut State,
    /// How many rows they have; rows of sequences follow one another.
    pub tokens: usize,
}

#[cfg(test)]
mod tests;
