//! Reading files that somebody else wrote for us: configuration, certificates, keys.
//!
//! A file is judged by what was opened, not by its name, so nobody can swap it in between. It must belong to root or to the
//! user this process runs as, and nobody else may be able to write it; a secret nobody else may read either.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// How much a file may be open to others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exposure {
    /// Configuration, certificates: others may read it and not write it (mode & 022 = 0).
    Public,
    /// The same for a folder: others may look into it and not write into it.
    Folder,
    /// Secrets of our own: owner only (mode & 077 = 0).
    Secret,
    /// Keys others provide: a service manager's credentials (systemd's `LoadCredential=`), where the group's bits show the mask of
    /// an access list, and keys a group may read, as Debian's `ssl-cert` does it (mode & 027 = 0).
    Credential,
}

impl Exposure {
    fn forbidden(self) -> u32 {
        match self {
            Self::Public | Self::Folder => 0o022,
            Self::Secret => 0o077,
            Self::Credential => 0o027,
        }
    }
}

/// Which version of a file was read: changes when the file is written or replaced.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// Looks at the file now behind `path`; `None` if there is none that can be looked at.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::from_metadata(&metadata))
    }

    fn from_metadata(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a whole file of at most `limit` octets after checking kind, owner and mode. The copy is wiped when dropped.
///
/// # Errors
/// [`Refused`], which names the file, what is wrong and what would be accepted.
pub fn read(path: &Path, exposure: Exposure, limit: u64) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let refused = |why| Refused { path: path.to_owned(), why };
    // Without O_NONBLOCK, opening a pipe somebody put there would wait for ever.
    let open =
        File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path);
    let mut file = open.map_err(|error| refused(Why::Io(error)))?;
    let metadata = file.metadata().map_err(|error| refused(Why::Io(error)))?;
    if !metadata.is_file() {
        return Err(refused(Why::NotAFile));
    }
    check_owner_and_mode(metadata.uid(), metadata.mode(), exposure).map_err(refused)?;
    if metadata.len() > limit {
        return Err(refused(Why::TooLong { len: metadata.len(), limit }));
    }
    let room = usize::try_from(metadata.len()).unwrap_or(0);
    let mut octets = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
    // One octet more than allowed shows a file that grows while it is read.
    let read = Read::by_ref(&mut file).take(limit.saturating_add(1)).read_to_end(&mut octets);
    read.map_err(|error| refused(Why::Io(error)))?;
    if octets.len() as u64 > limit {
        return Err(refused(Why::TooLong { len: octets.len() as u64, limit }));
    }
    Ok(octets)
}

/// The rule of this module, for files opened elsewhere.
///
/// # Errors
/// [`Why::Owner`] or [`Why::Mode`].
pub fn check_owner_and_mode(owner: u32, mode: u32, exposure: Exposure) -> Result<(), Why> {
    let allowed = crate::process::effective_uid();
    if owner != 0 && owner != allowed {
        return Err(Why::Owner { owner, allowed });
    }
    if mode & exposure.forbidden() != 0 {
        return Err(Why::Mode { mode: mode & 0o7777, exposure });
    }
    Ok(())
}

/// A file that was not read.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Why {
    /// It cannot be opened or read.
    Io(io::Error),
    /// It is a folder, a pipe or a device.
    NotAFile,
    /// It belongs to somebody else than root or the user of this process.
    Owner {
        /// The file's user id.
        owner: u32,
        /// The user id of this process.
        allowed: u32,
    },
    /// Others may do more with it than they should.
    Mode {
        /// The permission bits found.
        mode: u32,
        /// What the file was to be.
        exposure: Exposure,
    },
    /// It is longer than anything of its kind.
    TooLong {
        /// Octets found.
        len: u64,
        /// Octets allowed.
        limit: u64,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotAFile => f.write_str("is not an ordinary file"),
            Self::Owner { owner, allowed: 0 } => {
                write!(f, "belongs to user {owner}; must belong to root")
            }
            Self::Owner { owner, allowed } => {
                write!(f, "belongs to user {owner}; must belong to root or to user {allowed}")
            }
            Self::Mode { mode, exposure: Exposure::Public } => {
                write!(
                    f,
                    "has mode {mode:04o}: others may write it; accepted is 0644 or less (chmod go-w)"
                )
            }
            Self::Mode { mode, exposure: Exposure::Folder } => {
                write!(
                    f,
                    "has mode {mode:04o}: others may write into it; accepted is 0755 or less (chmod go-w)"
                )
            }
            Self::Mode { mode, exposure: Exposure::Secret } => {
                write!(
                    f,
                    "has mode {mode:04o}: others may read this secret; accepted is 0600 or less (chmod go=)"
                )
            }
            Self::Mode { mode, exposure: Exposure::Credential } => {
                write!(
                    f,
                    "has mode {mode:04o}: others may read this secret; accepted is 0440 or less"
                )
            }
            Self::TooLong { len, limit } => {
                write!(f, "has {len} octets; at most {limit} are accepted")
            }
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn mode_decides_by_kind_of_file() {
        let us = crate::process::effective_uid();
        let rows = [
            (0o644, true, false, false),
            (0o600, true, true, true),
            (0o400, true, true, true),
            (0o440, true, false, true),
            (0o640, true, false, true),
            (0o660, false, false, false),
            (0o604, true, false, false),
            (0o622, false, false, false),
        ];
        for (mode, public, secret, credential) in rows {
            let accepted = |exposure| check_owner_and_mode(us, mode, exposure).is_ok();
            let found = (
                accepted(Exposure::Public),
                accepted(Exposure::Secret),
                accepted(Exposure::Credential),
            );
            assert_eq!(found, (public, secret, credential), "{mode:04o}");
        }
    }

    #[test]
    fn what_would_be_accepted_is_told_of_files_and_folders_alike() {
        let us = crate::process::effective_uid();
        let said = |exposure| {
            check_owner_and_mode(us, 0o777, exposure).expect_err("open to all").to_string()
        };
        assert!(said(Exposure::Public).contains("accepted is 0644 or less"));
        assert!(said(Exposure::Folder).contains("others may write into it; accepted is 0755"));
    }

    #[test]
    fn owner_is_root_or_ourselves() {
        let us = crate::process::effective_uid();
        assert!(check_owner_and_mode(0, 0o600, Exposure::Secret).is_ok());
        let stranger = us.wrapping_add(4711);
        let text = check_owner_and_mode(stranger, 0o600, Exposure::Secret)
            .expect_err("a stranger's")
            .to_string();
        assert!(
            text.starts_with(&format!("belongs to user {stranger}; must belong to root")),
            "{text}"
        );
    }

    #[test]
    fn file_is_read_or_refused_with_a_reason() {
        let folder = crate::store::tests::scratch_folder("private");
        let path = folder.join("key.pem");
        std::fs::write(&path, b"0123456789").expect("writable");
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        };
        mode(0o600);
        let before = Fingerprint::of(&path).expect("exists");
        assert_eq!(**read(&path, Exposure::Secret, 10).expect("private"), *b"0123456789");
        let text = read(&path, Exposure::Secret, 9).expect_err("too long").to_string();
        assert!(text.ends_with("key.pem: has 10 octets; at most 9 are accepted"), "{text}");
        mode(0o644);
        let text = read(&path, Exposure::Secret, 10).expect_err("readable by others").to_string();
        assert!(text.contains("has mode 0644: others may read this secret"), "{text}");
        assert_ne!(Fingerprint::of(&path), Some(before), "a changed mode is a change");
        assert!(matches!(
            read(&folder, Exposure::Public, 10).expect_err("a folder").why,
            Why::NotAFile
        ));
        assert!(matches!(
            read(&folder.join("none"), Exposure::Public, 10).expect_err("nothing").why,
            Why::Io(_)
        ));
        std::fs::remove_dir_all(&folder).expect("ours");
    }
}
