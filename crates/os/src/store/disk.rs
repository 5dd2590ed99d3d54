//! The real folder.

use std::ffi::CString;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Content, Folder};
use crate::private::{self, Exposure, Why};
use crate::sandbox::identity::Identity;

/// A folder on disk that belongs to one process at a time.
///
/// It must belong to root or the user of this process, and others must not be able to write into it. That they can look into it
/// gives nothing away but names and lengths; [`DiskFolder::open_to_others`] tells it. A file named `lock` in it is held locked for
/// as long as this value lives. Once it is open, its files are found through it and not by its path: a process that may no longer
/// walk there, or is another user by then, goes on working in it.
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
        Self::open_for(path, None)
    }

    /// The same by root for a process that is going to be `keeper`: the folder may belong to that user, and if it is root's, it is
    /// handed over with the ordinary files in it.
    ///
    /// # Errors
    /// As [`DiskFolder::open`].
    pub fn open_for(path: &Path, keeper: Option<Identity>) -> Result<Self, LockError> {
        let io = |error| LockError::Io { path: path.to_owned(), error };
        let folder =
            File::options().read(true).custom_flags(libc::O_DIRECTORY).open(path).map_err(io)?;
        let metadata = folder.metadata().map_err(io)?;
        let owner = match keeper {
            // Then it is as good as ours.
            Some(keeper) if keeper.user == metadata.uid() => crate::process::effective_uid(),
            _ => metadata.uid(),
        };
        private::check_owner_and_mode(owner, metadata.mode(), Exposure::Folder)
            .map_err(|why| LockError::Exposed { path: path.to_owned(), why })?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_NOFOLLOW;
        let lock = match open_at(folder.as_fd(), LOCK, flags) {
            // On a disk that was made read-only what is there can be locked and read all the same.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                open_at(folder.as_fd(), LOCK, libc::O_RDONLY | libc::O_NOFOLLOW)
            }
            opened => opened,
        };
        let lock = lock.map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Busy { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        if let Some(keeper) = keeper {
            hand_over(path, &folder, metadata.uid(), keeper).map_err(io)?;
        }
        Ok(Self { path: path.to_owned(), folder, mode: metadata.mode(), _lock: lock })
    }

    /// The folder itself, for rules about it.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
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

    fn open_file(&self, name: &str, flags: libc::c_int) -> io::Result<File> {
        open_at(self.folder.as_fd(), ours(name)?, flags | libc::O_NOFOLLOW)
    }
}

/// A name that could lead elsewhere is a mistake in this program, not an input; still it is refused.
fn ours(name: &str) -> io::Result<&str> {
    if name.is_empty() || name == LOCK || name.starts_with('.') || name.contains('/') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(name)
}

/// Opens a file of a folder; a new one is its owner's alone.
fn open_at(folder: BorrowedFd<'_>, name: &str, flags: libc::c_int) -> io::Result<File> {
    let name = CString::new(name)?;
    let mode: libc::c_uint = 0o600;
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: `name` is a live string ending in a zero octet; the rest are integers.
    let raw =
        crate::checked(unsafe { libc::openat(folder.as_raw_fd(), name.as_ptr(), flags, mode) })?;
    // SAFETY: the call succeeded, so this is a new descriptor that nothing else owns.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(raw) }))
}

/// Gives root's ordinary files in the folder to `keeper`, and the folder last, so that what was interrupted is done again.
///
/// A file with another name elsewhere stays whose it is: `keeper` may have put it here to be given it.
fn hand_over(path: &Path, folder: &File, owner: u32, keeper: Identity) -> io::Result<()> {
    let (user, group) = (Some(keeper.user), Some(keeper.group));
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        // Without O_NONBLOCK, opening a pipe somebody put there would wait for ever.
        let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let Ok(file) = open_at(folder.as_fd(), name, flags) else { continue };
        let found = file.metadata()?;
        if found.is_file() && found.uid() == 0 && found.nlink() == 1 {
            fchown(&file, user, group)?;
        }
    }
    if owner == 0 && keeper.user != 0 { fchown(folder, user, group) } else { Ok(()) }
}

impl Folder for DiskFolder {
    fn read(&mut self, name: &str, limit: usize) -> io::Result<Option<Content>> {
        let mut file = match self.open_file(name, libc::O_RDONLY | libc::O_NONBLOCK) {
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
        self.open_file(name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL).map(drop)
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.open_file(name, libc::O_WRONLY)?.write_all(content)
    }

    fn sync_file(&mut self, name: &str) -> io::Result<()> {
        // Opened anew, which is fine: an error of writing back is reported to the next sync of the file by whoever asks.
        self.open_file(name, libc::O_WRONLY)?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (CString::new(ours(from)?)?, CString::new(ours(to)?)?);
        let folder = self.folder.as_raw_fd();
        // SAFETY: both are live strings ending in a zero octet.
        let renamed = unsafe { libc::renameat(folder, from.as_ptr(), folder, to.as_ptr()) };
        crate::checked(renamed).map(drop)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.folder.sync_all()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let name = CString::new(ours(name)?)?;
        // SAFETY: a live string ending in a zero octet.
        let removed = unsafe { libc::unlinkat(self.folder.as_raw_fd(), name.as_ptr(), 0) };
        match crate::checked(removed) {
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
    fn folder_of_root_is_handed_over_with_its_files_and_nothing_else() {
        if crate::process::effective_uid() != 0 {
            eprintln!("only root can hand something over; nothing was tried");
            return;
        }
        let (path, elsewhere) = (scratch_folder("handed"), scratch_folder("elsewhere"));
        let keeper = Identity { user: 65_523, group: 65_522 };
        let owner = |path: &Path| {
            let found = std::fs::symlink_metadata(path).expect("there");
            (found.uid(), found.gid())
        };
        std::fs::write(path.join("ring"), b"ours").expect("room");
        std::fs::create_dir(path.join("folder")).expect("room");
        std::fs::write(elsewhere.join("precious"), b"root's").expect("room");
        std::fs::hard_link(elsewhere.join("precious"), path.join("hard")).expect("room");
        std::os::unix::fs::symlink(elsewhere.join("precious"), path.join("soft")).expect("room");
        drop(DiskFolder::open_for(&path, Some(keeper)).expect("root's"));
        for given in ["", "ring", "lock"] {
            assert_eq!(owner(&path.join(given)), (keeper.user, keeper.group), "{given}");
        }
        for kept in ["folder", "hard", "soft"] {
            assert_eq!(owner(&path.join(kept)).0, 0, "{kept}");
        }
        // What root put there since is handed over as well; what is the keeper's is good.
        std::fs::write(path.join("late"), b"ours").expect("room");
        drop(DiskFolder::open_for(&path, Some(keeper)).expect("the keeper's"));
        assert_eq!(owner(&path.join("late")).0, keeper.user);
        let other = Identity { user: 65_521, group: 65_521 };
        let refused = DiskFolder::open_for(&path, Some(other)).expect_err("another one's");
        assert!(refused.to_string().contains("belongs to user 65523"), "{refused}");
        std::fs::remove_dir_all(&path).expect("ours");
        std::fs::remove_dir_all(&elsewhere).expect("ours");
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
