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
    Ok(file.metadata().get_u64(KEY_COUNT)?.unwrap_or(1).max(1))
}

/// Checks that files are the shards of one model, complete and in order. Messages count shards from 1.
pub fn check_shards(shards: &[Gguf<'_>]) -> Result<(), Error> {
    let given = shards.len();
    let first = shards.first().ok_or(Error::NoShards)?;
    if given == 1 && first.metadata().get(KEY_COUNT).is_none() {
        return Ok(());
    }
    let tensor_count = first.metadata().require_u64(KEY_TENSORS_COUNT)?;
    let mut position_of_no = HashMap::new();
    let mut out_of_order = None;
    for (i, file) in shards.iter().enumerate() {
        let (metadata, shard) = (file.metadata(), i + 1);
        let found = metadata
            .get_u64(KEY_COUNT)?
            .ok_or(Error::NotAShard { shard, given })?;
        if found != given as u64 {
            return Err(Error::ShardCount {
                shard,
                given,
                found,
            });
        }
        let no = metadata.require_u64(KEY_NO)?;
        if let Some(first) = position_of_no.insert(no, shard) {
            return Err(Error::ShardRepeated {
                first,
                second: shard,
                no,
            });
        }
        if no != i as u64 {
            out_of_order.get_or_insert(Error::ShardOrder {
                shard,
                given,
                found: no,
            });
        }
        let found = metadata.require_u64(KEY_TENSORS_COUNT)?;
        if found != tensor_count {
            return Err(Error::ShardTensorCount {
                shard,
                given,
                expected: tensor_count,
                found,
            });
        }
    }
    // Kept until here, so that a repeated shard is called that and not one out of order.
    if let Some(error) = out_of_order {
        return Err(error);
    }
    let found: usize = shards.iter().map(|file| file.tensors().len()).sum();
    if found as u64 != tensor_count {
        return Err(Error::ShardTensorTotal {
            given,
            expected: tensor_count,
            found: found as u64,
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
