//! The folder everything of a demonstration lives in.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
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
        let path = std::env::temp_dir().join(format!("noonmark-demo-{a:08x}{b:08x}"));
        // Fails if it exists, so nobody can have prepared it for us.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("noonmark-demo: {} is left behind: {error}", self.path.display());
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
