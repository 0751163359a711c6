//! From a path to mapped, parsed files.

use crate::Error;
use crate::loading::{LOOK_AGAIN, LoadError, LoadOptions};
use crate::mapping::Mapping;
use crate::tensors::Tensors;
use gguf::{Gguf, Parsed};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// How much of a growing file is read at first to find its header.
const HEADER_STEP_BYTES: u64 = 1 << 20;

/// Maps a file, or all files of a split model if it is the first of them.
pub fn map(path: &Path, options: &LoadOptions) -> Result<Vec<Arc<Mapping>>, Error> {
    if options.growing {
        return Ok(vec![Arc::new(map_growing(path, options)?)]);
    }
    let first = Arc::new(Mapping::open(path)?);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let Some(names) = gguf::split::shard_names(name) else {
        return Ok(vec![first]);
    };
    names
        .iter()
        .map(|shard| match shard == name {
            true => Ok(first.clone()),
            false => Ok(Arc::new(Mapping::open(&path.with_file_name(shard))?)),
        })
        .collect()
}

/// Parses the mapped files and checks that they belong together.
pub fn parse(mappings: &[Arc<Mapping>]) -> Result<Vec<(Arc<Mapping>, Gguf<'_>)>, Error> {
    let failed = |path: &Path, reason| Error::Format {
        path: path.to_owned(),
        reason,
    };
    let files = mappings
        .iter()
        .map(|mapping| Gguf::parse(mapping).map_err(|reason| failed(mapping.path(), reason)))
        .collect::<Result<Vec<_>, _>>()?;
    gguf::split::check_shards(&files).map_err(|reason| failed(mappings[0].path(), reason))?;
    Ok(mappings.iter().cloned().zip(files).collect())
}

/// Waits until the header of a growing file is complete, and maps the file at
/// the length that the header says it will have.
fn map_growing(path: &Path, options: &LoadOptions) -> Result<Mapping, Error> {
    let failed = |reason| Error::Open {
        path: path.to_owned(),
        reason,
    };
    // Checks that it is a regular file.
    let begun = Mapping::open(path)?;
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let mut since = Instant::now();
    loop {
        // Twice as much each time, so that little more than the header is read.
        let step = HEADER_STEP_BYTES.max(bytes.len() as u64);
        let read = file.by_ref().take(step).read_to_end(&mut bytes);
        let read = read.map_err(failed)? as u64;
        if read > 0 {
            since = Instant::now();
        }
        // The final length is not known yet: any will do.
        let parsed = Gguf::parse_prefix(&bytes, u64::MAX / 2).map_err(|reason| Error::Format {
            path: path.to_owned(),
            reason,
        })?;
        let expected = match parsed {
            Parsed::Complete(file) => {
                let end = file.tensors().iter().map(|tensor| tensor.range().end).max();
                let len = end.unwrap_or(0).max(file.data_offset());
                return Mapping::open_growing(path, usize::try_from(len).unwrap_or(usize::MAX));
            }
            Parsed::NeedMore { at_least } => at_least,
        };
        if read == step {
            continue;
        }
        let found = bytes.len() as u64;
        if begun.is_deleted() {
            return Err(LoadError::Deleted {
                path: path.to_owned(),
                expected,
                found,
            }
            .into());
        }
        if since.elapsed() > options.patience {
            let patience = options.patience;
            return Err(LoadError::Stalled {
                path: path.to_owned(),
                expected,
                found,
                patience,
            }
            .into());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Waits until the tensors that opening a model reads are there: the small ones
/// that belong to no layer.
pub fn wait_for_small_tensors(tensors: &Tensors, options: &LoadOptions) -> Result<(), Error> {
    for (name, tensor) in tensors.iter() {
        if name == "rope_freqs.weight" {
            crate::loading::wait_for_bytes(
                tensor.bytes.mapping(),
                tensor.bytes.range().end,
                options,
                &|| false,
            )?;
        }
    }
    Ok(())
}
