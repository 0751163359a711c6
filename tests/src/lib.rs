//! Conformance tests of the whole engine, and the story grammar that judges the
//! bundled model.

pub mod golden;
pub mod npy;
pub mod story;
pub mod tiny;
pub mod wanted;

use std::path::{Path, PathBuf};

/// The folder `shared` beside the checkout, with real models and vocabularies. Tests that need it are skipped, with a note,
/// where it is absent.
pub fn shared_dir() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    // a linked worktree may lie one folder deeper than the checkout itself
    let folders = checkout.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join("shared"))
        .find(|shared| shared.is_dir());
    if found.is_none() {
        println!("skipped: no folder shared beside {}", checkout.display());
    }
    found
}

/// Normalized mean squared error: Σ (found − expected)² / Σ expected².
pub fn nmse(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let pairs = || {
        found
            .iter()
            .zip(expected)
            .map(|(&f, &e)| (f64::from(f), f64::from(e)))
    };
    let error: f64 = pairs()
        .map(|(found, expected)| (found - expected).powi(2))
        .sum();
    error / pairs().map(|(_, expected)| expected.powi(2)).sum::<f64>()
}
