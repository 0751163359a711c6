//! What is measured of a GPU, where there is one.

use std::time::Duration;

/// The time of all dispatches that do the same.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuTime {
    /// The operation and what fills its slots.
    pub kernel: String,
    /// Workgroups of a dispatch.
    pub workgroups: [u32; 3],
    /// Dispatches.
    pub dispatches: u64,
    /// Time of all of them.
    pub time: Duration,
    /// Bytes of weights that they read at least.
    pub bytes: u64,
    /// Multiplications of weights.
    pub multiplications: u64,
}

/// What the CPU and the device did for all submissions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuProfile {
    /// Of the device, the longest first.
    pub times: Vec<GpuTime>,
    /// Submissions.
    pub submissions: u64,
    /// Time of the CPU from recorded dispatches to a submission.
    pub encoding: Duration,
}
