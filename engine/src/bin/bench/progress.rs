//! Progress on stderr, only on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// For so many bytes.
pub fn bytes(what: &str, total: u64) -> ProgressBar {
    bar(
        what,
        total,
        "{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left",
    )
}

/// For so many steps.
pub fn steps(what: &str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {wide_bar} {pos}/{len}")
}

fn bar(what: &str, total: u64, template: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    // Draws to stderr, and nothing if that is no terminal.
    ProgressBar::new(total)
        .with_style(style)
        .with_message(what.to_owned())
}
