//! Landlock: which files, which TCP ports and which other processes are left to this one.
//!
//! What a kernel can restrict depends on its version, which it tells. Everything it can is restricted, and what it cannot comes back.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Which version of Landlock the kernel has; 0 if none, or if it is switched off.
///
/// | version | Linux | what it restricts as well |
/// |---|---|---|
/// | 1 | 5.13 | files |
/// | 3 | 6.2 | shortening files |
/// | 4 | 6.7 | TCP ports |
/// | 5 | 6.10 | devices |
/// | 6 | 6.12 | signals, and abstract Unix sockets of others |
#[must_use]
pub fn version() -> u32 {
    let none: *const Attributes = std::ptr::null();
    let (length, ask) = (0_usize, 1_u32);
    // SAFETY: with this flag the kernel reads no memory and answers with a number.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, length, ask) };
    u32::try_from(answer).unwrap_or(0)
}

/// The version from which on TCP ports can be restricted.
pub const PORTS_FROM: u32 = 4;
/// The version from which on signals and abstract Unix sockets can be restricted.
pub const SCOPES_FROM: u32 = 6;

/// What is left to a process. Nothing, until something is added.
#[derive(Debug)]
pub struct Ruleset {
    ruleset: OwnedFd,
    version: u32,
}

/// What may be done with a file, or with all files below a folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Read it.
    Read,
    /// For a folder: read, write, make, replace and remove ordinary files in it.
    Keep,
}

impl Ruleset {
    /// Restricts whatever the kernel can: files, TCP, signals to processes outside, abstract Unix sockets of others.
    ///
    /// # Errors
    /// `Unsupported` without Landlock; what the kernel answers otherwise.
    pub fn new() -> io::Result<Self> {
        let version = version();
        if version == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let attributes = Attributes {
            files: files_of(version),
            ports: if version >= PORTS_FROM { BIND_TCP | CONNECT_TCP } else { 0 },
            scopes: if version >= SCOPES_FROM { ABSTRACT_SOCKETS | SIGNALS } else { 0 },
        };
        // An older kernel wants to see no more than it knows.
        let length: usize = match version {
            ..PORTS_FROM => 8,
            PORTS_FROM..SCOPES_FROM => 16,
            SCOPES_FROM.. => 24,
        };
        // SAFETY: the kernel reads `length` octets of the live structure, which has at least as many.
        let answer = unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, length, 0_u32)
        };
        let raw = descriptor(answer)?;
        // SAFETY: the call succeeded, so this is a new descriptor that nothing else owns.
        Ok(Self { ruleset: unsafe { OwnedFd::from_raw_fd(raw) }, version })
    }

    /// Leaves `access` to what `place` is open at, which may be with `O_PATH`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn leave(&self, place: BorrowedFd<'_>, access: Access, is_folder: bool) -> io::Result<()> {
        let all = match access {
            Access::Read => READ_FILE,
            Access::Keep => READ_FILE | WRITE_FILE | MAKE_FILE | REMOVE_FILE | TRUNCATE,
        };
        let wanted = if is_folder { all } else { all & OF_FILES };
        let beneath =
            Beneath { access: wanted & files_of(self.version), folder: place.as_raw_fd() };
        self.add(PATH_BENEATH, (&raw const beneath).cast())
    }

    /// Leaves reading of the file at `path`, or of all files below it if it is a folder. What is not there is left out.
    ///
    /// # Errors
    /// What the kernel answers, other than that there is nothing.
    pub fn leave_reading(&self, path: &Path) -> io::Result<()> {
        let place = match File::options().read(true).custom_flags(libc::O_PATH).open(path) {
            Ok(place) => place,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        self.leave(place.as_fd(), Access::Read, place.metadata()?.is_dir())
    }

    /// Leaves connecting to this TCP port, where that is restricted.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn leave_connecting(&self, port: u16) -> io::Result<()> {
        if self.version < PORTS_FROM {
            return Ok(());
        }
        let rule = Port { access: CONNECT_TCP, port: port.into() };
        self.add(NET_PORT, (&raw const rule).cast())
    }

    fn add(&self, kind: libc::c_int, rule: *const libc::c_void) -> io::Result<()> {
        // SAFETY: both callers pass a live rule of the kind, laid out as the kernel's.
        let answer = unsafe {
            libc::syscall(libc::SYS_landlock_add_rule, self.ruleset.as_raw_fd(), kind, rule, 0_u32)
        };
        if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Puts it in force for the calling thread and those it starts, for good. It needs `no_new_privs`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn restrict(self) -> io::Result<()> {
        // SAFETY: takes a descriptor and flags.
        let answer = unsafe {
            libc::syscall(libc::SYS_landlock_restrict_self, self.ruleset.as_raw_fd(), 0_u32)
        };
        if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn descriptor(answer: libc::c_long) -> io::Result<RawFd> {
    RawFd::try_from(answer).ok().filter(|raw| *raw >= 0).ok_or_else(io::Error::last_os_error)
}

/// Everything about files that a version can restrict.
fn files_of(version: u32) -> u64 {
    let first = (1 << 13) - 1;
    let refer = if version >= 2 { 1 << 13 } else { 0 };
    let truncate = if version >= 3 { TRUNCATE } else { 0 };
    let devices = if version >= 5 { 1 << 15 } else { 0 };
    first | refer | truncate | devices
}

// linux/landlock.h.
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_FILE: u64 = 1 << 8;
const TRUNCATE: u64 = 1 << 14;
/// What may be left to something that is no folder.
const OF_FILES: u64 = READ_FILE | WRITE_FILE | TRUNCATE;
const BIND_TCP: u64 = 1 << 0;
const CONNECT_TCP: u64 = 1 << 1;
const ABSTRACT_SOCKETS: u64 = 1 << 0;
const SIGNALS: u64 = 1 << 1;
const PATH_BENEATH: libc::c_int = 1;
const NET_PORT: libc::c_int = 2;

/// `struct landlock_ruleset_attr`.
#[repr(C)]
struct Attributes {
    files: u64,
    ports: u64,
    scopes: u64,
}

/// `struct landlock_path_beneath_attr`, which has no gap and no end.
#[repr(C, packed)]
struct Beneath {
    access: u64,
    folder: RawFd,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct Port {
    access: u64,
    port: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::scratch_folder;
    use std::fs;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn only_what_was_left_can_be_done() {
        if version() == 0 {
            eprintln!("this kernel has no Landlock; nothing was tried");
            return;
        }
        let kept = scratch_folder("landlock-kept");
        let other = scratch_folder("landlock-other");
        fs::write(kept.join("file"), b"ours").expect("room");
        fs::write(other.join("file"), b"theirs").expect("room");
        fs::write(other.join("shown"), b"theirs").expect("room");
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let closed = TcpListener::bind("127.0.0.1:0").expect("free");
        let (open, shut) = (listener.local_addr(), closed.local_addr());
        let (open, shut) = (open.expect("bound"), shut.expect("bound"));
        let (kept_there, other_there) = (kept.clone(), other.clone());
        // In a thread of its own, which alone is restricted.
        std::thread::spawn(move || {
            let (kept, other) = (kept_there, other_there);
            let folder = File::open(&kept).expect("there");
            crate::caps::no_new_privileges().expect("needs no right");
            let ruleset = Ruleset::new().expect("the kernel has it");
            ruleset.leave(folder.as_fd(), Access::Keep, true).expect("a folder");
            ruleset.leave_reading(&other.join("shown")).expect("a file");
            ruleset.leave_reading(&other.join("nothing")).expect("nothing is no error");
            ruleset.leave_connecting(open.port()).expect("a port");
            ruleset.restrict().expect("no_new_privs is set");
            fs::write(kept.join("new"), b"new").expect("left");
            fs::rename(kept.join("new"), kept.join("file")).expect("left");
            assert_eq!(fs::read(kept.join("file")).expect("left"), b"new");
            assert_eq!(fs::read(other.join("shown")).expect("left"), b"theirs");
            let refused = |result: io::Result<()>| {
                result.expect_err("not left").kind() == io::ErrorKind::PermissionDenied
            };
            assert!(refused(fs::read(other.join("file")).map(drop)));
            assert!(refused(fs::write(other.join("shown"), b"x")));
            assert!(refused(fs::write(other.join("more"), b"x")));
            assert!(refused(fs::create_dir(kept.join("folder"))));
            assert!(refused(fs::read_dir(&kept).map(drop)));
            TcpStream::connect(open).expect("left");
            assert_eq!(TcpStream::connect(shut).is_err(), version() >= PORTS_FROM);
        })
        .join()
        .expect("no panic");
        fs::remove_dir_all(&kept).expect("ours");
        fs::remove_dir_all(&other).expect("ours");
    }
}
