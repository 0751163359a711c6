//! Models in several files: `name-00001-of-00003.gguf` and so on.
//!
//! Every shard is a GGUF file of its own, with the keys `split.no` (from 0), `split.count` and `split.tensors.count` (over
//! all shards). The first one has the model's metadata. Finding and opening files is the caller's business.

use crate::error::Error;
use crate::file::Gguf;
use std::collections::HashMap;

/// Number of this shard, from 0.
pub const KEY_NO: &str = "split.no";
/// How many shards the model has.
pub const KEY_COUNT: &str = "split.count";
/// How many tensors all shards have together.
pub const KEY_TENSORS_COUNT: &str = "split.tensors.count";

const DIGITS: usize = 5;

/// The file names of all shards of a model, in order, given the name of any of them; `None` if the name is not that of a
/// shard.
///
/// ```
/// let names = gguf::split::shard_names("m-00001-of-00002.gguf").unwrap();
/// assert_eq!(names, ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
/// ```
pub fn shard_names(name: &str) -> Option<Vec<String>> {
    let (rest, count) = split_number(name.strip_suffix(".gguf")?)?;
    let (rest, no) = split_number(rest.strip_suffix("-of-")?)?;
    let stem = rest.strip_suffix('-')?;
    if no == 0 || no > count {
        return None;
    }
    Some((1..=count).map(|no| shard_name(stem, no, count)).collect())
}

/// The file name of shard `no` (from 1) of `count`.
pub fn shard_name(stem: &str, no: usize, count: usize) -> String {
    format!("{stem}-{no:0DIGITS$}-of-{count:0DIGITS$}.gguf")
}

/// Takes the five digits off the end of a name.
fn split_number(name: &str) -> Option<(&str, usize)> {
    let (rest, digits) = name.split_at_checked(name.len().checked_sub(DIGITS)?)?;
    let number = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())??;
    Some((rest, number))
}

/// How many shards the model has that this file belongs to: 1 for a file that is not split.
pub fn shard_count(file: &Gguf<'_>) -> Result<u64, Error> {
    // Merging shards leaves a count of 0 behind.
    Ok(file.metadata().get_u64(KEY_COUNT)?.unwrap_or(0).max(1))
}

/// Checks that files are the shards of one model, complete and in order. Messages count shards from 1.
pub fn check_shards(shards: &[Gguf<'_>]) -> Result<(), Error> {
    let given = shards.len();
    let mut numbers = Vec::with_capacity(given);
    for (i, file) in shards.iter().enumerate() {
        let shard = i + 1;
        let in_shard = |error| Error::InShard {
            shard,
            given,
            error: Box::new(error),
        };
        numbers.push(Numbers::read(file).map_err(in_shard)?);
    }
    match numbers.as_slice() {
        [] => return Err(Error::NoShards),
        [Numbers { count: 0, .. }] => return Ok(()),
        _ => check_numbers(&numbers)?,
    }
    let (expected, found) = (
        numbers[0].tensors,
        shards.iter().map(|file| file.tensors().len() as u64).sum(),
    );
    if found != expected {
        return Err(Error::ShardTensorTotal {
            given,
            expected,
            found,
        });
    }
    let mut shard_of = HashMap::new();
    for (i, file) in shards.iter().enumerate() {
        for tensor in file.tensors() {
            if let Some(first) = shard_of.insert(tensor.name, i + 1) {
                return Err(Error::ShardDuplicateTensor {
                    tensor: tensor.name.into(),
                    first,
                    second: i + 1,
                });
            }
        }
    }
    Ok(())
}

/// What a file says about its place among the shards; all zero if it is a complete model.
struct Numbers {
    no: u64,
    count: u64,
    tensors: u64,
}

impl Numbers {
    fn read(file: &Gguf<'_>) -> Result<Self, Error> {
        let metadata = file.metadata();
        match metadata.get_u64(KEY_COUNT)? {
            None | Some(0) => Ok(Self {
                no: 0,
                count: 0,
                tensors: 0,
            }),
            Some(count) => Ok(Self {
                no: metadata.require_u64(KEY_NO)?,
                count,
                tensors: metadata.require_u64(KEY_TENSORS_COUNT)?,
            }),
        }
    }
}

fn check_numbers(shards: &[Numbers]) -> Result<(), Error> {
    let given = shards.len();
    for (i, &Numbers { count, tensors, .. }) in shards.iter().enumerate() {
        let shard = i + 1;
        if count == 0 {
            return Err(Error::NotAShard { shard, given });
        }
        if count != given as u64 {
            return Err(Error::ShardCount {
                shard,
                given,
                found: count,
            });
        }
        if tensors != shards[0].tensors {
            return Err(Error::ShardTensorCount {
                shard,
                given,
                expected: shards[0].tensors,
                found: tensors,
            });
        }
    }
    // Before the order, since a repeated shard stands out of order too.
    let mut shard_of = HashMap::new();
    for (i, shard) in shards.iter().enumerate() {
        if let Some(first) = shard_of.insert(shard.no, i + 1) {
            return Err(Error::ShardRepeated {
                first,
                second: i + 1,
                no: shard.no,
            });
        }
    }
    match shards
        .iter()
        .enumerate()
        .find(|(i, shard)| shard.no != *i as u64)
    {
        Some((i, shard)) => Err(Error::ShardOrder {
            shard: i + 1,
            given,
            found: shard.no,
        }),
        None => Ok(()),
    }
}
