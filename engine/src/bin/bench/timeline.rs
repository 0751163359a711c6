//! The timeline of a start, as an SVG: what was read, computed and waited for
//! when. Drawn from what `--trace` writes.
//!
//! ```text
//! loader    ▐ 0 ▐ 1 ▐ 2 ▐ 3 ▐ …    ▐ output  ▐
//! model         ▐ 0 ▐ 1 ▐ 2 ▐ …    ░ waits ░ ▐ first token
//! thread 0      ▐▐▐ ▐▐▐ ▐▐▐
//! ```

use crate::plot::{COLOURS, STYLE, escaped, nice_step};
use crate::startup::Disk;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: f64 = 920.0;
/// Left, right, top and bottom of the lanes.
const MARGIN: (f64, f64, f64, f64) = (84.0, 20.0, 44.0, 56.0);
const LANE: f64 = 34.0;
const BAR: f64 = 26.0;

/// Events less far apart than that are drawn as one.
const GAP: f64 = 0.7;

/// Something that happened on a lane, in seconds.
#[derive(Clone, Debug, PartialEq)]
struct Bar {
    name: String,
    start: f64,
    end: f64,
}

/// What happened, by lane: its number orders them.
type Lanes = BTreeMap<u64, (String, Vec<Bar>)>;

/// Reads a trace; `None` if it is none.
fn lanes(trace: &Value) -> Option<Lanes> {
    let mut lanes = Lanes::new();
    for event in trace["traceEvents"].as_array()? {
        let (name, lane) = (event["name"].as_str()?, event["tid"].as_u64()?);
        if event["ph"] == "M" {
            if name == "thread_name" {
                let label = event["args"]["name"].as_str()?.to_owned();
                lanes.entry(lane).or_default().0 = label;
            }
            continue;
        }
        let start = event["ts"].as_f64()? / 1e6;
        lanes.entry(lane).or_default().1.push(Bar {
            name: name.to_owned(),
            start,
            end: start + event["dur"].as_f64()? / 1e6,
        });
    }
    for (_, bars) in lanes.values_mut() {
        bars.sort_by(|a, b| a.start.total_cmp(&b.start));
    }
    Some(lanes)
}

/// Bars that follow each other closely become one, if `alike` says so.
fn merged(bars: &[Bar], gap: f64, alike: impl Fn(&Bar, &Bar) -> bool) -> Vec<Bar> {
    let mut out: Vec<Bar> = Vec::new();
    for bar in bars {
        match out.last_mut() {
            Some(last) if bar.start - last.end <= gap && alike(last, bar) => {
                last.end = last.end.max(bar.end);
            }
            _ => out.push(bar.clone()),
        }
    }
    out
}

/// Draws a trace.
pub fn svg(model: &str, disk: Disk, trace: &Value) -> Result<String, String> {
    let lanes = lanes(trace).ok_or("the trace is not in the trace-event format")?;
    let end = |lane: &str| {
        let bars = lanes.values().filter(|(name, _)| name == lane);
        bars.flat_map(|(_, bars)| bars)
            .map(|bar| bar.end)
            .fold(0.0, f64::max)
    };
    let (last_byte, first_token) = (end("loader"), end("model"));
    let total = last_byte.max(first_token).max(1e-6);
    let (left, right, top, bottom) = MARGIN;
    let height = top + LANE * lanes.len() as f64 + bottom;
    let scale = (WIDTH - left - right) / total;
    let x = |seconds: f64| left + seconds * scale;
    let floor = height - bottom;
    let mut out = String::new();
    let mut draw = || -> std::fmt::Result {
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">"#
        )?;
        writeln!(out, "<style>\n{STYLE}</style>")?;
        writeln!(
            out,
            r#"<text class="title" x="16" y="26">{}, {disk}: the first token after {first_token:.2} s</text>"#,
            escaped(model)
        )?;
        let step = nice_step(total);
        for tick in 0..=(total / step) as usize {
            let at = x(tick as f64 * step);
            let seconds = format!("{:.3}", tick as f64 * step);
            let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
            writeln!(
                out,
                r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="{top}" y2="{floor}"/><text class="small" x="{at:.1}" y="{:.1}" text-anchor="middle">{seconds} s</text>"#,
                floor + 16.0
            )?;
        }
        for (index, (label, bars)) in lanes.values().enumerate() {
            let y = top + LANE * index as f64 + (LANE - BAR) / 2.0;
            writeln!(
                out,
                r#"<text class="lane" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                left - 8.0,
                y + BAR / 2.0 + 4.0,
                escaped(label)
            )?;
            // Layers and waits stand for themselves, operations run together.
            let by_name = matches!(label.as_str(), "loader" | "model");
            let bars = merged(bars, GAP / scale, |a, b| !by_name || a.name == b.name);
            for bar in &bars {
                let width = ((bar.end - bar.start) * scale).max(0.3);
                let waits = bar.name.starts_with("wait");
                let (colour, opacity) = match (label.as_str(), waits) {
                    (_, true) => ("currentColor", 0.15),
                    ("loader", _) => (COLOURS[0], 0.9),
                    ("model", _) => (COLOURS[1], 0.9),
                    _ => (COLOURS[2], 0.9),
                };
                writeln!(
                    out,
                    r#"<rect x="{:.1}" y="{y:.1}" width="{:.1}" height="{BAR}" fill="{colour}" fill-opacity="{opacity}"><title>{}, {:.3} s</title></rect>"#,
                    x(bar.start),
                    (width - 0.6).max(0.3),
                    if by_name {
                        escaped(&bar.name)
                    } else {
                        "busy".to_owned()
                    },
                    bar.end - bar.start
                )?;
                let number = bar.name.rsplit(' ').next().unwrap_or_default();
                if by_name && !waits && width > 8.0 + 7.0 * number.len() as f64 {
                    writeln!(
                        out,
                        r##"<text class="small" x="{:.1}" y="{:.1}" text-anchor="middle" style="fill:#ffffff">{}</text>"##,
                        x(bar.start) + width / 2.0,
                        y + BAR / 2.0 + 4.0,
                        escaped(number)
                    )?;
                }
            }
        }
        let marks = [
            ("last byte", last_byte, 32.0),
            ("first token", first_token, 46.0),
        ];
        for (what, seconds, below) in marks.into_iter().filter(|(_, seconds, _)| *seconds > 0.0) {
            let at = x(seconds);
            writeln!(
                out,
                r#"<line class="axis" x1="{at:.1}" x2="{at:.1}" y1="{top}" y2="{:.1}"/><text class="small" x="{:.1}" y="{:.1}" text-anchor="end">{what} {seconds:.2} s</text>"#,
                floor + below,
                at - 4.0,
                floor + below
            )?;
        }
        writeln!(out, "</svg>")
    };
    draw().expect("writing to a string cannot fail");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlight::trace::{Trace, Track};
    use std::time::{Duration, Instant};

    #[test]
    fn draws_a_trace() {
        let begun = Instant::now();
        let trace = Trace::new(begun);
        for layer in 0..3 {
            trace.record(Track::Loader, "read for stage", Some(layer), Instant::now());
            std::thread::sleep(Duration::from_millis(3));
            trace.record(
                Track::Model,
                "layer",
                Some(layer),
                Instant::now() - Duration::from_millis(2),
            );
        }
        trace.record(Track::Model, "wait for stage", Some(3), begun);
        trace.record(Track::Compute(0), "matmul", None, begun);
        let mut json = Vec::new();
        trace.write(&mut json).unwrap();
        let svg = svg(
            "a<b",
            Disk::Throttled(500),
            &serde_json::from_slice(&json).unwrap(),
        )
        .unwrap();
        for part in [
            "a&lt;b, 500 MB/s: ",
            ">loader<",
            ">compute 0<",
            "last byte",
            "first token",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(svg.matches("<rect").count() >= 7, "{svg}");
        assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"), "{svg}");
    }

    #[test]
    fn what_is_no_trace() {
        for text in ["{}", "{\"traceEvents\": [{\"ph\": \"X\"}]}"] {
            assert!(svg("m", Disk::Cold, &serde_json::from_str(text).unwrap()).is_err());
        }
    }

    #[test]
    fn neighbours_become_one() {
        let bar = |name: &str, start, end| Bar {
            name: name.into(),
            start,
            end,
        };
        let bars = [
            bar("a", 0.0, 1.0),
            bar("a", 1.1, 2.0),
            bar("b", 2.0, 3.0),
            bar("b", 9.0, 9.5),
        ];
        let same = merged(&bars, 0.5, |a, b| a.name == b.name);
        assert_eq!(
            same,
            [bar("a", 0.0, 2.0), bar("b", 2.0, 3.0), bar("b", 9.0, 9.5)]
        );
        assert_eq!(merged(&bars, 0.5, |_, _| true).len(), 2);
    }
}
