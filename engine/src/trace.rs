//! A timeline of reading, waiting, layers and operations.
//!
//! Written in the Chrome trace-event format (complete events, "ph": "X"), which
//! Perfetto and other viewers open. Source: "Trace Event Format", the Chromium
//! project.

use kernels::team::Observer;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Track {
    /// The model as a whole: layers, waiting.
    Model,
    /// The loader.
    Loader,
    /// What uploads weights to a GPU.
    Upload,
    /// A computing thread.
    Compute(usize),
}

impl Track {
    fn id(self) -> usize {
        match self {
            Track::Model => 1,
            Track::Loader => 2,
            Track::Upload => 3,
            Track::Compute(thread) => 10 + thread,
        }
    }

    fn name(self) -> String {
        match self {
            Track::Model => "model".to_owned(),
            Track::Loader => "loader".to_owned(),
            Track::Upload => "upload".to_owned(),
            Track::Compute(thread) => format!("compute {thread}"),
        }
    }
}

#[derive(Debug)]
struct Event {
    track: Track,
    label: &'static str,
    /// Which of several, such as the layer.
    index: Option<usize>,
    start: Instant,
    end: Instant,
}

/// A timeline being recorded.
#[derive(Debug)]
pub struct Trace {
    begun: Instant,
    events: Mutex<Vec<Event>>,
}

impl Trace {
    /// Time runs from `begun`.
    pub fn new(begun: Instant) -> Trace {
        Trace {
            begun,
            events: Mutex::new(Vec::new()),
        }
    }

    /// Records what took from `start` until now.
    pub fn record(&self, track: Track, label: &'static str, index: Option<usize>, start: Instant) {
        self.push(Event {
            track,
            label,
            index,
            start,
            end: Instant::now(),
        });
    }

    fn push(&self, event: Event) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
    }

    /// Writes the timeline as JSON.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let micros =
            |time: Instant| time.saturating_duration_since(self.begun).as_nanos() as f64 / 1e3;
        let mut tracks: Vec<Track> = events.iter().map(|event| event.track).collect();
        tracks.sort_unstable();
        tracks.dedup();
        write!(out, "{{\"traceEvents\":[")?;
        for track in &tracks {
            let (id, name) = (track.id(), track.name());
            write!(
                out,
                "{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":{id},\"args\":{{\"name\":\"{name}\"}}}},"
            )?;
            writeln!(
                out,
                "{{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":1,\"tid\":{id},\"args\":{{\"sort_index\":{id}}}}},"
            )?;
        }
        for (i, event) in events.iter().enumerate() {
            let index = event
                .index
                .map_or(String::new(), |index| format!(" {index}"));
            let (start, end) = (micros(event.start), micros(event.end));
            write!(
                out,
                "{{\"ph\":\"X\",\"name\":\"{}{index}\",\"pid\":1,\"tid\":{},\"ts\":{start:.3},\"dur\":{:.3}}}",
                event.label,
                event.track.id(),
                end - start,
            )?;
            writeln!(out, "{}", if i + 1 < events.len() { "," } else { "" })?;
        }
        writeln!(out, "]}}")
    }
}

impl Observer for Trace {
    fn span(&self, label: &'static str, thread: usize, start: Instant, end: Instant) {
        self.push(Event {
            track: Track::Compute(thread),
            label,
            index: None,
            start,
            end,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_json_that_names_every_event() {
        let begun = Instant::now();
        let trace = Trace::new(begun);
        trace.record(Track::Loader, "read layer", Some(3), begun);
        trace.span("matmul", 1, begun, Instant::now());
        let mut out = Vec::new();
        trace.write(&mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let events = json["traceEvents"].as_array().unwrap();
        let names: Vec<_> = events
            .iter()
            .filter(|e| e["ph"] == "X")
            .map(|e| e["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["read layer 3", "matmul"]);
        assert_eq!(events.iter().filter(|e| e["ph"] == "M").count(), 4);
    }
}
