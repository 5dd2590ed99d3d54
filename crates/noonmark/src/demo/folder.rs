//! The folder everything of a demonstration lives in.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use noonmark_os::random::RandomPool;

/// A new folder that only this user can enter, removed with all in it when dropped.
pub(super) struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    /// Makes one in the system's place for temporary files.
    pub(super) fn make() -> io::Result<Self> {
        let mut random = RandomPool::new().map_err(|error| io::Error::other(error.to_string()))?;
        let [a, b] = [random.array::<4>(), random.array::<4>()].map(u32::from_be_bytes);
        let path = place().join(format!("noonmark-demo-{a:08x}{b:08x}"));
        // Fails if it exists, so nobody can have prepared it for us.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes a file that only this user can read, whatever the umask.
pub(super) fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?
        .write_all(text.as_bytes())
}

/// The system's place for temporary files, unless its name is so long that no socket could be named in it (unix(7)).
fn place() -> PathBuf {
    let place = std::env::temp_dir();
    if place.as_os_str().as_bytes().len() <= LONGEST_PLACE { place } else { "/tmp".into() }
}

/// The name of a socket has 107 octets at most; ours needs some behind this.
const LONGEST_PLACE: usize = 60;

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            crate::output::say(format_args!(
                "noonmark-demo: {} is left behind: {error}",
                self.path.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folder_is_private_and_goes_away() {
        let folder = PrivateFolder::make().expect("a folder");
        let path = folder.path().to_owned();
        fs::write(path.join("file"), "x").expect("room");
        assert_eq!(fs::metadata(&path).expect("it exists").permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!path.exists());
    }
}
