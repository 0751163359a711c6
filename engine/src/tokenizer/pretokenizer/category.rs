//! Sets of characters by Unicode general category, as the patterns of pre-tokenizers name them.
//!
//! `\p{L}` and its like are not in the standard library (`char::is_alphabetic` is another property), so a table of the
//! general categories stands in [`category_table`](super::category_table). It is unpacked once into one byte per character
//! for the planes that text is made of.

use super::category_table::RUNS;
use std::sync::LazyLock;

/// A set of categories; a single category is a set of one.
pub(super) type Set = u16;

// Bit 0: control, format, private-use and unassigned characters, `\p{C}` without the white space in it.
/// White space except `\r` and `\n`.
pub(super) const SPACE: Set = 1 << 1;
/// `\r` and `\n`.
pub(super) const NEWLINE: Set = 1 << 2;
pub(super) const LU: Set = 1 << 3;
pub(super) const LL: Set = 1 << 4;
pub(super) const LT: Set = 1 << 5;
pub(super) const LM: Set = 1 << 6;
pub(super) const LO: Set = 1 << 7;
pub(super) const M: Set = 1 << 8;
pub(super) const N: Set = 1 << 9;
pub(super) const P: Set = 1 << 10;
pub(super) const S: Set = 1 << 11;

/// `\p{L}`
pub(super) const L: Set = LU | LL | LT | LM | LO;
/// `\s`
pub(super) const WHITE: Set = SPACE | NEWLINE;

/// The characters that are in none of the given categories.
pub(super) const fn not(set: Set) -> Set {
    !set
}

/// Characters below this have a byte each; above it are ideographs, tags and private use.
const UNPACKED: usize = 0x2_0000;

static CATEGORIES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut categories = vec![0; UNPACKED];
    for (i, &run) in RUNS.iter().enumerate() {
        let start = (run >> 4) as usize;
        let end = RUNS
            .get(i + 1)
            .map_or(UNPACKED, |next| (next >> 4) as usize);
        if start >= UNPACKED {
            break;
        }
        categories[start..end.min(UNPACKED)].fill((run & 15) as u8);
    }
    categories
});

/// The category of a character.
pub(super) fn category(c: char) -> Set {
    let index = match CATEGORIES.get(c as usize) {
        Some(&index) => index.into(),
        None => {
            let after = RUNS.partition_point(|run| run >> 4 <= c as u32);
            RUNS[after - 1] & 15
        }
    };
    1 << index
}

/// The bytes of the longest start of `text` that consists of characters of `set`.
pub(super) fn run(text: &str, set: Set) -> usize {
    run_while(text, |c| category(c) & set != 0)
}

/// As [`run`], of at most `max_chars` characters.
pub(super) fn run_up_to(text: &str, set: Set, max_chars: usize) -> usize {
    let mut left = max_chars;
    run_while(text, |c| {
        let more = left > 0 && category(c) & set != 0;
        left -= usize::from(more);
        more
    })
}

/// The bytes of the longest start of `text` whose characters all pass.
pub(super) fn run_while(text: &str, mut passes: impl FnMut(char) -> bool) -> usize {
    text.char_indices()
        .find(|&(_, c)| !passes(c))
        .map_or(text.len(), |(at, _)| at)
}

/// The bytes of the first character if it is of `set`, else 0.
pub(super) fn one(text: &str, set: Set) -> usize {
    match text.chars().next() {
        Some(c) if category(c) & set != 0 => c.len_utf8(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fancy_regex::Regex;
    use std::fmt::Write;

    #[test]
    fn table_has_the_categories_of_unicode() {
        let classes = [
            (1, r"[\p{C}--\s]"),
            (SPACE, r"[\s--\r\n]"),
            (NEWLINE, r"[\r\n]"),
            (LU, r"\p{Lu}"),
            (LL, r"\p{Ll}"),
            (LT, r"\p{Lt}"),
            (LM, r"\p{Lm}"),
            (LO, r"\p{Lo}"),
            (M, r"\p{M}"),
            (N, r"\p{N}"),
            (P, r"\p{P}"),
            (S, r"\p{S}"),
        ];
        let every_char: String = ('\0'..=char::MAX).collect();
        let mut expected = vec![u32::MAX; char::MAX as usize + 1];
        for (set, class) in classes {
            for found in Regex::new(class).unwrap().find_iter(&every_char) {
                let c = found.unwrap().as_str().chars().next().unwrap();
                expected[c as usize] = set.trailing_zeros();
            }
        }
        let mut runs = Vec::new();
        let mut previous = u32::MAX;
        for c in '\0'..=char::MAX {
            let index = expected[c as usize];
            assert_ne!(index, u32::MAX, "{c:?} is in no category");
            if index != previous {
                runs.push((c as u32) << 4 | index);
                previous = index;
            }
        }
        if runs != RUNS {
            let mut table = String::new();
            for line in runs.chunks(8) {
                for run in line {
                    write!(table, "0x{run:06x}, ").unwrap();
                }
                table.push('\n');
            }
            panic!("the table should be\n{table}");
        }
        for c in ('\0'..=char::MAX).step_by(7) {
            assert_eq!(category(c), 1 << expected[c as usize], "{c:?}");
        }
    }
}
