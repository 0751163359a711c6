//! Text from outside: read whole, but neither without end nor without being
//! text; and shown without giving it power over a terminal.

use crate::Error;
use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::path::Path;

/// No context holds a text of this size: what is longer is not meant, like
/// `/dev/zero`.
const LIMIT_BYTES: u64 = 1 << 28;

/// Reads all text of `source`, which messages call `name`.
///
/// # Errors
///
/// If it cannot be read, is no UTF-8, or is longer than 256 MiB.
pub fn read(name: &str, source: impl Read) -> Result<String, Error> {
    read_limited(name, source, LIMIT_BYTES)
}

/// Reads a line, without its end; `None` if nothing is left.
///
/// # Errors
///
/// As [`read`].
pub fn read_line(name: &str, source: &mut impl BufRead) -> Result<Option<String>, Error> {
    let mut line = Vec::new();
    let mut limited = source.take(LIMIT_BYTES + 1);
    let read = limited.read_until(b'\n', &mut line);
    read.map_err(|reason| Error::Unreadable {
        name: name.to_owned(),
        reason,
    })?;
    if line.is_empty() {
        return Ok(None);
    }
    let line = read_limited(name, &line[..], LIMIT_BYTES)?;
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
}

/// As [`read`], from a file.
///
/// # Errors
///
/// As [`read`].
pub fn read_file(path: &Path) -> Result<String, Error> {
    let name = crate::Printable(path).to_string();
    match std::fs::File::open(path) {
        Ok(file) => read(&name, file),
        Err(reason) => Err(Error::Unreadable { name, reason }),
    }
}

fn read_limited(name: &str, source: impl Read, limit_bytes: u64) -> Result<String, Error> {
    let name = || name.to_owned();
    let mut bytes = Vec::new();
    source
        .take(limit_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|reason| Error::Unreadable {
            name: name(),
            reason,
        })?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Error::TextTooLong {
            name: name(),
            limit_bytes,
        });
    }
    String::from_utf8(bytes).map_err(|error| Error::NotText {
        name: name(),
        at: error.utf8_error().valid_up_to(),
    })
}

/// Text as it may be shown on a terminal: control characters but the end of a
/// line and the tabulator are written as escapes, so that no model can clear a
/// screen, retitle a window or type.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    let controls = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(controls) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match controls(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_controls_a_terminal() {
        let rows = [
            ("für 🦊\n\tא\u{200d}", "für 🦊\n\tא\u{200d}"),
            ("\x1b[2Jhi\x07", "\\u{1b}[2Jhi\\u{7}"),
            (
                "a\rb\x08\x7f\u{9b}31m\0",
                "a\\rb\\u{8}\\u{7f}\\u{9b}31m\\u{0}",
            ),
            ("", ""),
        ];
        for (text, shown) in rows {
            assert_eq!(for_terminal(text), shown);
        }
    }

    #[track_caller]
    fn check(source: impl Read, expected: Result<&str, &str>) {
        let found = read_limited("stdin", source, 8).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn text_ends_and_is_text() {
        check(&b""[..], Ok(""));
        check("für".as_bytes(), Ok("für"));
        check(&b"12345678"[..], Ok("12345678"));
        let long = "stdin: expected at most 8 bytes of text, found more";
        check(&b"123456789"[..], Err(long));
        check(std::io::repeat(0), Err(long));
        let invalid = "stdin: expected UTF-8 text, found an invalid byte at 2";
        check(&b"ab\xffcd"[..], Err(invalid));
    }

    #[test]
    fn lines_end_and_are_text() {
        let mut source = &b"one\r\n\ntwo\xff\nthree"[..];
        let mut line = || match read_line("stdin", &mut source) {
            Ok(line) => line,
            Err(error) => Some(error.to_string()),
        };
        assert_eq!(line().as_deref(), Some("one"));
        assert_eq!(line().as_deref(), Some(""));
        let invalid = "stdin: expected UTF-8 text, found an invalid byte at 3";
        assert_eq!(line().as_deref(), Some(invalid));
        assert_eq!(line().as_deref(), Some("three"));
        assert_eq!(line(), None);
    }

    #[test]
    fn files_that_cannot_be_read() {
        let error = read_file(Path::new("no\x1bsuch/file")).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("no\\u{1b}such/file: cannot be read: "),
            "{message}"
        );
    }
}
