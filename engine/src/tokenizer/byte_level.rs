//! The alphabet of byte-level vocabularies: every byte as one printable character.
//!
//! Bytes that are printable in Latin-1 stand for themselves; the others, in order, for U+0100 onwards. A space is `Ġ`, a line
//! end `Ċ`. Source: `bytes_to_unicode` of GPT-2's encoder.

const CHARS: [char; 256] = chars();
const BYTES: [Option<u8>; CHARS_END] = bytes();

/// One past the last character of the alphabet.
const CHARS_END: usize = 0x100 + 68;

const fn chars() -> [char; 256] {
    let mut chars = ['\0'; 256];
    let mut next = 0x100u32;
    let mut byte = 0;
    while byte < 256 {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        chars[byte] = if printable {
            byte as u8 as char
        } else {
            next += 1;
            char::from_u32(next - 1).expect("far below the surrogates")
        };
        byte += 1;
    }
    assert!(next as usize == CHARS_END);
    chars
}

const fn bytes() -> [Option<u8>; CHARS_END] {
    let mut bytes = [None; CHARS_END];
    let mut byte = 0;
    while byte < 256 {
        bytes[CHARS[byte] as usize] = Some(byte as u8);
        byte += 1;
    }
    bytes
}

/// The character of a byte.
pub(super) fn char_of(byte: u8) -> char {
    CHARS[usize::from(byte)]
}

/// Appends the bytes that a token's text stands for. A text with a character outside of the alphabet stands for itself.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if decode_alphabet(text, out).is_none() {
        out.truncate(start);
        out.extend_from_slice(text);
    }
}

fn decode_alphabet(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    for c in std::str::from_utf8(text).ok()?.chars() {
        let byte = *BYTES.get(c as usize)?;
        out.push(byte?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_characters() {
        for (byte, c) in [
            (b' ', 'Ġ'),
            (b'\n', 'Ċ'),
            (0, 'Ā'),
            (b'!', '!'),
            (0x7f, 'ġ'),
            (0xad, 'Ń'),
            (0xff, 'ÿ'),
        ] {
            assert_eq!(char_of(byte), c, "{byte:#x}");
        }
    }

    #[test]
    fn every_byte_returns() {
        for byte in 0..=255 {
            check(&char_of(byte).to_string(), &[byte]);
        }
    }

    #[test]
    fn other_text_stands_for_itself() {
        for outside in [" ", "\n", "\u{ad}", "\u{144}", "中", "aĠ "] {
            check(outside, outside.as_bytes());
        }
    }

    #[track_caller]
    fn check(text: &str, bytes: &[u8]) {
        let mut out = vec![7];
        decode(text.as_bytes(), &mut out);
        assert_eq!(out, [&[7], bytes].concat(), "{text:?}");
    }
}
