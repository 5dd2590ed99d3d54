//! The real folder.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Content, Folder};
use crate::private::{self, Exposure, Why};

/// A folder on disk that belongs to one process at a time.
///
/// It must belong to root or the user of this process, and others must not be able to write into it. That they can look into it
/// gives nothing away but names and lengths; [`DiskFolder::open_to_others`] tells it. A file named `lock` in it is held locked for
/// as long as this value lives.
#[derive(Debug)]
pub struct DiskFolder {
    path: PathBuf,
    folder: File,
    mode: u32,
    _lock: File,
}

impl DiskFolder {
    /// Opens and locks an existing folder.
    ///
    /// # Errors
    /// [`LockError::Busy`] if another process (or another value in this one) has it; [`LockError::Exposed`] for its owner or
    /// mode; [`LockError::Io`] otherwise, as for a folder that does not exist.
    pub fn open(path: &Path) -> Result<Self, LockError> {
        let io = |error| LockError::Io { path: path.to_owned(), error };
        let folder =
            File::options().read(true).custom_flags(libc::O_DIRECTORY).open(path).map_err(io)?;
        let metadata = folder.metadata().map_err(io)?;
        private::check_owner_and_mode(metadata.uid(), metadata.mode(), Exposure::Public)
            .map_err(|why| LockError::Exposed { path: path.to_owned(), why })?;
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path.join(LOCK))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {
                Ok(Self { path: path.to_owned(), folder, mode: metadata.mode(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(LockError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its permission bits if others than its owner may look into it or go through it.
    #[must_use]
    pub fn open_to_others(&self) -> Option<u32> {
        (self.mode & 0o077 != 0).then_some(self.mode & 0o7777)
    }

    fn at(&self, name: &str) -> io::Result<PathBuf> {
        // A name that could lead elsewhere is a mistake in this program, not an input; still it is refused.
        if name.is_empty() || name == LOCK || name.starts_with('.') || name.contains('/') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self.path.join(name))
    }
}

impl Folder for DiskFolder {
    fn read(&mut self, name: &str, limit: usize) -> io::Result<Option<Content>> {
        let open = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.at(name)?);
        let mut file = match open {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not an ordinary file"));
        }
        let limit = limit as u64;
        let room = usize::try_from(metadata.len().min(limit)).unwrap_or(0);
        let mut octets = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
        Read::by_ref(&mut file).take(limit.saturating_add(1)).read_to_end(&mut octets)?;
        if octets.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(Content { octets, owner: metadata.uid(), mode: metadata.mode() }))
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        // What a crash left behind is in the way of a file that must be new.
        self.remove(name)?;
        File::options().write(true).create_new(true).mode(0o600).open(self.at(name)?).map(drop)
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.at(name)?;
        File::options().write(true).custom_flags(libc::O_NOFOLLOW).open(path)?.write_all(content)
    }

    fn sync_file(&mut self, name: &str) -> io::Result<()> {
        // Opened anew, which is fine: an error of writing back is reported to the next sync of the file by whoever asks.
        File::options().write(true).custom_flags(libc::O_NOFOLLOW).open(self.at(name)?)?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.at(from)?, self.at(to)?)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.folder.sync_all()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.at(name)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

const LOCK: &str = "lock";

/// Why a folder cannot be had.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// Others could change what is in it.
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Owner or mode.
        why: Why,
    },
    /// The system refused.
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { path } => {
                write!(f, "{}: another process works in this folder", path.display())
            }
            Self::Exposed { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for LockError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::scratch_folder;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn folder_belongs_to_one_at_a_time() {
        let path = scratch_folder("lock");
        let first = DiskFolder::open(&path).expect("free");
        assert!(matches!(DiskFolder::open(&path), Err(LockError::Busy { .. })));
        drop(first);
        DiskFolder::open(&path).expect("free again");
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        };
        for (bits, told) in [(0o700, None), (0o755, Some(0o755)), (0o710, Some(0o710))] {
            mode(bits);
            let folder = DiskFolder::open(&path).expect("others may not write");
            assert_eq!(folder.open_to_others(), told, "{bits:o}");
        }
        for bits in [0o777, 0o770, 0o702] {
            mode(bits);
            let text = DiskFolder::open(&path).expect_err("others may write").to_string();
            assert!(text.contains(&format!("has mode {bits:04o}")), "{text}");
        }
        std::fs::remove_dir_all(&path).expect("ours");
        assert!(matches!(DiskFolder::open(&path), Err(LockError::Io { .. })));
    }

    #[test]
    fn names_cannot_lead_elsewhere() {
        let path = scratch_folder("names");
        let mut folder = DiskFolder::open(&path).expect("free");
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", "lock", ".hidden"] {
            assert!(folder.create(name).is_err(), "{name:?}");
            assert!(folder.remove(name).is_err(), "{name:?}");
        }
        std::fs::write(path.join("long"), [0; 11]).expect("room");
        assert!(folder.read("long", 11).expect("fits").is_some());
        assert_eq!(
            folder.read("long", 10).err().map(|error| error.kind()),
            Some(io::ErrorKind::FileTooLarge)
        );
        std::os::unix::fs::symlink("long", path.join("link")).expect("room");
        assert!(folder.read("link", 11).is_err(), "a link is not followed");
        std::fs::remove_dir_all(&path).expect("ours");
    }
}
