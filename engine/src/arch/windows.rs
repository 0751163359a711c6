//! Layers that attend only to what came shortly before.

use super::Hyperparameters;
use crate::error::ModelError;

/// Layers that attend only to what came shortly before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Positions that a token sees there, its own included.
    pub positions: usize,
    /// Which layers are these.
    pub layers: Vec<bool>,
}

impl Windows {
    /// In all layers.
    pub fn everywhere(n_layer: usize, positions: usize) -> Windows {
        Windows {
            positions,
            layers: vec![true; n_layer],
        }
    }

    /// In the layers that the file names; or every so manieth layer sees all and the
    /// others are these, by default that of `period`.
    pub fn from_file(
        keys: &Hyperparameters<'_, '_>,
        n_layer: usize,
        positions: usize,
        period: usize,
    ) -> Result<Windows, ModelError> {
        Windows::with_last(keys, n_layer, positions, period, 0)
    }

    /// The same where the first of so many layers sees all, and not the last.
    pub fn after_first_from_file(
        keys: &Hyperparameters<'_, '_>,
        n_layer: usize,
        positions: usize,
        period: usize,
    ) -> Result<Windows, ModelError> {
        Windows::with_last(keys, n_layer, positions, period, 1)
    }

    /// The same where those see all that stand so many behind the last of each period.
    fn with_last(
        keys: &Hyperparameters<'_, '_>,
        n_layer: usize,
        positions: usize,
        period: usize,
        behind: usize,
    ) -> Result<Windows, ModelError> {
        let name = "attention.sliding_window_pattern";
        let layers = match keys.flags(name)? {
            Some(layers) => layers[..n_layer].to_vec(),
            None => {
                let found = keys.optional(name, 1..=n_layer.max(period))?;
                let period = found.unwrap_or(period);
                let sees_all = |layer: usize| (layer % period + 1) % period == behind % period;
                (0..n_layer).map(|layer| !sees_all(layer)).collect()
            }
        };
        Ok(Windows { positions, layers })
    }
}
