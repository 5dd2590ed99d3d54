//! Octets in an unnamed file that nobody can change any more: how configuration and keys reach a role.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use zeroize::Zeroizing;

/// Puts `octets` into an anonymous file in memory and seals it: no writing, shrinking, growing or unsealing.
///
/// `name` is only shown in `/proc/PID/fd`.
///
/// # Errors
/// What the kernel answers, as a rule that descriptors or memory have run out.
pub fn seal(name: &CStr, octets: &[u8]) -> io::Result<OwnedFd> {
    let fd = create(name)?;
    let mut file = File::from(fd);
    file.write_all(octets)?;
    let fd = OwnedFd::from(file);
    add_seals(
        fd.as_fd(),
        libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL,
    )?;
    Ok(fd)
}

/// Reads what [`seal`] wrote, from the beginning; the copy is wiped when dropped.
///
/// # Errors
/// `InvalidData` if the file is not sealed against change or longer than `limit` octets; what the kernel answers otherwise.
pub fn read(fd: BorrowedFd<'_>, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let wanted = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    if seals(fd)? & wanted != wanted {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file handed over is not sealed",
        ));
    }
    let file = File::from(fd.try_clone_to_owned()?);
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if len > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{len} octets where {limit} are allowed"),
        ));
    }
    let mut octets = Zeroizing::new(vec![0; len]);
    file.read_exact_at(&mut octets, 0)?;
    Ok(octets)
}

/// An empty anonymous file in memory that can be sealed, closed on exec.
pub(crate) fn create(name: &CStr) -> io::Result<OwnedFd> {
    // Since Linux 6.3 an administrator may demand that such files are never executable; older kernels do not know the flag.
    memfd(name, libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | libc::MFD_NOEXEC_SEAL).or_else(
        |error| {
            if error.raw_os_error() == Some(libc::EINVAL) {
                memfd(name, libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
            } else {
                Err(error)
            }
        },
    )
}

fn memfd(name: &CStr, flags: libc::c_uint) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a live string ending in a zero octet.
    let fd = crate::checked(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    // SAFETY: the call succeeded, so this is a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds `F_SEAL_*` bits to a file made by [`create`].
pub(crate) fn add_seals(fd: BorrowedFd<'_>, seals: libc::c_int) -> io::Result<()> {
    // SAFETY: the command takes an integer and touches no memory of ours.
    crate::checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
}

/// The `F_SEAL_*` bits of a file.
pub(crate) fn seals(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: the command takes no argument and touches no memory of ours.
    crate::checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_read_and_cannot_be_changed() {
        let fd = seal(c"test", b"forty-two octets or so").expect("memory");
        assert_eq!(**read(fd.as_fd(), 100).expect("sealed"), *b"forty-two octets or so");
        // Twice: reading moves no offset that a second reader would share.
        assert_eq!(read(fd.as_fd(), 22).expect("sealed").len(), 22);
        let file = File::from(fd);
        assert!(file.write_at(b"x", 0).is_err(), "sealed against writing");
        assert!(file.set_len(0).is_err(), "sealed against shrinking");
    }

    #[test]
    fn unsealed_or_oversized_files_are_refused() {
        let open = create(c"open").expect("memory");
        assert_eq!(
            read(open.as_fd(), 100).expect_err("not sealed").kind(),
            io::ErrorKind::InvalidData
        );
        let long = seal(c"long", &[7; 101]).expect("memory");
        assert_eq!(
            read(long.as_fd(), 100).expect_err("too long").kind(),
            io::ErrorKind::InvalidData
        );
        let ordinary = File::open("/proc/self/status").expect("proc");
        assert!(read(ordinary.as_fd(), 100).is_err(), "not a file in memory at all");
    }
}
