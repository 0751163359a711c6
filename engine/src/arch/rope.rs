//! Rotary position embedding as the metadata describes it.

use super::Hyperparameters;
use crate::error::ModelError;
use crate::tensors::Tensors;
use gguf::Escaped;
use kernels::ops::{Pairing, Rope, RopeScaling};

/// Reads base, scaling and per-frequency factors.
///
/// `rope.scaling.type` may be absent, `none` or `linear`; others belong to
/// families that are not supported yet and are refused.
pub fn from_file(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    head_dim: usize,
    pairing: Pairing,
) -> Result<Rope, ModelError> {
    let n_rot = keys
        .optional("rope.dimension_count", 1..=head_dim)?
        .unwrap_or(head_dim);
    if !n_rot.is_multiple_of(2) {
        let key = keys.key("rope.dimension_count");
        return Err(ModelError::value(&key, "an even number", n_rot));
    }
    let base = keys.positive("rope.freq_base", Some(10000.0))?;
    if base <= 1.0 {
        let key = keys.key("rope.freq_base");
        return Err(ModelError::value(&key, "a number above 1", base));
    }
    let scaling = match keys.text("rope.scaling.type")? {
        None => linear(keys.positive("rope.scale_linear", Some(1.0))?),
        Some("none") => RopeScaling::None,
        Some("linear") => linear(keys.positive("rope.scaling.factor", Some(1.0))?),
        Some(other) => {
            let key = keys.key("rope.scaling.type");
            return Err(ModelError::value(&key, "none or linear", Escaped(other)));
        }
    };
    let factors = match tensors.get("rope_freqs.weight") {
        None => None,
        Some(_) => {
            let factors = tensors.vector("rope_freqs.weight", n_rot / 2)?;
            if let Some(bad) = factors
                .values()
                .iter()
                .find(|factor| !factor.is_finite() || **factor <= 0.0)
            {
                return Err(ModelError::TensorValue {
                    name: "rope_freqs.weight".to_owned(),
                    expected: "finite factors above 0",
                    found: *bad,
                });
            }
            Some(factors.values().to_vec())
        }
    };
    Rope::new(pairing, n_rot, f64::from(base), factors.as_deref(), scaling)
        .map_err(|reason| ModelError::value(&keys.key("rope"), "usable parameters", reason))
}

fn linear(factor: f32) -> RopeScaling {
    if factor == 1.0 {
        RopeScaling::None
    } else {
        RopeScaling::Linear(f64::from(factor))
    }
}
