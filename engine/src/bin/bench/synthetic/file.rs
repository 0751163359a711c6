//! Writing a synthetic model, and seeing that it goes away again.

use super::{Synthetic, blocks};
use crate::progress;
use firstlight::Printable;
use gguf::TensorType;
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Random blocks of each type; tensors repeat them, each from another place on.
const POOL_BYTES: usize = 4 << 20;

/// A synthetic model's file; unless it is to be kept, it is deleted when this
/// value is dropped.
pub struct ModelFile {
    path: PathBuf,
    /// Where the file lies, if its name is still to be removed.
    named: Option<PathBuf>,
    /// Keeps a file without a name alive.
    _file: File,
}

impl ModelFile {
    /// Writes the model into `keep`, or into the system's temporary folder.
    pub fn write(model: Synthetic, keep: Option<&Path>) -> Result<ModelFile, Box<dyn Error>> {
        let name = format!(
            "firstlight-{}-{}-{}.gguf",
            model.shape.name,
            model.recipe.name,
            std::process::id()
        );
        let target = match keep {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(name),
        };
        let failed = |error| format!("{}: cannot be written: {error}", Printable(&target));
        let layout = model.header().finish_header();
        check_space(&target, layout.file_len)?;
        let file = File::create_new(&target).map_err(failed)?;
        let mut written = ModelFile {
            path: target.clone(),
            named: Some(target.clone()),
            _file: file.try_clone().map_err(failed)?,
        };
        if keep.is_none() {
            written.unname();
        }
        write_to(file, model, &layout).map_err(failed)?;
        if keep.is_some() {
            written.named = None;
        }
        Ok(written)
    }

    /// Where the file can be opened, as long as this value lives.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the file's name away where it can be opened without one: then
    /// nothing is left behind, however this process ends.
    fn unname(&mut self) {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let descriptor = self._file.as_raw_fd();
            let path = format!("/proc/{}/fd/{descriptor}", std::process::id());
            if Path::new(&path).exists() && std::fs::remove_file(&self.path).is_ok() {
                self.path = path.into();
                self.named = None;
            }
        }
    }
}

impl Drop for ModelFile {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            // Nothing can be done about a failure, and nobody waits for it.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn write_to(mut file: File, model: Synthetic, layout: &gguf::write::Layout) -> std::io::Result<()> {
    let progress = progress::bytes("writing random weights", layout.file_len);
    file.write_all(&layout.header)?;
    let mut pools: HashMap<TensorType, Vec<u8>> = HashMap::new();
    let ones: Vec<u8> = 1.0_f32.to_le_bytes().repeat(POOL_BYTES / 64);
    for (index, (tensor, range)) in model.tensors().iter().zip(&layout.tensors).enumerate() {
        let factors = ["_norm.weight", "rope_freqs.weight", "_output_scale.weight"];
        let is_factor = factors.iter().any(|end| tensor.name.ends_with(end));
        let pool = match is_factor {
            true => &ones,
            false => pools
                .entry(tensor.ty)
                .or_insert_with(|| blocks::random(tensor.ty, POOL_BYTES)),
        };
        let block = tensor.ty.block_bytes();
        // A prime, so that no two tensors of a model begin alike.
        let mut from = index * 7919 % (pool.len() / block) * block;
        file.seek(SeekFrom::Start(range.start))?;
        let mut left = range.end - range.start;
        while left > 0 {
            let part = pool.len().min(from + left.min(pool.len() as u64) as usize) - from;
            file.write_all(&pool[from..from + part])?;
            left -= part as u64;
            from = 0;
            progress.inc(part as u64);
        }
    }
    file.set_len(layout.file_len)?;
    // Writing to the disk later would take time from what is measured.
    file.sync_all()?;
    progress.finish_and_clear();
    Ok(())
}

/// Refuses a file that the folder has no room for.
fn check_space(target: &Path, needed: u64) -> Result<(), String> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match free_space(folder) {
        Some(free) if free < needed => Err(format!(
            "{}: {needed} bytes are needed, {free} are free",
            Printable(folder)
        )),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_space(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_well_formed_and_goes_away() {
        let model: Synthetic = "smollm-135m:q4_0".parse().unwrap();
        let file = ModelFile::write(model, None).unwrap();
        let path = file.path().to_owned();
        let mapping = firstlight::mapping::Mapping::open(&path).unwrap();
        let parsed = gguf::Gguf::parse(&mapping).unwrap();
        assert_eq!(parsed.tensors().len(), model.tensors().len());
        let norm = parsed.tensor("blk.3.attn_norm.weight").unwrap();
        let norm = norm.data(&mapping).unwrap();
        assert!(norm.chunks(4).all(|value| value == 1.0_f32.to_le_bytes()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_full_disk_is_refused_before_anything_is_written() {
        let error = check_space(Path::new("x.gguf"), u64::MAX).unwrap_err();
        assert!(error.starts_with(".: 18446744073709551615 bytes are needed"));
    }
}
