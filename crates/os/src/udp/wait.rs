//! Waiting for datagrams without allocating, and being woken from elsewhere.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Descriptors to wait for, put together once.
pub struct Watch<'fd> {
    entries: Vec<libc::pollfd>,
    descriptors: PhantomData<BorrowedFd<'fd>>,
}

impl<'fd> Watch<'fd> {
    /// Watches for something to read on each of `descriptors`.
    pub fn new(descriptors: impl IntoIterator<Item = BorrowedFd<'fd>>) -> Self {
        let entry = |fd: BorrowedFd<'_>| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        Self { entries: descriptors.into_iter().map(entry).collect(), descriptors: PhantomData }
    }

    /// Waits until one of them can be read, or until `timeout` is over (`None`: no bound). A signal ends the wait early.
    ///
    /// # Errors
    /// What `poll` answers, other than for a signal.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map_or(-1, |timeout| {
            i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        // SAFETY: `entries` is a live, writable list of its own length, and its descriptors are borrowed by `self`.
        let ready = unsafe {
            libc::poll(self.entries.as_mut_ptr(), self.entries.len() as libc::nfds_t, timeout)
        };
        if ready >= 0 {
            return Ok(());
        }
        for entry in &mut self.entries {
            entry.revents = 0;
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        }
    }

    /// Whether something waits in the error queue of the socket at `place`, or it is broken.
    pub fn has_error(&self, place: usize) -> bool {
        self.entries.get(place).is_some_and(|entry| entry.revents & libc::POLLERR != 0)
    }

    /// Whether the descriptor at `place` could be read (or had ended or failed) when the last wait ended.
    pub fn is_ready(&self, place: usize) -> bool {
        self.entries.get(place).is_some_and(|entry| entry.revents != 0)
    }
}

/// Wakes whoever watches it: an `eventfd`.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// What the kernel answers; it has a limit of descriptors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, so nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes it readable until [`Bell::silence`].
    pub fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: 8 octets are read from `one`. A full counter means that it rings already, so the result says nothing new.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Takes back every ring so far.
    pub fn silence(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: 8 octets are written to `count`. Nothing to take back is no error.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_rings_until_it_is_silenced() {
        let (one, other) = (Bell::new().unwrap(), Bell::new().unwrap());
        let mut watch = Watch::new([one.as_fd(), other.as_fd()]);
        let mut check = |expected: [bool; 2]| {
            watch.wait(Some(Duration::ZERO)).unwrap();
            assert_eq!([0, 1].map(|place| watch.is_ready(place)), expected);
        };
        check([false, false]);
        other.ring();
        other.ring();
        check([false, true]);
        check([false, true]);
        other.silence();
        check([false, false]);
        other.silence();
        one.ring();
        check([true, false]);
    }

    #[test]
    fn a_wait_without_a_ring_ends_by_itself() {
        let bell = Bell::new().unwrap();
        let mut watch = Watch::new([bell.as_fd()]);
        let start = std::time::Instant::now();
        watch.wait(Some(Duration::from_millis(15))).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(15));
        assert!(!watch.is_ready(0) && !watch.is_ready(1));
    }
}
