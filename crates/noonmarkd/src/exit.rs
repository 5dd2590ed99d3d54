//! How the daemon ends: one status per kind of reason, so that a supervisor and a person can tell them apart.
//!
//! The numbers are those of `sysexits.h` where it has one that fits.

use std::fmt;
use std::process::ExitCode;

/// The exit status of `noonmarkd` and of its roles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Status {
    /// 0: stopped as asked, or the configuration checked is good.
    Good = 0,
    /// 64: wrong usage of the command line.
    Usage = 64,
    /// 65: the certificate or its key is broken, or they do not belong together.
    Certificate = 65,
    /// 68: the clock was to be set once, and is not right after a while.
    NotSet = 68,
    /// 69: an address is taken, as a rule because another time daemon runs.
    AddressTaken = 69,
    /// 70: something that should not happen.
    Internal = 70,
    /// 71: the system refused something ordinary (a process, a descriptor, memory).
    System = 71,
    /// 73: the state folder cannot be used, or what is in it is damaged.
    State = 73,
    /// 74: standard output cannot be written.
    Output = 74,
    /// 75: another `noonmarkd` works in the state folder or at the status socket.
    AlreadyRunning = 75,
    /// 77: the right to do something is missing, as to bind port 123.
    Permission = 77,
    /// 78: the configuration is refused.
    Configuration = 78,
}

impl Status {
    const ALL: [Self; 12] = [
        Self::Good,
        Self::Usage,
        Self::Certificate,
        Self::NotSet,
        Self::AddressTaken,
        Self::Internal,
        Self::System,
        Self::State,
        Self::Output,
        Self::AlreadyRunning,
        Self::Permission,
        Self::Configuration,
    ];

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The status of that number; [`Status::Internal`] for any other.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL.into_iter().find(|status| status.number() == number).unwrap_or(Self::Internal)
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.number())
    }
}

/// Why the daemon or a role cannot go on: a status, and a sentence for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The exit status it leads to.
    pub status: Status,
    /// What happened, and where it helps what to do.
    pub reason: String,
}

impl Failure {
    /// A failure with its reason.
    #[must_use]
    pub fn new(status: Status, reason: impl fmt::Display) -> Self {
        Self { status, reason: reason.to_string() }
    }

    /// For `map_err`: the reason is `what`, a colon and the error.
    pub fn while_doing<E: fmt::Display>(
        status: Status,
        what: impl fmt::Display,
    ) -> impl FnOnce(E) -> Self {
        move |error| Self::new(status, format_args!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}
