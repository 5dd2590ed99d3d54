//! Who is at the other end of a Unix socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The identity of the process that connected, as it was when it did (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// Process id; 0 if it lives in a PID namespace that is not visible from here.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// Asks the kernel who connected to (or created) the other end of `socket`.
///
/// # Errors
/// What `getsockopt` answers, as for a descriptor that is no socket.
pub fn credentials(socket: &impl AsFd) -> io::Result<Credentials> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = libc::socklen_t::try_from(size_of::<libc::ucred>()).expect("12 octets");
    // SAFETY: `found` is a live, writable ucred and `len` says its size.
    crate::checked(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut len,
        )
    })?;
    Ok(Credentials { pid: found.pid, uid: found.uid, gid: found.gid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_pair_knows_this_process() {
        let (one, _other) = UnixStream::pair().expect("descriptors");
        let found = credentials(&one).expect("a Unix socket");
        assert_eq!(found.pid.unsigned_abs(), std::process::id());
        assert_eq!(found.uid, crate::process::effective_uid());
    }

    #[test]
    fn what_is_no_socket_is_an_error() {
        assert!(credentials(&std::fs::File::open("/dev/null").expect("exists")).is_err());
    }
}
