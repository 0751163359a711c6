//! Speed over depth and over threads, against the limits, as an SVG.
//!
//! ```text
//! ┌───────────────────────┬───────────────────────┐
//! │ prompt over depth     │ prompt over threads   │
//! ├───────────────────────┼───────────────────────┤
//! │ generation over depth │ generation over …     │
//! └───────────────────────┴───────────────────────┘
//! ```
//!
//! A solid line is what was measured, with a bar from the slowest to the
//! fastest repetition; a dashed line of the same colour is what the limits
//! allow. The file follows the reader's choice of light or dark.

use crate::plan::Kind;
use crate::results::{Outcome, Spread};
use std::collections::BTreeMap;
use std::fmt::{Result, Write};

const PANEL: (f64, f64) = (460.0, 300.0);
const TITLE: f64 = 40.0;
/// Left, right, top, bottom of the drawing in its panel.
const MARGIN: (f64, f64, f64, f64) = (58.0, 16.0, 34.0, 44.0);

/// Told apart by people who see colours differently, and on light and dark
/// (after Okabe and Ito, "Color Universal Design", 2008).
pub const COLOURS: [&str; 6] = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
];

pub const STYLE: &str = "\
  svg { background: #ffffff; color: #1b1b1b; font: 13px system-ui, sans-serif; }
  @media (prefers-color-scheme: dark) { svg { background: #16181c; color: #e6e6e6; } }
  text { fill: currentColor; }
  .title { font-size: 16px; font-weight: 600; }
  .panel { font-weight: 600; }
  .small { font-size: 11px; }
  .grid { stroke: currentColor; stroke-opacity: 0.15; }
  .axis { stroke: currentColor; stroke-opacity: 0.6; }
  .line { fill: none; stroke-width: 2; }
  .limit { fill: none; stroke-width: 1.5; stroke-dasharray: 5 4; }
  .lane { font-size: 12px; }
";

/// What a panel goes over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    Depth,
    Threads,
}

impl Axis {
    fn of(self, outcome: &Outcome) -> usize {
        match self {
            Axis::Depth => outcome.measured.test.depth,
            Axis::Threads => outcome.threads,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Axis::Depth => "tokens in the cache",
            Axis::Threads => "threads",
        }
    }
}

struct Point {
    speed: Spread,
    limit: Option<f64>,
}

/// Points of one kind of test, by place on the axis.
type Series = BTreeMap<String, BTreeMap<usize, Point>>;

/// Draws the results.
pub fn svg(outcomes: &[Outcome]) -> String {
    let panels = [Kind::Prompt, Kind::Generation].map(|kind| {
        [Axis::Depth, Axis::Threads].map(|axis| (kind, axis, series(outcomes, kind, axis)))
    });
    let columns: Vec<usize> = (0..2)
        .filter(|&column| panels.iter().any(|row| !row[column].2.is_empty()))
        .collect();
    let rows: Vec<_> = panels
        .iter()
        .filter(|row| row.iter().any(|panel| !panel.2.is_empty()))
        .collect();
    let width = PANEL.0 * columns.len().max(1) as f64;
    let height = TITLE + PANEL.1 * rows.len().max(1) as f64;
    let mut out = String::new();
    let mut draw = || {
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">"#
        )?;
        writeln!(out, "<style>\n{STYLE}</style>")?;
        writeln!(
            out,
            r#"<text class="title" x="16" y="26">{}</text>"#,
            escaped(&title(outcomes))
        )?;
        for (row, panels) in rows.iter().enumerate() {
            for (column, &index) in columns.iter().enumerate() {
                let (kind, axis, series) = &panels[index];
                let at = (PANEL.0 * column as f64, TITLE + PANEL.1 * row as f64);
                panel(&mut out, at, *kind, *axis, series)?;
            }
        }
        writeln!(out, "</svg>")
    };
    draw().expect("writing to a string cannot fail");
    out
}

fn title(outcomes: &[Outcome]) -> String {
    let mut names: Vec<_> = outcomes
        .iter()
        .map(|outcome| format!("{} {}", outcome.model, outcome.quant))
        .collect();
    names.dedup();
    let isa = outcomes.first().map_or("", |outcome| outcome.isa);
    match crate::results::processor() {
        Some(processor) => format!("{} — {processor}, {isa}", names.join(", ")),
        None => format!("{} — {isa}", names.join(", ")),
    }
}

/// The lines of a panel: one for each thing that changes beside the axis.
fn series(outcomes: &[Outcome], kind: Kind, axis: Axis) -> Series {
    let mut series = Series::new();
    for outcome in outcomes
        .iter()
        .filter(|outcome| outcome.measured.test.kind == kind)
    {
        let test = outcome.measured.test;
        let sequences = match test.batch {
            1 => String::new(),
            batch => format!(", {batch} sequences"),
        };
        let rest = match axis {
            Axis::Depth => format!("{} threads", outcome.threads),
            Axis::Threads => format!("depth {}", test.depth),
        };
        let name = format!("{} tokens{sequences}, {rest}", test.tokens);
        let limit = outcome
            .share()
            .map(|share| outcome.tokens_per_second.median / share);
        let point = Point {
            speed: outcome.tokens_per_second,
            limit,
        };
        series
            .entry(name)
            .or_default()
            .insert(axis.of(outcome), point);
    }
    // One place on the axis is no curve; it shows in the other panel.
    let places: std::collections::BTreeSet<_> = series.values().flat_map(BTreeMap::keys).collect();
    if axis == Axis::Threads && places.len() < 2 {
        return Series::new();
    }
    series
}

fn panel(
    out: &mut String,
    (left, top): (f64, f64),
    kind: Kind,
    axis: Axis,
    series: &Series,
) -> Result {
    if series.is_empty() {
        return Ok(());
    }
    let places: std::collections::BTreeSet<usize> = series
        .values()
        .flat_map(|line| line.keys().copied())
        .collect();
    let places: Vec<usize> = places.into_iter().collect();
    let points = || series.values().flat_map(BTreeMap::values);
    let highest = points()
        .map(|point| point.limit.unwrap_or(0.0).max(point.speed.max))
        .fold(0.0, f64::max);
    let step = nice_step(highest);
    let top_value = (highest / step).ceil().max(1.0) * step;

    let (x0, x1) = (left + MARGIN.0, left + PANEL.0 - MARGIN.1);
    let (y0, y1) = (top + PANEL.1 - MARGIN.3, top + MARGIN.2);
    // Places stand side by side at equal distances: depths grow by factors.
    let x = |place: usize| {
        let index = places.iter().position(|&other| other == place).unwrap_or(0);
        x0 + (x1 - x0) * (index as f64 + 0.5) / places.len() as f64
    };
    let y = |speed: f64| y0 + (y1 - y0) * speed / top_value;

    let what = match kind {
        Kind::Prompt => "Prompt, tokens/s",
        Kind::Generation => "Generation, tokens/s",
    };
    writeln!(
        out,
        r#"<text class="panel" x="{x0}" y="{:.1}">{what}</text>"#,
        top + 16.0
    )?;
    let mut value = 0.0;
    while value <= top_value * 1.0001 {
        let at = y(value);
        writeln!(
            out,
            r#"<line class="grid" x1="{x0}" x2="{x1}" y1="{at:.1}" y2="{at:.1}"/>"#
        )?;
        writeln!(
            out,
            r#"<text class="small" x="{:.1}" y="{:.1}" text-anchor="end">{value}</text>"#,
            x0 - 6.0,
            at + 4.0
        )?;
        value += step;
    }
    writeln!(
        out,
        r#"<line class="axis" x1="{x0}" x2="{x1}" y1="{y0}" y2="{y0}"/>"#
    )?;
    for &place in &places {
        writeln!(
            out,
            r#"<text class="small" x="{:.1}" y="{:.1}" text-anchor="middle">{place}</text>"#,
            x(place),
            y0 + 16.0
        )?;
    }
    writeln!(
        out,
        r#"<text class="small" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
        (x0 + x1) / 2.0,
        y0 + 34.0,
        axis.name()
    )?;

    for (index, (name, line)) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let limits = line
            .iter()
            .filter_map(|(&place, point)| Some((x(place), y(point.limit?))));
        polyline(out, "limit", colour, limits)?;
        let speeds = line
            .iter()
            .map(|(&place, point)| (x(place), y(point.speed.median)));
        polyline(out, "line", colour, speeds)?;
        for (&place, Point { speed, .. }) in line {
            let at = x(place);
            writeln!(
                out,
                r#"<line x1="{at:.1}" x2="{at:.1}" y1="{:.1}" y2="{:.1}" stroke="{colour}"/><circle cx="{at:.1}" cy="{:.1}" r="3.5" fill="{colour}"><title>{:.2} tokens/s</title></circle>"#,
                y(speed.min),
                y(speed.max),
                y(speed.median),
                speed.median
            )?;
        }
        writeln!(
            out,
            r#"<text class="small" x="{:.1}" y="{:.1}" text-anchor="end" style="fill:{colour}">{}</text>"#,
            x1,
            y1 + 2.0 + 14.0 * index as f64,
            escaped(name)
        )?;
    }
    Ok(())
}

fn polyline(
    out: &mut String,
    class: &str,
    colour: &str,
    points: impl Iterator<Item = (f64, f64)>,
) -> Result {
    let points: Vec<_> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    if points.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        r#"<polyline class="{class}" stroke="{colour}" points="{}"/>"#,
        points.join(" ")
    )
}

/// A step of 1, 2 or 5 times a power of ten, four to ten of which make `highest`.
pub fn nice_step(highest: f64) -> f64 {
    let rough = (highest / 5.0).max(1e-3);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|step| step * power >= rough);
    step.unwrap_or(10.0) * power
}

pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measured;
    use crate::memory::Peak;
    use crate::plan::Test;
    use crate::results::Shares;
    use firstlight::KvFormat;

    fn outcome(kind: Kind, depth: usize, threads: usize, speed: f64) -> Outcome {
        let test = Test {
            kind,
            tokens: 32,
            depth,
            batch: 1,
        };
        Outcome {
            model: "a<b".into(),
            synthetic: true,
            quant: "q4_0".into(),
            parameters: 1,
            weight_bytes: 1,
            device: "cpu".into(),
            isa: "avx2",
            threads,
            kv: KvFormat::F16,
            tokens_per_second: Spread::of([speed, speed * 1.1, speed * 0.9]),
            gb_per_second: 1.0,
            gop_per_second: 1.0,
            limits: None,
            shares: Some(Shares {
                read: 0.5,
                compute: 0.5,
            }),
            measured: Measured {
                profile: None,
                test,
                seconds: vec![1.0],
                memory: Peak::default(),
            },
        }
    }

    #[test]
    fn draws_what_there_is() {
        use Kind::{Generation, Prompt};
        let deep = [
            outcome(Prompt, 0, 1, 100.0),
            outcome(Prompt, 4096, 1, 50.0),
            outcome(Generation, 0, 1, 10.0),
        ];
        let threads = [
            outcome(Generation, 0, 1, 10.0),
            outcome(Generation, 0, 2, 19.0),
        ];
        for (outcomes, panels, circles) in [(&deep[..], 2, 3), (&threads, 2, 4), (&[], 0, 0)] {
            let svg = svg(outcomes);
            assert_eq!(svg.matches("class=\"panel\"").count(), panels, "{svg}");
            assert_eq!(svg.matches("<circle").count(), circles, "{svg}");
            assert_eq!(
                svg.matches("class=\"limit\"").count(),
                svg.matches("class=\"line\"").count()
            );
            assert!(!svg.contains("a<b") && !svg.contains("NaN"), "{svg}");
            assert!(svg.ends_with("</svg>\n"));
        }
    }

    #[test]
    fn steps() {
        for (highest, step) in [(100.0, 20.0), (27.0, 10.0), (9.0, 2.0), (1300.0, 500.0)] {
            assert_eq!(nice_step(highest), step, "{highest}");
        }
    }
}
