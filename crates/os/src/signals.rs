//! Signals as something to read, not as something that interrupts.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The signals a daemon listens to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// `SIGHUP`: read the configuration again.
    Hangup,
    /// `SIGINT`: stop.
    Interrupt,
    /// `SIGTERM`: stop.
    Terminate,
    /// `SIGCHLD`: a child process ended.
    Child,
}

impl Signal {
    const ALL: [Self; 4] = [Self::Hangup, Self::Interrupt, Self::Terminate, Self::Child];

    fn number(self) -> libc::c_int {
        match self {
            Self::Hangup => libc::SIGHUP,
            Self::Interrupt => libc::SIGINT,
            Self::Terminate => libc::SIGTERM,
            Self::Child => libc::SIGCHLD,
        }
    }
}

/// A set of signals that no longer interrupt the process and wait to be read here (`signalfd`).
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks `signals` in the calling thread, and so in every thread it starts later: call it before there are others.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let set = set_of(signals);
        block(&set)?;
        // SAFETY: `set` was initialised; -1 asks for a new descriptor.
        let fd = crate::checked(unsafe {
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        })?;
        // SAFETY: the call succeeded, so this is a new descriptor that nothing else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes one waiting signal, if there is one. Several of the same kind count as one.
    ///
    /// # Errors
    /// What `read` answers, other than that nothing waits.
    pub fn take(&self) -> io::Result<Option<Signal>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let len = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` is `len` writable octets.
        let read = crate::checked_len(unsafe {
            libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), len)
        });
        match read {
            Ok(_) => {
                // SAFETY: plain integers, zeroed and then filled by the kernel.
                let number = unsafe { info.assume_init() }.ssi_signo;
                Ok(Signal::ALL.into_iter().find(|signal| signal.number().unsigned_abs() == number))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Lets this process live through `signal` as if nothing had been sent. Children started by exec inherit that.
///
/// # Errors
/// What the kernel answers.
pub fn ignore(signal: Signal) -> io::Result<()> {
    ignore_number(signal.number())
}

/// Has a write beyond the largest size that files may have (`RLIMIT_FSIZE`) fail, as any other that cannot be done, instead of ending this
/// process (`SIGXFSZ`). Children started by exec inherit that.
///
/// # Errors
/// What the kernel answers.
pub fn outlive_file_limit() -> io::Result<()> {
    ignore_number(libc::SIGXFSZ)
}

fn ignore_number(number: libc::c_int) -> io::Result<()> {
    // SAFETY: SIG_IGN is no handler of ours, so no code of ours runs at a signal's time.
    let before = unsafe { libc::signal(number, libc::SIG_IGN) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set_of(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is writable, and `sigemptyset` initialises it whole.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in signals {
        // SAFETY: `set` is initialised and the number is that of an existing signal.
        unsafe { libc::sigaddset(&raw mut set, signal.number()) };
    }
    set
}

fn block(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is live and initialised; a null pointer says that the old set is not wanted.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set, std::ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_signals_are_read_in_this_thread() {
        // In a thread of its own: the mask is per thread, and the test harness has others.
        std::thread::spawn(|| {
            let signals = Signals::new(&[Signal::Hangup, Signal::Terminate]).expect("signalfd");
            assert_eq!(signals.take().expect("read"), None);
            // SAFETY: sends a signal, which is blocked, to this very thread.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGHUP) };
            let ready = crate::poll::readable(&[signals.as_fd()], None).expect("poll");
            assert_eq!(ready, [true]);
            assert_eq!(signals.take().expect("read"), Some(Signal::Hangup));
            assert_eq!(signals.take().expect("read"), None);
        })
        .join()
        .expect("no panic");
    }
}
