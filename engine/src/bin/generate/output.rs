//! The text on stdout.

use firstlight::text;
use std::io::{IsTerminal, Result, StdoutLock, Write, stdout};

/// Where generated text goes, piece by piece.
pub struct Output {
    out: StdoutLock<'static>,
    is_terminal: bool,
    /// Whether something stands on the last line.
    in_line: bool,
}

impl Output {
    /// On stdout.
    pub fn new() -> Output {
        Output {
            is_terminal: stdout().is_terminal(),
            out: stdout().lock(),
            in_line: false,
        }
    }

    /// Whether somebody looks at it.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes text as it is; on a terminal, without what would control it.
    pub fn write(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.in_line = !text.ends_with('\n');
        if self.is_terminal {
            self.out.write_all(text::for_terminal(text).as_bytes())?;
        } else {
            self.out.write_all(text.as_bytes())?;
        }
        self.out.flush()
    }

    /// Ends the last line, if something stands there.
    pub fn end_line(&mut self) -> Result<()> {
        match self.in_line {
            true => self.write("\n"),
            false => Ok(()),
        }
    }
}
