//! Compiled shaders, kept on disk between runs where the driver hands them out
//! (Vulkan; other systems keep them by themselves).
//!
//! ```text
//! byte   0        8          16         24
//!      | magic  | origin   | checksum | what the driver made … |
//! ```
//!
//! Origin is a hash of the device, its driver and this program's version, so
//! that a new driver or new shaders begin anew. The checksum keeps damaged files
//! from the driver, which trusts what it is given; wgpu and the driver compare
//! device and driver once more. A file that does not fit is replaced.
//!
//! A file is written beside its place and renamed, so that programs which run at
//! the same time see a whole file: the one or the other. Nothing depends on it:
//! if it cannot be read or written, shaders are compiled.

#![allow(unsafe_code)]

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const MAGIC: [u8; 8] = *b"FLshader";
const HEADER_BYTES: usize = 24;

/// More than any driver makes of these shaders.
const MOST_BYTES: u64 = 256 << 20;

/// What became of the file, for a line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledShaders {
    /// The file.
    pub path: PathBuf,
    /// How many bytes it had, or why they were not used.
    pub read: Result<usize, String>,
    /// How many bytes were written, or why they could not be.
    pub written: Option<Result<usize, String>>,
}

/// The driver's cache and its file.
pub(super) struct Compiled {
    raw: wgpu::PipelineCache,
    origin: u64,
    /// Checksum of what the file has.
    state: Mutex<(Option<u64>, CompiledShaders)>,
}

impl Compiled {
    /// Takes what the folder has for this device. The device must have the
    /// feature `PIPELINE_CACHE`.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, folder: &Path) -> Compiled {
        let (vendor, number) = (info.vendor, info.device);
        let path = folder.join(format!(
            "{}-{vendor:04x}-{number:04x}.shaders",
            info.backend
        ));
        let version = env!("CARGO_PKG_VERSION");
        let origin = hash(
            format!(
                "{version}\n{}\n{}\n{}",
                info.name, info.driver, info.driver_info
            )
            .as_bytes(),
        );
        let contents = read(&path, origin);
        let data = contents.as_deref().ok();
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("shaders"),
            data,
            fallback: true,
        };
        // SAFETY: the data is what an earlier `get_data` returned: `read` has
        // checked that this program wrote it, for a device and driver of the
        // same names, and that it has not changed since.
        let raw = unsafe { device.create_pipeline_cache(&descriptor) };
        let state = CompiledShaders {
            path,
            read: contents.as_ref().map(Vec::len).map_err(Clone::clone),
            written: None,
        };
        Compiled {
            raw,
            origin,
            state: Mutex::new((data.map(hash), state)),
        }
    }

    /// For the compilation of pipelines.
    pub fn raw(&self) -> &wgpu::PipelineCache {
        &self.raw
    }

    /// Writes the file, if it would change.
    pub fn save(&self) {
        let Some(data) = self.raw.get_data() else {
            return;
        };
        let checksum = hash(&data);
        let mut state = self.lock();
        if state.0 == Some(checksum) {
            return;
        }
        let written = write(&state.1.path, self.origin, checksum, &data);
        if written.is_ok() {
            state.0 = Some(checksum);
        }
        let written = written.map_err(|error| error.to_string());
        state.1.written = Some(written.map(|()| data.len()));
    }

    /// What became of the file so far.
    pub fn report(&self) -> CompiledShaders {
        self.lock().1.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Option<u64>, CompiledShaders)> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What the driver made, if the file is as this program has written it.
fn read(path: &Path, origin: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "it is not there yet".to_owned(),
        _ => error.to_string(),
    })?;
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("it has more than {MOST_BYTES} bytes"));
    }
    if bytes.len() < HEADER_BYTES || bytes[..8] != MAGIC {
        return Err("it is a file of another kind".to_owned());
    }
    let number = |at: usize| {
        let bytes = bytes[at..at + 8].try_into();
        u64::from_le_bytes(bytes.expect("eight bytes are eight bytes"))
    };
    if number(8) != origin {
        return Err("it is of another driver or another version".to_owned());
    }
    if number(16) != hash(&bytes[HEADER_BYTES..]) {
        return Err("it is damaged".to_owned());
    }
    Ok(bytes.split_off(HEADER_BYTES))
}

fn write(path: &Path, origin: u64, checksum: u64, data: &[u8]) -> io::Result<()> {
    let folder = path.parent().expect("the file is in a folder");
    std::fs::create_dir_all(folder)?;
    let bytes = [
        &MAGIC[..],
        &origin.to_le_bytes(),
        &checksum.to_le_bytes(),
        data,
    ]
    .concat();
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let written = std::fs::write(&aside, bytes).and_then(|()| std::fs::rename(&aside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    written
}

/// FNV-1a over words of eight bytes, the last one filled up, and the length.
fn hash(bytes: &[u8]) -> u64 {
    let add = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    let hash = words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        // High bits would only move up: they come down again.
        let hash = add(hash, word);
        hash ^ (hash >> 32)
    });
    add(hash, bytes.len() as u64)
}

impl fmt::Display for CompiledShaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", crate::Printable(&self.path))?;
        match &self.read {
            Ok(len) => write!(f, "{len} bytes of compiled shaders were read")?,
            Err(reason) => write!(f, "no compiled shaders were read, {reason}")?,
        }
        match &self.written {
            None => Ok(()),
            Some(Ok(len)) => write!(f, ", {len} bytes were written"),
            Some(Err(reason)) => write!(f, ", none could be written: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in a folder of its own, which goes with it.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Temporary {
            let folder = format!("firstlight-shaders-{}-{name}", std::process::id());
            Temporary(std::env::temp_dir().join(folder))
        }

        fn path(&self) -> PathBuf {
            self.0.join("some").join("one.shaders")
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let temporary = Temporary::new("whole");
        let path = temporary.path();
        for data in [&b"what a driver makes"[..], b"", b"something else"] {
            write(&path, 7, hash(data), data).unwrap();
            assert_eq!(read(&path, 7).as_deref(), Ok(data));
        }
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "nothing is left beside it");
    }

    #[test]
    fn what_does_not_fit_is_not_used() {
        let temporary = Temporary::new("damaged");
        let path = temporary.path();
        assert_eq!(read(&path, 7).unwrap_err(), "it is not there yet");
        let data = b"what a driver makes of shaders";
        write(&path, 7, hash(data), data).unwrap();
        let other = "it is of another driver or another version";
        assert_eq!(read(&path, 8).unwrap_err(), other);

        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(read(&path, 7).is_err(), "cut to {len} bytes");
        }
        for bit in 0..8 * whole.len() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert!(read(&path, 7).is_err(), "bit {bit} is another");
        }
        std::fs::write(&path, [&whole[..], b"\0"].concat()).unwrap();
        assert_eq!(read(&path, 7).unwrap_err(), "it is damaged");
        // A folder where the file should be.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(read(&path, 7).is_err());
        assert!(write(&path, 7, hash(data), data).is_err());
    }
}
