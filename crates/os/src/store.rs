//! Durable files of our own: after a crash at any moment, each holds either its old content or its new one.
//!
//! A write makes a new file beside the old one, forces it to the disk, renames it over the old one and forces the folder to
//! the disk. What is written is framed, so damage is noticed and never used:
//!
//! | octets | what |
//! |---|---|
//! | 0..8 | magic `"NOONMARK"` |
//! | 8..16 | kind of file, eight letters |
//! | 16..20 | version of the content's layout, big-endian |
//! | 20..28 | length of the content, big-endian |
//! | 28..60 | SHA-256 of everything else: octets 0..28 and the content |
//! | 60… | content |
//!
//! The folder behind it is a trait, [`Folder`], so that a test can let any step fail or the machine stop there
//! ([`fault::FaultyFolder`]). [`DiskFolder`] is the real one.

use std::fmt;
use std::io;

use ring::digest;
use zeroize::Zeroizing;

use crate::private::{self, Exposure, Why};

mod disk;
pub mod fault;
mod once;

pub use disk::{DiskFolder, LockError};
pub use once::Once;

/// What a durable write needs of a folder; each call is one step at which things can go wrong.
///
/// Names are plain file names without a slash.
pub trait Folder {
    /// Reads a whole file of at most `limit` octets, with its owner and mode. `None` if there is no such file.
    ///
    /// # Errors
    /// What the system answers; `FileTooLarge` beyond `limit`.
    fn read(&mut self, name: &str, limit: usize) -> io::Result<Option<Content>>;
    /// Makes a new, empty file, readable and writable by its owner only, in place of any of that name.
    ///
    /// # Errors
    /// What the system answers.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Writes the content of a file just created.
    ///
    /// # Errors
    /// What the system answers; any part may have been written.
    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()>;
    /// Forces a file's content to the disk.
    ///
    /// # Errors
    /// What the system answers; how much has reached the disk is then unknown.
    fn sync_file(&mut self, name: &str) -> io::Result<()>;
    /// Gives a file another name, replacing what had that name, as one step.
    ///
    /// # Errors
    /// What the system answers.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Forces the folder's names to the disk.
    ///
    /// # Errors
    /// What the system answers; how much has reached the disk is then unknown.
    fn sync_folder(&mut self) -> io::Result<()>;
    /// Removes a file; fine if there is none.
    ///
    /// # Errors
    /// What the system answers.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// A file as found.
pub struct Content {
    /// All its octets; wiped when dropped.
    pub octets: Zeroizing<Vec<u8>>,
    /// Its user id.
    pub owner: u32,
    /// Its mode bits.
    pub mode: u32,
}

/// Framed, durable files in one folder. Every one of them is treated as a secret.
pub struct Store<F> {
    folder: F,
}

/// What a file is: said in its frame, and refused if it is not what was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kind {
    /// File name in the folder.
    pub name: &'static str,
    /// Eight letters that say what the content is.
    pub label: [u8; 8],
    /// Version of the content's layout.
    pub version: u32,
}

impl<F: Folder> Store<F> {
    /// A store in `folder`.
    #[must_use]
    pub fn new(folder: F) -> Self {
        Self { folder }
    }

    /// Replaces the content of a file. When this returns without error, the new content survives a loss of power.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the file then holds its old content or the new one, whole. [`StoreError::TooLong`] beyond
    /// [`LONGEST_CONTENT`].
    pub fn write(&mut self, kind: Kind, content: &[u8]) -> Result<(), StoreError> {
        if content.len() > LONGEST_CONTENT {
            return Err(StoreError::TooLong { name: kind.name, len: content.len() });
        }
        let framed = frame(kind, content);
        let beside = beside(kind.name);
        let result = self.replace(&beside, kind.name, &framed);
        if result.is_err() {
            // What is left beside is overwritten by the next write, so a failure to tidy up changes nothing.
            let _ = self.folder.remove(&beside);
        }
        result.map_err(|(step, error)| StoreError::Io { name: kind.name, step, error })
    }

    /// Reads a file back. `None` if it was never written.
    ///
    /// # Errors
    /// [`StoreError`]: damage, another kind or version, an owner or mode under which the content is no secret any more.
    pub fn read(&mut self, kind: Kind) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let name = kind.name;
        let read = self.folder.read(name, HEAD_LEN + LONGEST_CONTENT);
        let Some(found) = read.map_err(|error| StoreError::Io { name, step: Step::Read, error })?
        else {
            return Ok(None);
        };
        private::check_owner_and_mode(found.owner, found.mode, Exposure::Secret)
            .map_err(|why| StoreError::Exposed { name, why })?;
        unframe(kind, &found.octets).map(|content| Some(Zeroizing::new(content.to_vec())))
    }

    /// Removes a file, durably.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the file may or may not be there.
    pub fn remove(&mut self, kind: Kind) -> Result<(), StoreError> {
        let removed = self.folder.remove(kind.name).and_then(|()| self.folder.sync_folder());
        removed.map_err(|error| StoreError::Io { name: kind.name, step: Step::Remove, error })
    }

    /// The folder itself.
    pub fn folder(&self) -> &F {
        &self.folder
    }

    fn replace(
        &mut self,
        beside: &str,
        name: &str,
        framed: &[u8],
    ) -> Result<(), (Step, io::Error)> {
        let folder = &mut self.folder;
        folder.create(beside).map_err(|error| (Step::Create, error))?;
        folder.write(beside, framed).map_err(|error| (Step::Write, error))?;
        // Before the rename: a name must never lead to octets that are not on the disk yet.
        folder.sync_file(beside).map_err(|error| (Step::SyncFile, error))?;
        folder.rename(beside, name).map_err(|error| (Step::Rename, error))?;
        folder.sync_folder().map_err(|error| (Step::SyncFolder, error))
    }
}

/// The most octets of content in one file: 16 MiB.
pub const LONGEST_CONTENT: usize = 16 << 20;

const MAGIC: [u8; 8] = *b"NOONMARK";
const HEAD_LEN: usize = 60;
const SUM_AT: usize = 28;
const SUM_LEN: usize = 32;

fn beside(name: &str) -> String {
    format!("{name}.new")
}

fn frame(kind: Kind, content: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut framed = Zeroizing::new(Vec::with_capacity(HEAD_LEN + content.len()));
    framed.extend_from_slice(&MAGIC);
    framed.extend_from_slice(&kind.label);
    framed.extend_from_slice(&kind.version.to_be_bytes());
    framed.extend_from_slice(&(content.len() as u64).to_be_bytes());
    let sum = checksum(&framed, content);
    framed.extend_from_slice(&sum);
    framed.extend_from_slice(content);
    framed
}

/// The content of a file that is undamaged, of this kind and of this version.
fn unframe(kind: Kind, octets: &[u8]) -> Result<&[u8], StoreError> {
    let name = kind.name;
    let damaged = |how| StoreError::Damaged { name, how };
    let (head, content) =
        octets.split_at_checked(HEAD_LEN).ok_or_else(|| damaged("shorter than its frame"))?;
    let (said, sum) = head.split_at(SUM_AT);
    let Some((magic, rest)) = said.split_first_chunk::<8>() else {
        return Err(damaged("shorter than its frame"));
    };
    if *magic != MAGIC {
        return Err(damaged("does not begin with NOONMARK"));
    }
    // Before kind, version and length are believed.
    if checksum(said, content) != *sum {
        return Err(damaged("checksum does not match"));
    }
    let (Some((label, rest)), len) = (rest.split_first_chunk::<8>(), content.len() as u64) else {
        return Err(damaged("shorter than its frame"));
    };
    let Some((version, said_len)) = rest.split_first_chunk::<4>() else {
        return Err(damaged("shorter than its frame"));
    };
    if *label != kind.label {
        return Err(StoreError::OtherKind { name, found: *label, wanted: kind.label });
    }
    if *said_len != len.to_be_bytes() {
        return Err(damaged("length differs from what the frame says"));
    }
    let found = u32::from_be_bytes(*version);
    if found != kind.version {
        return Err(StoreError::OtherVersion { name, found, wanted: kind.version });
    }
    Ok(content)
}

fn checksum(said: &[u8], content: &[u8]) -> [u8; SUM_LEN] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(said);
    context.update(content);
    let mut sum = [0; SUM_LEN];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

/// A step of reading or writing at which the system refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names say it, and Display says it again")]
pub enum Step {
    Read,
    Create,
    Write,
    SyncFile,
    Rename,
    SyncFolder,
    Remove,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Create => "create the new file beside",
            Self::Write => "write the new file beside",
            Self::SyncFile => "force to the disk",
            Self::Rename => "rename the new file over",
            Self::SyncFolder => "force the folder of to the disk",
            Self::Remove => "remove",
        })
    }
}

/// Why a file was not read or not written.
#[derive(Debug)]
pub enum StoreError {
    /// The system refused a step.
    Io {
        /// The file.
        name: &'static str,
        /// The step.
        step: Step,
        /// What the system said.
        error: io::Error,
    },
    /// What is there is not what was written.
    Damaged {
        /// The file.
        name: &'static str,
        /// What is wrong.
        how: &'static str,
    },
    /// An undamaged file, but of something else.
    OtherKind {
        /// The file.
        name: &'static str,
        /// The eight letters found.
        found: [u8; 8],
        /// The eight letters expected.
        wanted: [u8; 8],
    },
    /// An undamaged file of a layout this program does not know.
    OtherVersion {
        /// The file.
        name: &'static str,
        /// The version found.
        found: u32,
        /// The version this program reads.
        wanted: u32,
    },
    /// A secret that others could have read or written.
    Exposed {
        /// The file.
        name: &'static str,
        /// Owner or mode.
        why: Why,
    },
    /// More content than a file may hold.
    TooLong {
        /// The file.
        name: &'static str,
        /// Octets of content.
        len: usize,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { name, step, error } => write!(f, "{name}: cannot {step}: {error}"),
            Self::Damaged { name, how } => {
                write!(f, "{name} is damaged: {how}; remove it to start afresh")
            }
            Self::OtherKind { name, found, wanted } => write!(
                f,
                "{name} holds \"{}\" where \"{}\" belongs; remove it to start afresh",
                found.escape_ascii(),
                wanted.escape_ascii()
            ),
            Self::OtherVersion { name, found, wanted } => {
                write!(f, "{name} has version {found} and this program reads version {wanted}")
            }
            Self::Exposed { name, why } => write!(f, "{name} {why}"),
            Self::TooLong { name, len } => {
                write!(f, "{name}: {len} octets; at most {LONGEST_CONTENT} are kept")
            }
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
pub(crate) mod tests {
    use super::fault::{Fault, FaultyFolder};
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    const KIND: Kind = Kind { name: "ring", label: *b"key ring", version: 3 };

    /// A new folder only its owner can enter, which the caller removes.
    pub(crate) fn scratch_folder(name: &str) -> PathBuf {
        let random: [u8; 8] = crate::random::RandomPool::new().expect("kernel").array();
        let path = std::env::temp_dir()
            .join(format!("noonmark-{name}-{:016x}", u64::from_be_bytes(random)));
        std::fs::create_dir(&path).expect("a new name in a writable folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("ours");
        path
    }

    fn read(folder: FaultyFolder) -> Option<Vec<u8>> {
        let mut store = Store::new(folder);
        store.read(KIND).expect("old or new, never neither").map(|content| content.to_vec())
    }

    proptest! {
        #[test]
        fn a_fault_at_any_step_leaves_the_old_or_the_new_content(
            old in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
            new in proptest::collection::vec(any::<u8>(), 0..200),
            chance in any::<u64>(),
        ) {
            let mut folder = FaultyFolder::new();
            if let Some(old) = &old {
                let mut store = Store::new(folder);
                store.write(KIND, old).expect("no fault yet");
                folder = store.folder;
            }
            let steps = {
                let mut store = Store::new(folder.clone());
                let before = store.folder.steps();
                store.write(KIND, &new).expect("no fault");
                store.folder.steps() - before
            };
            prop_assert!(steps >= 5, "create, write, sync, rename, sync");
            for step in 0..steps {
                for fault in [Fault::Error, Fault::CrashBefore, Fault::CrashAfter] {
                    let mut store = Store::new(folder.clone());
                    store.folder.set_fault(store.folder.steps() + step, fault);
                    let result = store.write(KIND, &new);
                    // First what the running program sees, then what the disk kept when the power went.
                    let seen = (fault == Fault::Error).then(|| read(store.folder.clone()));
                    let kept = read(store.folder.power_lost(chance));
                    for content in seen.iter().chain([&kept]) {
                        prop_assert!(
                            *content == old || *content == Some(new.clone()),
                            "step {step}, {fault:?}: {content:?}"
                        );
                    }
                    if result.is_ok() {
                        prop_assert_eq!(kept, Some(new.clone()), "success was reported: step {}, {:?}", step, fault);
                    }
                }
            }
        }

        #[test]
        fn a_changed_octet_or_length_is_damage(
            content in proptest::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let framed = frame(KIND, &content);
            prop_assert_eq!(unframe(KIND, &framed).expect("as written"), &content[..]);
            let mut changed = framed.to_vec();
            *at.get_mut(&mut changed[..]) ^= flip;
            for (what, octets) in [("changed", &changed[..]), ("cut", &framed[..at.index(framed.len())])] {
                let noticed = matches!(unframe(KIND, octets), Err(StoreError::Damaged { .. }));
                prop_assert!(noticed, "{}", what);
            }
        }
    }

    /// The same for every remainder that there can be, of one write.
    #[test]
    fn every_remainder_of_a_write_is_the_old_or_the_new_content() {
        let mut store = Store::new(FaultyFolder::new());
        store.write(KIND, b"old content").expect("no fault yet");
        let folder = store.folder;
        for step in 0..=5 {
            for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                let mut store = Store::new(folder.clone());
                store.folder.set_fault(folder.steps() + step, fault);
                let is_done = store.write(KIND, b"and a new one").is_ok();
                for left in store.folder.remains() {
                    let found = read(left).expect("one of them");
                    let is_new = found == b"and a new one";
                    assert!(is_new || (!is_done && found == b"old content"), "{step} {fault:?}");
                }
            }
        }
    }

    /// The property above can fail: without the file's sync, a crash leaves a name that leads to nothing.
    #[test]
    fn write_without_sync_would_be_found_out() {
        let mut folder = FaultyFolder::new();
        folder.create("ring.new").expect("no fault");
        folder.write("ring.new", &frame(KIND, b"new")).expect("no fault");
        folder.rename("ring.new", "ring").expect("no fault");
        folder.sync_folder().expect("no fault");
        let lost = (0..64).any(|chance| Store::new(folder.power_lost(chance)).read(KIND).is_err());
        assert!(lost, "the folder in memory forgets what was not forced to the disk");
        let len = frame(KIND, b"new").len();
        let refused = folder
            .remains()
            .into_iter()
            .filter(|left| Store::new(left.clone()).read(KIND).is_err());
        // Every beginning but the whole, bare and with zeros; the content does not end in one.
        assert_eq!(refused.count(), 2 * len);
    }

    #[test]
    fn undamaged_files_of_another_kind_or_version_are_refused() {
        let framed = frame(KIND, b"content");
        let other = Kind { label: *b"drift   ", ..KIND };
        let text = unframe(other, &framed).expect_err("another kind").to_string();
        assert_eq!(
            text,
            "ring holds \"key ring\" where \"drift   \" belongs; remove it to start afresh"
        );
        let text =
            unframe(Kind { version: 4, ..KIND }, &framed).expect_err("an old version").to_string();
        assert_eq!(text, "ring has version 3 and this program reads version 4");
    }

    #[test]
    fn files_on_disk_survive_and_exposed_ones_are_refused() {
        let path = scratch_folder("store");
        let mut store = Store::new(DiskFolder::open(&path).expect("ours"));
        assert!(store.read(KIND).expect("nothing yet").is_none());
        for content in [&b"first"[..], b"", &[7; 100_000]] {
            store.write(KIND, content).expect("room");
            assert_eq!(store.read(KIND).expect("undamaged").expect("written")[..], *content);
        }
        let mut names: Vec<_> = std::fs::read_dir(&path)
            .expect("ours")
            .map(|entry| entry.expect("ours").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["lock", "ring"], "nothing is left beside");
        let file = path.join("ring");
        let mode = |file: &std::path::Path| {
            std::fs::metadata(file).expect("written").permissions().mode() & 0o7777
        };
        assert_eq!(mode(&file), 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).expect("ours");
        let text = store.read(KIND).expect_err("world-readable").to_string();
        assert!(text.starts_with("ring has mode 0604: others may read this secret"), "{text}");
        store.remove(KIND).expect("ours");
        assert!(store.read(KIND).expect("removed").is_none());
        std::fs::remove_dir_all(&path).expect("ours");
    }
}
