//! Where compiled shaders are kept.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The folder for compiled shaders in this user's cache: below `XDG_CACHE_HOME`
/// or `~/.cache`, on Apple's systems `~/Library/Caches`, on Windows
/// `%LOCALAPPDATA%`. `None` if this user has no such folder.
pub fn folder() -> Option<PathBuf> {
    let base = match () {
        () if cfg!(windows) => absolute(env::var_os("LOCALAPPDATA")),
        () if cfg!(target_vendor = "apple") => home("Library/Caches"),
        () => absolute(env::var_os("XDG_CACHE_HOME")).or_else(|| home(".cache")),
    };
    base.map(|base| base.join("firstlight"))
}

fn home(folder: &str) -> Option<PathBuf> {
    absolute(env::var_os("HOME")).map(|home| home.join(folder))
}

/// Relative paths do not count, as the XDG specification has it.
fn absolute(path: Option<OsString>) -> Option<PathBuf> {
    path.map(PathBuf::from).filter(|path| path.is_absolute())
}
