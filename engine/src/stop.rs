//! Stop strings: text is held back as long as it could be the beginning of
//! one.

/// Watches a stream of text for strings that end it.
pub struct StopStrings {
    strings: Vec<String>,
    held: String,
}

/// What may be shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Released {
    /// The text.
    pub text: String,
    /// Whether a stop string followed it; nothing comes after.
    pub stopped: bool,
}

impl StopStrings {
    /// Empty strings stop nothing.
    pub fn new(strings: &[String]) -> StopStrings {
        let strings = strings
            .iter()
            .filter(|stop| !stop.is_empty())
            .cloned()
            .collect();
        StopStrings {
            strings,
            held: String::new(),
        }
    }

    /// Takes more of the stream.
    pub fn push(&mut self, text: &str) -> Released {
        self.held.push_str(text);
        if let Some(at) = self
            .strings
            .iter()
            .filter_map(|stop| self.held.find(stop))
            .min()
        {
            self.held.truncate(at);
            return Released {
                text: std::mem::take(&mut self.held),
                stopped: true,
            };
        }
        let keep = self
            .strings
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        Released {
            text: std::mem::replace(&mut self.held, rest),
            stopped: false,
        }
    }

    /// The stream has ended: what was held back.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Length of the longest end of `text` that `stop` begins with.
fn overlap(text: &str, stop: &str) -> usize {
    (1..stop.len().min(text.len() + 1))
        .rev()
        .find(|&len| stop.is_char_boundary(len) && text.ends_with(&stop[..len]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stops: &[&str], pieces: &[&str], expected: &str, expected_stop: bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut stop = StopStrings::new(&stops);
        let mut shown = String::new();
        for piece in pieces {
            let released = stop.push(piece);
            shown += &released.text;
            if released.stopped {
                assert!(expected_stop, "stopped after {shown:?}");
                assert_eq!(shown, expected);
                return;
            }
        }
        shown += &stop.finish();
        assert_eq!((shown.as_str(), false), (expected, expected_stop));
    }

    #[test]
    fn stops_wherever_the_pieces_are_cut() {
        check(&[], &["a", "b"], "ab", false);
        check(&[""], &["a", "b"], "ab", false);
        check(&["END"], &["one E", "N", "D two"], "one ", true);
        check(&["END"], &["one EN", "X two E"], "one ENX two E", false);
        check(&["END", "one"], &["one E"], "", true);
        check(&["\n\n"], &["a\n", "b\n", "\nc"], "a\nb", true);
        check(&["aab"], &["a", "a", "a", "b"], "a", true);
        check(&["für"], &["f", "ü", "x"], "füx", false);
    }
}
