//! The texts of a vocabulary, one after the other.
//!
//! Building a tokenizer of some 10^5 tokens stands between opening a file and its first token. Nearly all texts have at most
//! 16 bytes. Those are loaded as one number, so that they are copied, compared, joined and hashed without a branch on their
//! length, which no processor can foresee:
//!
//! ```text
//! bytes    Ġ  t  h  e │ Ġ  a │ i  n  g │ …        16 zeros at the end, so that every text can be loaded
//! ends                4      6         9
//! ```

use super::error::TokenizerError;

#[derive(Debug)]
pub(super) struct Texts {
    /// All texts and [`Short::MAX_BYTES`] zeros.
    bytes: Vec<u8>,
    /// Where the text of each token ends.
    ends: Vec<u32>,
    /// Bytes of the longest text.
    longest: usize,
}

impl Texts {
    /// Copies texts, each given with what lies in memory from its first byte on.
    pub fn read<'a>(
        tokens: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, TokenizerError> {
        let found = tokens.len();
        let size_error = || TokenizerError::VocabSize { found };
        if found == 0 || found >= u32::MAX as usize {
            return Err(size_error());
        }
        let mut bytes = Vec::with_capacity(8 * found + Short::MAX_BYTES);
        let mut ends = Vec::with_capacity(found);
        let mut longest = 0;
        for (token, beyond) in tokens {
            let end = bytes.len() + token.len();
            match beyond.first_chunk::<{ Short::MAX_BYTES }>() {
                Some(chunk) if token.len() <= Short::MAX_BYTES => {
                    bytes.extend_from_slice(chunk);
                    bytes.truncate(end);
                }
                _ => bytes.extend_from_slice(token),
            }
            ends.push(u32::try_from(end).map_err(|_| size_error())?);
            longest = longest.max(token.len());
        }
        bytes.extend_from_slice(&[0; Short::MAX_BYTES]);
        Ok(Self {
            bytes,
            ends,
            longest,
        })
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the longest text.
    pub fn longest(&self) -> usize {
        self.longest
    }

    #[inline]
    pub fn get(&self, id: u32) -> &[u8] {
        let (start, end) = self.range(id);
        &self.bytes[start..end]
    }

    /// The text, if it is short.
    #[inline]
    pub fn short(&self, id: u32) -> Option<Short> {
        let (start, end) = self.range(id);
        Short::load(&self.bytes[start..], end - start)
    }

    #[inline]
    fn range(&self, id: u32) -> (usize, usize) {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        (start as usize, self.ends[id] as usize)
    }
}

/// A text of at most 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    /// Its bytes, the first lowest, then zeros.
    pub word: u128,
    pub len: usize,
}

impl Short {
    pub const MAX_BYTES: usize = 16;

    /// The first `len` of `bytes`, unless they are more than fit.
    #[inline]
    pub fn load(bytes: &[u8], len: usize) -> Option<Short> {
        if len > Self::MAX_BYTES {
            return None;
        }
        let word = match bytes.first_chunk() {
            Some(chunk) => u128::from_le_bytes(*chunk),
            None => {
                let mut chunk = [0; Self::MAX_BYTES];
                chunk[..bytes.len()].copy_from_slice(bytes);
                u128::from_le_bytes(chunk)
            }
        };
        let word = word & first(len);
        Some(Short { word, len })
    }

    /// What stands before and behind the first space, joined, and how many bytes stand before it. `None` if there is no space
    /// or nothing on one of its sides.
    #[inline]
    pub fn joined_at_space(self) -> Option<(Short, usize)> {
        const ONES: u128 = u128::MAX / 0xff;
        // The lowest byte that is zero sets its highest bit, and none below it does.
        let differs = self.word ^ (ONES * 0x20);
        let zeros = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        let at = zeros.trailing_zeros() as usize / 8;
        if at == 0 || at + 1 >= self.len {
            return None;
        }
        let (left, right) = (self.word & first(at), self.word >> (8 * (at + 1)));
        let joined = Short {
            word: left | right << (8 * at),
            len: self.len - 1,
        };
        Some((joined, at))
    }
}

/// The lowest `bytes` of 16 bytes.
#[inline]
fn first(bytes: usize) -> u128 {
    FIRST[bytes]
}

/// By number of bytes: shifting so far would take several instructions.
static FIRST: [u128; Short::MAX_BYTES + 1] = {
    let mut masks = [u128::MAX; Short::MAX_BYTES + 1];
    let mut bytes = 0;
    while bytes < Short::MAX_BYTES {
        masks[bytes] = (1 << (8 * bytes)) - 1;
        bytes += 1;
    }
    masks
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts as they lie in a file, with something behind each but the last.
    fn texts(texts: &[&str]) -> Texts {
        let all = texts.concat();
        let mut start = 0;
        let tokens = texts.iter().map(|text| {
            let beyond = &all.as_bytes()[start..];
            start += text.len();
            (text.as_bytes(), beyond)
        });
        Texts::read(tokens.collect::<Vec<_>>().into_iter()).unwrap()
    }

    #[test]
    fn texts_of_all_lengths_return() {
        let long = "abcdefghijklmnopqrstuvwxyz";
        let all: Vec<&str> = (0..=26)
            .chain((0..=26).rev())
            .map(|len| &long[..len])
            .collect();
        let texts = texts(&all);
        assert_eq!((texts.len(), texts.longest()), (54, 26));
        for (id, text) in all.iter().enumerate() {
            assert_eq!(texts.get(id as u32), text.as_bytes());
            let mut bytes = [0; 16];
            let expected = (text.len() <= 16).then(|| {
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Short {
                    word: u128::from_le_bytes(bytes),
                    len: text.len(),
                }
            });
            assert_eq!(texts.short(id as u32), expected, "{text:?}");
        }
    }

    #[test]
    fn joins_at_the_first_space() {
        let rows = [
            ("a b", Some(("ab", 1))),
            ("ab c d", Some(("abc d", 2))),
            ("abcdefg hijklmno", Some(("abcdefghijklmno", 7))),
            ("a bcdefghijklmno", Some(("abcdefghijklmno", 1))),
            ("abcdefghijklmn o", Some(("abcdefghijklmno", 14))),
            ("a \u{1}!\u{a0}", Some(("a\u{1}!\u{a0}", 1))),
            ("a  ", Some(("a ", 1))),
            ("", None),
            (" ", None),
            ("a", None),
            ("a ", None),
            (" a", None),
            ("abcdefghijklmno ", None),
            ("abcdefghijklmnop", None),
        ];
        for (text, expected) in rows {
            let short = |text: &str| Short::load(text.as_bytes(), text.len()).unwrap();
            let expected = expected.map(|(joined, at)| (short(joined), at));
            assert_eq!(short(text).joined_at_space(), expected, "{text:?}");
        }
    }
}
