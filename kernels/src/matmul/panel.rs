//! Panels: a strip of weight rows, unpacked for many tokens.

/// From this many tokens on, kernels unpack strips into panels.
pub const MIN_TOKENS: usize = 4;

/// A panel; see the module documentation.
#[derive(Default)]
pub struct Panel {}

/// Rows of a strip whose panel stays in the second-level cache.
pub fn strip_rows(cols: usize) -> usize {
    /// Half of the smallest second-level cache of current processors.
    const PANEL_BYTES: usize = 256 << 10;
    (PANEL_BYTES / cols.max(1) / 16 * 16).clamp(16, 64)
}
