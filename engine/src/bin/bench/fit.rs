//! Whether a model would fit, before it is fetched.

use crate::inventory::CHUNK;
use crate::results::Form;
use crate::synthetic::Synthetic;
use firstlight::KvFormat;
use serde_json::json;
use std::io::{Result, Write};

/// What programs, threads and tokenizers take whatever the model.
const BASE_BYTES: u64 = 24 << 20;

/// Needed and available memory.
pub struct Fit {
    model: Synthetic,
    context: usize,
    kv: KvFormat,
    weights: u64,
    cache: u64,
    buffers: u64,
    available: Option<u64>,
}

impl Fit {
    /// Computes what is needed; `available` as the system says.
    pub fn new(model: Synthetic, context: usize, kv: KvFormat, available: Option<u64>) -> Fit {
        let tokens = context.min(CHUNK) as u64;
        Fit {
            model,
            context,
            kv,
            weights: model.weight_bytes(),
            cache: model.cache_bytes(kv, context),
            buffers: model.shape.buffer_bytes(tokens) + BASE_BYTES,
            available,
        }
    }

    fn needed(&self) -> u64 {
        self.weights + self.cache + self.buffers
    }

    fn fits(&self) -> Option<bool> {
        self.available.map(|available| self.needed() <= available)
    }

    /// Prints the answer.
    pub fn print(&self, form: Form, out: &mut impl Write) -> Result<()> {
        if form != Form::Json {
            return writeln!(out, "{}", self.sentence());
        }
        let answer = json!({
            "model": self.model.shape.name,
            "quant": self.model.recipe.name,
            "context": self.context,
            "kv": self.kv.to_string(),
            "needed_bytes": {
                "weights": self.weights,
                "cache": self.cache,
                "buffers": self.buffers,
                "total": self.needed(),
            },
            "available_bytes": self.available,
            "fits": self.fits(),
        });
        writeln!(out, "{answer:#}")
    }

    fn sentence(&self) -> String {
        let gb = |bytes: u64| format!("{:.2} GB", bytes as f64 / 1e9);
        let available = match (self.available, self.fits()) {
            (Some(available), Some(true)) => format!("{} are available: it fits", gb(available)),
            (Some(available), _) => format!(
                "{} are available: it does not fit, {} are missing",
                gb(available),
                gb(self.needed() - available)
            ),
            (None, _) => "this system does not say what is available".to_owned(),
        };
        format!(
            "{} in {} with a context of {} tokens needs {} ({} weights, {} {} cache, {} buffers); {available}.",
            self.model.shape.name,
            self.model.recipe.name,
            self.context,
            gb(self.needed()),
            gb(self.weights),
            gb(self.cache),
            self.kv,
            gb(self.buffers),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_against_available() {
        let model: Synthetic = "llama-3.1-8b:q4_k_m".parse().unwrap();
        let fit = |available| Fit::new(model, 8192, KvFormat::F16, available);
        // The file of that name on the model hubs has 4.92 GB.
        let weights = fit(None).weights as f64;
        assert!((4.90e9..4.93e9).contains(&weights), "{weights}");
        // 32 layers × 8 heads × 128 × 2 (keys, values) × 2 bytes × 8192 tokens.
        assert_eq!(fit(None).cache, 1 << 30);
        let needed = fit(None).needed();
        for (available, fits, says) in [
            (Some(needed), Some(true), "it fits."),
            (Some(needed - 1), Some(false), "are missing."),
            (None, None, "does not say what is available."),
        ] {
            assert_eq!(fit(available).fits(), fits);
            let sentence = fit(available).sentence();
            assert!(sentence.ends_with(says), "{sentence}");
        }
    }
}
