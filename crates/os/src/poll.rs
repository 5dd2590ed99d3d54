//! Waiting for several descriptors at once, with a bound.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Waits until one of `descriptors` can be read, has ended or failed, or until `timeout` is over (`None`: no bound).
/// Returns, in the order asked, which can be read without waiting; all false after a time-out or a signal.
///
/// # Errors
/// What `poll` answers, other than for a signal.
pub fn readable(
    descriptors: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let mut watched: Vec<libc::pollfd> = descriptors
        .iter()
        .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let count = libc::nfds_t::try_from(watched.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `watched` is `count` live, writable entries, each naming a descriptor borrowed for the length of the call.
    match crate::checked(unsafe { libc::poll(watched.as_mut_ptr(), count, milliseconds(timeout)) })
    {
        // An end of file (POLLHUP) or an error (POLLERR) is read without waiting, too.
        Ok(_) => Ok(watched.iter().map(|entry| entry.revents != 0).collect()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; watched.len()]),
        Err(error) => Err(error),
    }
}

/// Whether something can be written to `descriptor` without waiting: to a pipe as much as [`PIPE_ROOM`], to a socket as a rule more.
/// One that is broken counts as well, since an error comes at once.
#[must_use]
pub fn has_room(descriptor: BorrowedFd<'_>) -> bool {
    let mut watched =
        libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `watched` is one live, writable entry, naming a descriptor borrowed for the length of the call.
    let polled = crate::checked(unsafe { libc::poll(&raw mut watched, 1, 0) });
    polled.is_err() || watched.revents != 0
}

/// Octets that a pipe with room takes at once (`PIPE_BUF`).
pub const PIPE_ROOM: usize = libc::PIPE_BUF;

/// Milliseconds as `poll` wants them, rounded up: a wait of 1 µs must not become a loop without waits.
fn milliseconds(timeout: Option<Duration>) -> libc::c_int {
    match timeout {
        None => -1,
        Some(timeout) => libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000))
            .unwrap_or(libc::c_int::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair;
    use std::os::fd::AsFd;
    use std::time::Instant;

    #[test]
    fn tells_which_one_can_be_read() {
        let (quiet, _keep) = pair::pair().expect("descriptors");
        let (here, there) = pair::pair().expect("descriptors");
        let both = [quiet.as_fd(), there.as_fd()];
        assert_eq!(readable(&both, Some(Duration::ZERO)).expect("poll"), [false, false]);
        here.send(b"x", &[]).expect("room");
        assert_eq!(readable(&both, None).expect("poll"), [false, true]);
        drop(here);
        there.receive(&mut [0; 8], true).expect("the message");
        assert_eq!(
            readable(&both, None).expect("poll"),
            [false, true],
            "an end of file can be read"
        );
    }

    #[test]
    fn a_pipe_that_nobody_reads_has_no_room_left() {
        use std::io::Write;
        let (reader, mut writer) = std::io::pipe().expect("descriptors");
        let mut written = 0;
        while has_room(writer.as_fd()) {
            writer.write_all(&[0; PIPE_ROOM]).expect("there was room");
            written += PIPE_ROOM;
            assert!(written <= 16 << 20, "it never fills");
        }
        assert!(written >= PIPE_ROOM);
        drop(reader);
        assert!(has_room(writer.as_fd()), "an error comes at once");
    }

    #[test]
    fn time_out_is_kept() {
        let (quiet, _keep) = pair::pair().expect("descriptors");
        let start = Instant::now();
        readable(&[quiet.as_fd()], Some(Duration::from_millis(20))).expect("poll");
        assert!(start.elapsed() >= Duration::from_millis(20));
        let rows = [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2), (u64::MAX, libc::c_int::MAX)];
        for (nanos, expected) in rows {
            assert_eq!(milliseconds(Some(Duration::from_nanos(nanos))), expected, "{nanos} ns");
        }
    }
}
