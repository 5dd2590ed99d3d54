//! A local datagram socket that says when the kernel took each datagram from its sender.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use noonmark_os::clock;
use noonmark_units::UnixTime;

/// Such a socket.
#[derive(Debug)]
pub struct StampedDatagram(UnixDatagram);

impl StampedDatagram {
    /// Has the kernel stamp what comes (`SO_TIMESTAMPNS`).
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn new(socket: UnixDatagram) -> io::Result<Self> {
        let on: libc::c_int = 1;
        // SAFETY: the kernel reads one int from the live `on`, whose size is given.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPNS,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(Self(socket)) }
    }

    /// Waits for a datagram. Returns its length, at most that of `room`, and when it was sent by this machine's clock; where the
    /// kernel does not say, when it was read.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn receive(&self, room: &mut [u8]) -> io::Result<(usize, UnixTime)> {
        // As large as a header and a timespec need, and aligned as headers are.
        let mut control = [0_u64; 8];
        let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        // SAFETY: a message header is integers and pointers, all of which may be zero.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        // SAFETY: the header points to a live part and a live control buffer with their true sizes; the part is `room`, borrowed
        // mutably.
        let length = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut header, 0) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        Ok((length, stamp(&header).unwrap_or_else(clock::realtime)))
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn send(&self, datagram: &[u8], to: &Path) -> io::Result<usize> {
        self.0.send_to(datagram, to)
    }
}

/// The stamp in a header that the kernel has filled in.
fn stamp(header: &libc::msghdr) -> Option<UnixTime> {
    // SAFETY: the kernel has set the length of the control buffer, which is live, to what it has written.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !next.is_null() {
        // SAFETY: not null, so it points to a whole control header within the buffer.
        let (level, kind) = unsafe { ((*next).cmsg_level, (*next).cmsg_type) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS {
            // SAFETY: what follows a header of this kind is a timespec, perhaps not aligned as one.
            let time: libc::timespec =
                unsafe { libc::CMSG_DATA(next).cast::<libc::timespec>().read_unaligned() };
            return Some(UnixTime::new(time.tv_sec, u32::try_from(time.tv_nsec).ok()?));
        }
        // SAFETY: `next` is a header of this message.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_datagram_that_waited_was_received_when_it_was_sent() {
        let path = std::env::temp_dir().join(format!("noonmark-stamped-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).and_then(StampedDatagram::new).expect("a socket");
        let before = clock::realtime();
        UnixDatagram::unbound().and_then(|other| other.send_to(b"noon", &path)).expect("sent");
        let after = clock::realtime();
        std::thread::sleep(Duration::from_millis(20));
        let mut room = [0; 16];
        let (length, at) = socket.receive(&mut room).expect("it waits");
        std::fs::remove_file(&path).expect("ours");
        assert_eq!(&room[..length], b"noon");
        assert!(before <= at && at <= after, "{before} {at} {after}");
    }
}
