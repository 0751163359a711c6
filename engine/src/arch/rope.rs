//! Rotary position embedding as the metadata describes it.

use super::{Config, Hyperparameters};
use crate::error::ModelError;
use crate::tensors::Tensors;
use gguf::Escaped;
use kernels::ops::{Pairing, Rope, RopeScaling, Yarn, ln};

/// Reads base, scaling and per-frequency factors, for heads of that width.
///
/// `rope.scaling.type` may be absent, `none`, `linear`, `yarn` or `longrope`; others
/// belong to families that are not supported yet and are refused.
pub fn from_file(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    config: &Config,
    head_dim: usize,
    pairing: Pairing,
) -> Result<Rope, ModelError> {
    described(keys, tensors, config, head_dim, pairing, None)
}

/// That of latent attention, and the factor of its scores. There the multiplier of YaRN
/// is a tenth of what it is elsewhere, and what sines and cosines would be multiplied
/// with is left to the scores, for all of a head rather than for what turns.
pub fn of_latents(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    config: &Config,
    head_dim: usize,
) -> Result<(Rope, f64), ModelError> {
    let factor = match keys.text("rope.scaling.type")? {
        None | Some("none") => 1.0,
        Some("yarn") => {
            let Yarn {
                factor,
                attention_factor,
                ..
            } = yarn(keys, config, Some(0.0))?;
            let multiplier = keys.positive("rope.scaling.yarn_log_multiplier", None)?;
            attention_factor * (1.0 + f64::from(multiplier) * ln(factor).max(0.0))
        }
        Some(other) => {
            let key = keys.key("rope.scaling.type");
            return Err(ModelError::value(&key, "none or yarn", Escaped(other)));
        }
    };
    let pairing = Pairing::Adjacent;
    let rope = described(keys, tensors, config, head_dim, pairing, Some(1.0))?;
    Ok((rope, factor * factor))
}

/// The same with what of YaRN's factor of sines and cosines is taken back, from 0 to 1,
/// if it is not the file that says so.
fn described(
    keys: &Hyperparameters<'_, '_>,
    tensors: &Tensors,
    config: &Config,
    head_dim: usize,
    pairing: Pairing,
    taken_back: Option<f32>,
) -> Result<Rope, ModelError> {
    let n_rot = n_rot(keys, "rope.dimension_count", head_dim, head_dim)?;
    let base = base(keys)?;
    let scaling = match keys.text("rope.scaling.type")? {
        // Older files say no more than how far.
        None => linear(match keys.positive_unless_0("rope.scaling.factor")? {
            Some(factor) => factor,
            None => keys.positive("rope.scale_linear", Some(1.0))?,
        }),
        Some("none") => RopeScaling::None,
        Some("linear") => linear(keys.positive("rope.scaling.factor", Some(1.0))?),
        Some("yarn") => RopeScaling::Yarn(yarn(keys, config, taken_back)?),
        // It stretches by factors alone.
        Some("longrope") => RopeScaling::Yarn(Yarn {
            factor: 1.0,
            ..yarn(keys, config, taken_back)?
        }),
        Some(other) => {
            let key = keys.key("rope.scaling.type");
            let expected = "none, linear, yarn or longrope";
            return Err(ModelError::value(&key, expected, Escaped(other)));
        }
    };
    // Factors for long contexts are chosen by what the model was trained for, so that
    // a text does not depend on how much of that a session wants to hold.
    let is_long = config.context_length > original_context(keys, config)?;
    let of_length = match is_long {
        true => "rope_factors_long.weight",
        false => "rope_factors_short.weight",
    };
    for name in ["rope_factors_long.weight", "rope_factors_short.weight"] {
        tensors.know(name);
    }
    let names = ["rope_freqs.weight", of_length];
    let factors = match names.into_iter().find(|name| tensors.get(name).is_some()) {
        None => None,
        Some(name) => {
            let factors = tensors.vector(name, n_rot / 2)?;
            let is_bad = |factor: &&f32| !factor.is_finite() || **factor <= 0.0;
            if let Some(bad) = factors.values().iter().find(is_bad) {
                return Err(ModelError::TensorValue {
                    name: name.to_owned(),
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

/// Of layers that attend to a window: another base, and no scaling.
pub fn of_windows(
    keys: &Hyperparameters<'_, '_>,
    rope: &Rope,
    default_base: f32,
) -> Result<Rope, ModelError> {
    unscaled(keys, rope.pairing(), rope.n_rot(), default_base)
}

/// The same with heads of another width there.
pub fn of_narrow_windows(
    keys: &Hyperparameters<'_, '_>,
    rope: &Rope,
    head_dim: usize,
    default_base: f32,
) -> Result<Rope, ModelError> {
    let name = "rope.dimension_count_swa";
    let n_rot = n_rot(keys, name, head_dim, rope.n_rot())?;
    unscaled(keys, rope.pairing(), n_rot, default_base)
}

fn unscaled(
    keys: &Hyperparameters<'_, '_>,
    pairing: Pairing,
    n_rot: usize,
    default_base: f32,
) -> Result<Rope, ModelError> {
    let base = base_above_1(keys, "rope.freq_base_swa", default_base)?;
    let rope = Rope::new(pairing, n_rot, f64::from(base), None, RopeScaling::None);
    rope.map_err(|reason| ModelError::value(&keys.key("rope"), "usable parameters", reason))
}

/// Dimensions of a head that turn.
fn n_rot(
    keys: &Hyperparameters<'_, '_>,
    name: &str,
    head_dim: usize,
    default: usize,
) -> Result<usize, ModelError> {
    let found = keys.optional(name, 1..=head_dim)?.unwrap_or(default);
    let expected = match found {
        odd if !odd.is_multiple_of(2) => "an even number".to_owned(),
        wide if wide > head_dim => format!("at most the {head_dim} of a head"),
        _ => return Ok(found),
    };
    Err(ModelError::value(&keys.key(name), expected, found))
}

/// What frequencies are powers of.
pub fn base(keys: &Hyperparameters<'_, '_>) -> Result<f32, ModelError> {
    base_above_1(keys, "rope.freq_base", 10000.0)
}

fn base_above_1(
    keys: &Hyperparameters<'_, '_>,
    name: &str,
    default: f32,
) -> Result<f32, ModelError> {
    let base = keys.positive(name, Some(default))?;
    if base <= 1.0 {
        return Err(ModelError::value(&keys.key(name), "a number above 1", base));
    }
    Ok(base)
}

/// The context before it was extended.
pub fn original_context(
    keys: &Hyperparameters<'_, '_>,
    config: &Config,
) -> Result<usize, ModelError> {
    let found = keys.optional("rope.scaling.original_context_length", 1..=1 << 30)?;
    Ok(found.unwrap_or(config.context_length))
}

/// That no pairs turn by the height or the width of what is seen.
pub fn refuse_sections(keys: &Hyperparameters<'_, '_>) -> Result<(), ModelError> {
    let sections = keys.integers("rope.dimension_sections")?;
    match sections.iter().all(|&section| section == 0) {
        true => Ok(()),
        false => {
            let key = keys.key("rope.dimension_sections");
            let expected = "none: models that see are not supported";
            Err(ModelError::value(&key, expected, format!("{sections:?}")))
        }
    }
}

/// Where only heads of layers with windows turn, a base for these alone means nothing.
pub fn refuse_another_base(keys: &Hyperparameters<'_, '_>) -> Result<(), ModelError> {
    let (name, base) = ("rope.freq_base_swa", base(keys)?);
    match keys.optional_positive(name)? {
        Some(found) if found != base => {
            let expected = format!("{base}, that of all layers");
            Err(ModelError::value(&keys.key(name), expected, found))
        }
        _ => Ok(()),
    }
}

fn yarn(
    keys: &Hyperparameters<'_, '_>,
    config: &Config,
    taken_back: Option<f32>,
) -> Result<Yarn, ModelError> {
    let number = |name: &str, default| {
        let found = keys.positive(&format!("rope.scaling.{name}"), Some(default));
        found.map(f64::from)
    };
    let extrapolation = number("yarn_ext_factor", 1.0)?;
    if extrapolation != 1.0 {
        let key = keys.key("rope.scaling.yarn_ext_factor");
        return Err(ModelError::value(&key, "1", extrapolation));
    }
    let factor = number("factor", 1.0)?;
    // What sines and cosines are multiplied with is taken back, in full if this is 1.
    let multiplier = match taken_back {
        None => keys.positive_unless_0("rope.scaling.yarn_log_multiplier")?,
        known => known,
    };
    let divisor = match multiplier {
        Some(multiplier) if factor > 1.0 => 1.0 + 0.1 * f64::from(multiplier) * ln(factor),
        _ => 1.0,
    };
    Ok(Yarn {
        factor,
        original_context: original_context(keys, config)?,
        beta_fast: number("yarn_beta_fast", 32.0)?,
        beta_slow: number("yarn_beta_slow", 1.0)?,
        attention_factor: number("attn_factor", 1.0)? / divisor,
    })
}

fn linear(factor: f32) -> RopeScaling {
    if factor == 1.0 {
        RopeScaling::None
    } else {
        RopeScaling::Linear(f64::from(factor))
    }
}
